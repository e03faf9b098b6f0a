"""The benchmark of a GPU: refused without one, and its tables are right for what was measured."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from conftest import by_pillow, picture

from sscd_cli.models.load import load_model

pytest.importorskip("faiss")
import bench_cuda
from bench_cuda import Rates, embedding_table, join_table

BENCH = Path(__file__).with_name("bench_cuda.py")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_in_a_line(tmp_path: Path) -> None:
    command = [sys.executable, BENCH, tmp_path]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    message = "bench_cuda needs a CUDA device, and PyTorch finds none\n"
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", message)


def test_the_slower_of_the_two_is_the_limit() -> None:
    table = embedding_table({"a": Rates(1000, 500, 450), "b": Rates(200, 5000, 100)})
    assert table.splitlines()[2:] == [
        "| a | 1,000 | 500 | 450 | decoding | 90% |",
        "| b | 200 | 5,000 | 100 | network | 50% |",
    ]


def test_every_step_is_measured_on_any_device(tiny_model: Path, tmp_path: Path) -> None:
    for i in range(5):
        picture(tmp_path / "photos" / f"{i}.png", i)
    rates = bench_cuda.embedding(str(tiny_model), "cpu", tmp_path / "photos", 0.05)
    assert min(rates.network, rates.decoding, rates.whole) > 0


def test_jpegs_of_cores_and_of_a_gpu_are_compared(tmp_path: Path, jpegs_on_gpu: ModuleType) -> None:
    for i in range(3):
        picture(tmp_path / f"{i}.jpg", i, (1200, 900))
    model = load_model(device="cpu", precision="fp32")
    lines = bench_cuda.jpeg_table(model, tmp_path).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| cores", "| GPU"]
    jpegs_on_gpu.decode_jpeg = lambda files, mode, device: [
        255 - pixels for pixels in by_pillow(files, mode, device)
    ]
    with pytest.raises(SystemExit, match="differ"):
        bench_cuda.jpeg_table(model, tmp_path)


def test_the_joins_are_compared() -> None:
    lines = join_table("cpu", 60, 40).splitlines()
    assert [line.split(" | ")[:2] for line in lines[2:]] == [
        ["| cpu", "40"],
        ["| cpu", "40"],
        ["| cpu", "60"],
    ]
