"""Eight bits: the bundled file is of the bundled weights, and other models are written so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Run, error_line, picture

from sscd_cli.descriptors.provenance import Provenance, difference
from sscd_cli.descriptors.read import read_descriptors
from sscd_cli.machines.hardware import has_int8
from sscd_cli.models import load
from sscd_cli.models.catalogue.registry import BUNDLED, BUNDLED_INT8, find_model
from sscd_cli.models.files.onnx_graph import inspect_onnx
from sscd_cli.models.load import load_model


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for i in range(20):
        picture(tmp_path / "photos" / f"{i:02}.png", i, (90, 70))
    return tmp_path / "photos"


def test_the_bundled_file_is_of_the_bundled_weights() -> None:
    metadata = json.loads(inspect_onnx(BUNDLED_INT8).notes["sscd"])
    assert metadata["exported_from"] == find_model(BUNDLED).weights_sha256


def test_a_file_of_other_weights_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = replace(find_model(BUNDLED), weights_sha256="0" * 64)
    monkeypatch.setattr(load, "find_model", lambda *_: spec)
    with pytest.raises(load.ModelError, match=r"is not of .*; install sscd-cli again"):
        load_model(precision="int8")


@pytest.mark.parametrize(("able", "expected"), [(True, {"int8"}), (False, {"fp32", "bf16"})])
def test_the_cpu_decides_whether_bytes_are_multiplied(
    able: bool, expected: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "has_int8", lambda: able)
    assert load_model(device="cpu").runtime.precision in expected


@pytest.mark.parametrize(
    ("flags", "able"),
    [
        ("flags: sse2 avx512_vnni", True),
        ("Features: fp asimddp", True),
        ("flags: sse2 avx2", False),
    ],
)
def test_what_linux_says_of_the_first_core_tells_whether_it_multiplies_bytes(
    flags: str, able: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor: 0\n{flags}\n\nflags: avx_vnni\n")
    monkeypatch.setattr("sscd_cli.machines.hardware._CPU", tmp_path / "cpuinfo")
    assert has_int8.__wrapped__() == able  # what is cached is of the true machine


def test_bytes_and_floats_give_the_same_descriptors(photos: Path) -> None:
    images = sorted(photos.iterdir())
    exact = load_model(device="cpu", precision="fp32")
    for kind in ("descriptor", "logits", "embedding"):
        ours = load_model(precision="int8").embed(images, 3, kind)  # type: ignore[arg-type]
        theirs = exact.embed(images, 3, kind)  # type: ignore[arg-type]
        assert ours.shape == theirs.shape
        cosine = (ours * theirs).sum(axis=1)
        cosine /= np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
        assert cosine.mean() > 0.995, kind  # of drawings; of photographs it is 0.998
    maps = load_model(precision="int8").detection_features(images[:2])
    assert maps["stage4"].shape == (2, 1280, 5, 5)


def test_machines_of_both_kinds_fill_one_dataset(
    sscd: Run, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, able in (("0*.png", True), ("*.png", False)):
        monkeypatch.setattr(load, "has_int8", lambda able=able: able)
        ran = sscd("embed", "photos", "--include", name, "--device", "cpu")
        assert ran.status == 0, ran.err
    assert len(read_descriptors(Path("descriptors")).ids) == 20
    for number in ("07", "13"):
        ran = sscd("search", f"photos/{number}.png", "-k", "1", "-f", "csv")
        assert ran.lines[1].startswith(f"photos/{number}.png,1,")
        assert f"photos/{number}.png," in ran.lines[1]


def test_what_each_machine_calibrated_mixes_with_nothing_else() -> None:
    int8 = Provenance("m", "0" * 64, 8, {}, "float16", "int8-aaaa", "0", "0")
    assert difference(int8, int8) is None
    for other in ("int8-bbbb", "int8", "fp32", "bf16"):
        assert difference(int8, replace(int8, precision=other)) == f"int8-aaaa against {other}"
    one = replace(int8, precision="int8")
    for other in ("fp32", "bf16"):
        assert difference(one, replace(int8, precision=other)) is None


def test_another_model_is_told_how_to_become_one_of_bytes(tiny: Run, photos: Path) -> None:
    line = error_line(tiny("pair", "photos/00.png", "photos/01.png", "--precision", "int8"))
    assert line.startswith("tiny is a file of floating-point weights; run `sscd models quantise ")


def test_a_quantised_model_finds_what_its_weights_find(
    sscd: Run, photos: Path, tiny_model: Path
) -> None:
    pytest.importorskip("onnx")
    ran = sscd("models", "quantise", tiny_model, "photos", "-o", "tiny.onnx")
    assert ran.status == 0, ran.err
    assert "tiny.onnx: " in ran.err and "on 20 images its descriptors have a mean cosine" in ran.err
    weights, small = (load_model(str(name), device="cpu") for name in (tiny_model, "tiny.onnx"))
    assert small.spec.recipe == replace(weights.spec.recipe, decode="fast")
    assert small.spec.threshold == weights.spec.threshold
    images = sorted(photos.iterdir())
    cosine = (small.embed(images) * weights.embed(images)).sum(axis=1)
    assert cosine.min() > 0.97
    one_by_one = np.concatenate([small.embed([image]) for image in images])
    np.testing.assert_allclose(small.embed(images), one_by_one, atol=1e-6)
    line = error_line(sscd("models", "quantise", "tiny.onnx", "photos", "-o", "x.onnx"))
    assert line == "tiny.onnx is an ONNX file already; name a weight file"
    Path("empty").mkdir()
    Path("empty/a.jpg").write_text("no image")
    line = error_line(sscd("models", "quantise", tiny_model, "empty", "-o", "x.onnx"))
    assert line == "no readable images in empty; name a folder of images"
    assert not Path("x.onnx").exists()
