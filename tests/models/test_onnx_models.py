"""Networks in ONNX: what a file says of itself, and that nothing but its own tensors is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import Run, error_line, picture

from sscd_cli.errors import ModelError, UsageError
from sscd_cli.machines.device import Device
from sscd_cli.models.catalogue.registry import find_model
from sscd_cli.models.files.onnx_graph import Port, inspect_onnx, layout_of
from sscd_cli.models.load import load_model
from sscd_cli.models.runtime.onnx_runtime import onnx_library

onnx = pytest.importorskip("onnx")
Sizes = Sequence[int | str]


def means(path: Path, sizes: Sizes, kind: str, **tensor: Any) -> Path:
    """Save a network whose descriptor is the mean colour of its input, to the front 1 and 2."""
    helper, numbers = onnx.helper, onnx.TensorProto
    last = sizes[3] == 3
    more = onnx.numpy_helper.from_array(np.array([[1, 2]], np.float32), "more")
    for key, value in tensor.items():
        setattr(more, key, value)
    nodes = [
        helper.make_node("Cast", ["image"], ["cast"], to=numbers.FLOAT),
        helper.make_node(
            "ReduceMean", ["cast"], ["mean"], axes=[1, 2] if last else [2, 3], keepdims=0
        ),
        helper.make_node("Add", ["mean", "zero"], ["out"]),
    ]
    zero = onnx.numpy_helper.from_array(np.zeros((1, 3), np.float32), "zero")
    given = helper.make_tensor_value_info("out", numbers.FLOAT, ["n", 3])
    taken = helper.make_tensor_value_info("image", getattr(numbers, kind), sizes)
    graph = helper.make_graph(nodes, "means", [taken], [given], [zero, more])
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("sizes", "kind"),
    [
        (["n", "h", "w", 3], "UINT8"),
        (["n", 64, 64, 3], "FLOAT"),
        (["n", 3, 64, 64], "UINT8"),
        ([1, 3, "h", "w"], "FLOAT"),
    ],
)
def test_a_network_is_fed_as_it_asks(sizes: Sizes, kind: str, tmp_path: Path) -> None:
    model = load_model(str(means(tmp_path / "m.onnx", sizes, kind)))
    assert model.spec.name == "m"
    assert model.spec.dimensions == 3
    assert (model.spec.recipe.size, model.spec.recipe.square) == (
        (64, True) if 64 in sizes else (288, False)
    )
    colour = np.array([200, 100, 50])
    found, _ = model.embed([np.full((80, 70, 3), colour, np.uint8)] * 2)
    expected = colour.astype(float)
    if kind == "FLOAT":
        expected = (colour / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-4)


def test_commands_take_a_network_in_onnx(sscd: Run, tmp_path: Path) -> None:
    means(tmp_path / "m.onnx", ["n", "h", "w", 3], "UINT8")
    for i in range(3):
        picture(tmp_path / "photos" / f"{i}.png", i, (300 + 20 * i, 300))
    assert sscd("embed", "photos", "--model", "m.onnx").status == 0
    ran = sscd("search", "photos/1.png", "--model", "m.onnx", "-k", "1", "-f", "csv")
    assert ran.lines[1].startswith("photos/1.png,1,")
    assert ran.lines[1].endswith("photos,cosine")
    pair = ("pair", "photos/1.png", "photos/2.png", "--model", "m.onnx")
    line = error_line(sscd(*pair, "--device", "cuda:9"))
    assert line.startswith("this machine has no CUDA device 'cuda:9'")
    assert error_line(sscd(*pair, "--precision", "fp32")) == (
        "m.onnx has a precision of its own; use --precision auto"
    )
    assert error_line(
        sscd("embed", "photos", "--model", "m.onnx", "-d", "d", "--output-kind", "logits")
    ) == ("m.onnx gives no logits; use a weight file, or descriptors")


def refused(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_model(str(path))
    return str(caught.value)


@pytest.mark.parametrize(
    ("sizes", "what"),
    [
        (["n", "h", "w", 4], "takes no images: image is uint8 of ? × ? × ? × 4; use"),
        (["n", 64, 32, 3], "takes pictures of 32 × 64, which no recipe makes; export"),
    ],
)
def test_a_network_of_something_else_is_refused(sizes: Sizes, what: str, tmp_path: Path) -> None:
    assert what in refused(means(tmp_path / "m.onnx", sizes, "UINT8"))


def test_tensors_in_other_files_are_not_opened(tmp_path: Path) -> None:
    elsewhere = onnx.StringStringEntryProto(key="location", value="/etc/passwd")
    path = means(tmp_path / "m.onnx", ["n", "h", "w", 3], "UINT8")
    model = onnx.load(path)
    model.graph.initializer[1].external_data.append(elsewhere)
    path.write_bytes(model.SerializeToString())
    assert "keeps tensors in other files, which sscd does not open; save" in refused(path)


@pytest.mark.parametrize("size", [0, 1, 40, 200, -1])
def test_a_file_that_was_cut_is_no_model(size: int, tmp_path: Path) -> None:
    path = means(tmp_path / "m.onnx", ["n", "h", "w", 3], "UINT8")
    path.write_bytes(path.read_bytes()[:size])
    assert "m.onnx is no ONNX model, or damaged; copy it again" in refused(path)


def test_what_onnx_runtime_cannot_name_is_said_in_one_line(sscd: Run, tmp_path: Path) -> None:
    path = means(tmp_path / "m.onnx", ["n", "h", "w", 3], "UINT8")
    path.write_bytes(path.read_bytes().replace(b"ReduceMean", b"Reduce\xffean"))
    ran = sscd("pair", picture(tmp_path / "a.png", 1), tmp_path / "a.png", "-m", path)
    assert error_line(ran).startswith(f"ONNX Runtime cannot load {path}: ")
    assert ran.out == b""


def test_bytes_of_any_kind_end_in_one_line(tmp_path: Path) -> None:
    rng, path = np.random.default_rng(0), tmp_path / "m.onnx"
    whole = means(path, ["n", "h", "w", 3], "UINT8").read_bytes()
    for _ in range(300):
        data = bytearray(whole)
        for place in rng.integers(len(data), size=3):
            data[place] = rng.integers(256)
        path.write_bytes(data)
        try:
            layout_of(inspect_onnx(path))
        except ModelError:
            continue


def test_the_reader_agrees_with_the_package_onnx(tmp_path: Path) -> None:
    file = inspect_onnx(means(tmp_path / "m.onnx", ["n", 3, 64, 64], "FLOAT"))
    assert file.inputs == (Port("image", "float32", (None, 3, 64, 64)),)
    assert file.outputs == (Port("out", "float32", (None, 3)),)


def test_our_own_export_says_how_to_prepare_images(sscd: Run, tiny_model: Path) -> None:
    assert sscd("models", "export", tiny_model, "-o", "tiny.onnx").status == 0
    ours, theirs = find_model("tiny.onnx"), find_model(str(tiny_model))
    assert (ours.name, ours.recipe, ours.threshold) == ("tiny", theirs.recipe, theirs.threshold)
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    exact = load_model(str(tiny_model), device="cpu", precision="fp32").embed([image])
    np.testing.assert_allclose(load_model("tiny.onnx").embed([image]), exact, atol=1e-5)


def test_a_recipe_is_named_where_the_file_says_none(sscd: Run, tmp_path: Path) -> None:
    free, fixed = (
        str(means(tmp_path / name, sizes, "UINT8"))
        for name, sizes in (("free.onnx", ["n", "h", "w", 3]), ("fixed.onnx", ["n", 64, 64, 3]))
    )
    wide = tmp_path / "photos" / "wide.png"
    picture(wide, 1, (200, 100))
    seen = {
        word: find_model(free, word).recipe.size_of(200, 100) for word in ("skew-96", "small-96")
    }
    assert seen == {"skew-96": (96, 96), "small-96": (192, 96)}
    embedded = sscd("embed", "photos", "-m", free, "--recipe", "skew-96")
    assert embedded.status == 0
    # the query is prepared as the dataset was, else it would be refused
    assert sscd("search", wide, "-m", free).status == 0
    other = sscd("embed", "photos", "-m", free, "--recipe", "small-96")
    assert "skew-96" in error_line(other) and "small-96" in error_line(other)
    for model, word, said in (
        ("sscd_mini", "small-288", "sscd_mini says itself how images are prepared for it: mini-"),
        (fixed, "skew-96", "says itself how images are prepared for it: skew-64; leave out"),
        (free, "skew-9", "--recipe skew-9 is unknown; use small-N or skew-N, N from 32 to 4096"),
        (free, "square", "--recipe square is unknown; use small-N or skew-N"),
    ):
        assert said in error_line(sscd("pair", wide, wide, "-m", model, "--recipe", word))
    assert find_model(fixed, "skew-64") == find_model(fixed)


class OnGpu:
    """ONNX Runtime with a GPU: what computes there is the CPU, and the rest is as on one."""

    def __init__(self, providers: list[str]) -> None:
        self._listed = providers
        self.asked: list[Any] = []
        self._real = onnx_library()
        self.SessionOptions = self._real.SessionOptions

    def get_available_providers(self) -> list[str]:
        return self._listed

    def InferenceSession(  # noqa: N802
        self, path: Path, options: Any, providers: list[Any], **_: int
    ) -> Any:
        self.asked = providers
        session = self._real.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return SimpleNamespace(
            run=session.run,
            get_outputs=session.get_outputs,
            get_providers=lambda: [p if isinstance(p, str) else p[0] for p in providers],
        )


@pytest.mark.parametrize("device", ["auto", "cuda:1"])
def test_a_network_runs_on_a_gpu_where_onnx_runtime_can(
    device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(means(tmp_path / "m.onnx", ["n", "h", "w", 3], "UINT8"))
    image = np.full((40, 40, 3), (10, 20, 30), np.uint8)
    here = load_model(path).embed(image)
    gpu = OnGpu(["CUDAExecutionProvider", "CPUExecutionProvider"])
    index = None if device == "auto" else 1
    monkeypatch.setattr("sscd_cli.models.load.choose_device", lambda name: Device("cuda", index))
    for module in ("load", "runtime.onnx_runtime"):
        monkeypatch.setattr(f"sscd_cli.models.{module}.onnx_library", lambda: gpu)
    model = load_model(path, device=device)
    assert gpu.asked == [
        ("CUDAExecutionProvider", {"device_id": index or 0}),
        "CPUExecutionProvider",
    ]
    assert str(model.runtime.device).startswith("cuda")
    np.testing.assert_array_equal(model.embed(image), here)


def test_a_build_without_cuda_is_told_or_computes_on_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(means(tmp_path / "m.onnx", ["n", "h", "w", 3], "UINT8"))
    monkeypatch.setattr("sscd_cli.models.load.choose_device", lambda name: Device("cuda"))
    assert str(load_model(path).runtime.device) == "cpu"
    with pytest.raises(UsageError, match=r"does not compute on cuda; run `pip install onnxruntime"):
        load_model(path, device="cuda")
