"""A file of JSON that is nested deeper than Python reads is damaged like any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import Run, Store, error_line, picture

from sscd_cli.descriptors.parts import read_parts
from sscd_cli.errors import ModelError, StoreError
from sscd_cli.models.catalogue.cache import read_records
from sscd_cli.models.catalogue.registry import find_model
from sscd_cli.scoring.post import PostProcessing

NESTED = "[" * 100_000
REASON = "nested too deeply"


def test_a_threshold_is_refused(tiny: Run, store: Store, tmp_path: Path) -> None:
    store(tmp_path / "descriptors", {picture(tmp_path / "a.png", 1): [1, 0]})
    (tmp_path / "t.json").write_text(NESTED)
    line = error_line(tiny("dedup", "--threshold", "t.json"))
    assert line.startswith("t.json is no threshold of sscd calibrate")
    assert REASON in line


def test_a_baseline_is_refused(tiny: Run, store: Store, tmp_path: Path) -> None:
    for name in ("test", "train"):
        store(tmp_path / name, {picture(tmp_path / f"{name}.png", 1): [1, 0]})
    (tmp_path / "b.json").write_text(NESTED)
    line = error_line(tiny("leaks", "test", "--against", "train", "--baseline", "b.json"))
    assert line.startswith("cannot read the baseline b.json")
    assert REASON in line


def test_what_is_said_of_post_processing_is_damaged(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    parts = {name: np.zeros((1, 1), np.float32) for name in ("axes", "background", "mean")}
    save_file(parts, tmp_path / "p", {"sscd_post": NESTED})
    with pytest.raises(StoreError, match="is damaged"):
        PostProcessing.load(tmp_path / "p")


def test_an_onnx_file_says_nothing_of_itself(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    taken = helper.make_tensor_value_info("image", kind, [1, 3, 32, 32])
    given = helper.make_tensor_value_info("out", kind, [1, 3])
    node = helper.make_node("ReduceMean", ["image"], ["out"], axes=[2, 3], keepdims=0)
    model = helper.make_model(helper.make_graph([node], "mean", [taken], [given]))
    helper.set_model_props(model, {"sscd": NESTED})
    onnx.save(model, tmp_path / "m.onnx")
    assert find_model(str(tmp_path / "m.onnx")).name == "m"


def test_records_of_ours_are_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = tmp_path / "part-1of2-01234567.json"
    part.write_text(NESTED)
    with pytest.raises(StoreError, match="is damaged"):
        read_parts(tmp_path)
    monkeypatch.setenv("SSCD_CACHE", str(tmp_path))
    (tmp_path / "models").mkdir()
    (tmp_path / "models/digests.json").write_text(NESTED)
    with pytest.raises(ModelError, match="is damaged"):
        read_records()
