"""What several test modules need: the gallery, a small model, and the command line in process."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

# before anything loads them: NumPy and torch in a process a core, each with a thread a core, wait
# for one another most of the time
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from PIL import Image

# modules with fixtures of several tests
pytest_plugins = (
    *("applying", "buckets", "clustering", "divided"),
    *("filtering", "leak_sets", "reviewing"),
)

DATA = Path(__file__).parent / "data"
SSCD = Path(sys.executable).with_name("sscd")
MTIME = 1_700_000_000


@dataclass(frozen=True)
class Ran:
    """What a command line did: its exit status, the bytes on stdout, the text on stderr."""

    status: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.decode().splitlines()


Run = Callable[..., Ran]
Store = Callable[..., Path]


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No option comes from the environment of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith(("SSCD_", "_SSCD_")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model file whose network is untrained, small, and the same in every run."""
    return save_tiny_model(tmp_path_factory.mktemp("model") / "tiny.safetensors", seed=0)


def save_tiny_model(path: Path, seed: int) -> Path:
    import torch

    from sscd_cli.images.preprocess import Recipe
    from sscd_cli.models.files.safetensors_file import save_network
    from sscd_cli.models.network import Network

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network("mini", 16)
    recipe = Recipe("tiny-32", 32, square=True)
    metadata = {
        "name": "tiny",
        "preprocessing": {k: v for k, v in asdict(recipe).items() if k != "max_aspect"},
        "threshold": {"value": 0.999999, "source": "only exact copies"},
    }
    save_network(path, network, metadata)
    return path


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    """Return a copy of the shipped gallery with known times."""
    folder = tmp_path / "gallery"
    shutil.copytree(DATA / "gallery", folder)
    for path in folder.iterdir():
        os.utime(path, (MTIME, MTIME))
    return folder


@pytest.fixture(scope="session")
def truth() -> dict[str, str]:
    """Return each edited copy of the gallery with its original."""
    with (DATA / "gallery_truth.csv").open(newline="") as file:
        return {row["image"]: row["original"] for row in csv.DictReader(file)}


@pytest.fixture
def sscd(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> Run:
    """Return a function that runs a command line in this process, in the test's own folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SSCD_WORKERS", "0")
    monkeypatch.setenv("SSCD_TRAIN_WORKERS", "0")
    monkeypatch.setenv("COLUMNS", "100")

    def run(*words: str | Path, stdin: bytes = b"") -> Ran:
        from sscd_cli.__main__ import main

        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capfdbinary.readouterr()
        status = main([str(word) for word in words])
        sys.stdout.flush()
        out, err = capfdbinary.readouterr()
        return Ran(status, out, err.decode())

    return run


@pytest.fixture
def tiny(sscd: Run, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return `sscd` with the tiny model as the default one, which is loaded once a process."""
    from sscd_cli.models import load

    monkeypatch.setenv("SSCD_MODEL", str(tiny_model))
    monkeypatch.setattr(load, "_torch_runtime", loading_once())
    return sscd


@cache
def loading_once() -> Callable[..., Any]:
    """Return what loads a network once for each description, which names its bytes, and device."""
    from sscd_cli.models.load import _torch_runtime

    return lru_cache(4)(_torch_runtime)


@pytest.fixture
def store() -> Store:
    """Return `save_store`: a dataset as `sscd embed` leaves it, with descriptors of our choice."""
    return save_store


def save_store(
    folder: Path,
    files: Mapping[Path, Any],
    *,
    root: Path | None = None,
    weights: str = "0" * 64,
    **made_by: Any,
) -> Path:
    """Write a dataset of files that exist; a descriptor that is a text is why there is none.

    made_by: what provenance says otherwise than `drawn_provenance`.
    """
    from sscd_cli.descriptors.write import ShardWriter

    dimensions = max(len(value) for value in files.values() if not isinstance(value, str))
    provenance = drawn_provenance(dimensions, weights_sha256=weights, **made_by)
    with ShardWriter(folder, provenance) as writer:
        writer.add([_row(path, value, root) for path, value in files.items()])
    return folder


def drawn_provenance(dimensions: int, **changes: Any) -> Any:
    """Return what says that descriptors were drawn by a test."""
    from sscd_cli.descriptors.provenance import Provenance

    provenance = Provenance(
        model="drawn",
        weights_sha256="0" * 64,
        dimensions=dimensions,
        preprocessing={"name": "drawn", "exif": True},
        dtype="float32",
        precision="fp32",
        tool_version="0.1.0",
        pillow_version="0",
        threshold=0.75,
    )
    return replace(provenance, **changes)


def _row(path: Path, value: Any, root: Path | None) -> Any:
    from sscd_cli.descriptors.schema import Row

    data, status = path.read_bytes(), path.stat()
    row = {
        "id": str(path.relative_to(root) if root else path),
        "source": str(root or ""),
        "file_bytes": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "content_hash": hashlib.blake2b(data, digest_size=16).digest(),
    }
    if isinstance(value, str):
        return Row(**row, error=value)
    with Image.open(io.BytesIO(data)) as image:
        row |= {"width": image.width, "height": image.height, "format": image.format}
    return Row(**row, descriptor=np.asarray(value, np.float32))


def picture(path: Path, seed: int, size: tuple[int, int] = (40, 30)) -> Path:
    """Write a picture of coarse noise; other seeds give other pictures."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse.resize(size).save(path)
    os.utime(path, (MTIME + seed, MTIME + seed))
    return path


def by_pillow(files: list[Any], mode: str, device: object) -> list[Any]:
    """Do what torchvision's `decode_jpeg` does: give all of a list, or an error."""
    import torch

    try:
        images = [Image.open(io.BytesIO(bytes(file.numpy()))) for file in files]
        pixels = [np.array(image.convert(mode)) for image in images]
    except OSError as error:
        raise RuntimeError(str(error)) from error
    return [torch.from_numpy(one).permute(2, 0, 1) for one in pixels]


@pytest.fixture
def jpegs_on_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A torchvision that decodes as Pillow does: the real one is not of every build of torch."""
    from sscd_cli.models.runtime import nvjpeg

    module = ModuleType("torchvision.io")
    module.ImageReadMode, module.decode_jpeg = SimpleNamespace(RGB="RGB"), by_pillow  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.io", module)
    nvjpeg.works.cache_clear()
    yield module
    nvjpeg.works.cache_clear()


def records_of(report: bytes | str) -> list[dict[str, Any]]:
    """Return the records of a report in JSON Lines, between its header and its end."""
    text = report.decode() if isinstance(report, bytes) else report
    header, *records, end = (json.loads(line) for line in text.removesuffix("\n").split("\n"))
    assert header["tool"] == "sscd"
    assert end["end"] is True
    return records


def csv_rows_of(report: bytes) -> list[dict[str, str]]:
    """Return the rows of a report in CSV, below its header."""
    header, _, rows = report.decode("utf-8", "surrogateescape").partition("\n")
    assert json.loads(header.removeprefix("# "))["tool"] == "sscd"
    return list(csv.DictReader(io.StringIO(rows, newline="")))


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder, hidden ones too, in order."""
    return sorted(path.name for path in folder.iterdir())


def error_line(ran: Ran) -> str:
    """Return the error that a command ended with: the last line on stderr, without its prefix."""
    last = ran.err.splitlines()[-1]
    assert last.startswith("sscd: error: "), ran.err
    assert "Traceback" not in ran.err
    return last.removeprefix("sscd: error: ")


def failed(run: Run, status: int, message: str, *words: str | Path, **how: Any) -> None:
    """Run a command that must end with a status and one message, and say nothing else."""
    ran = run(*words, **how)
    assert error_line(ran) == message
    assert (ran.status, ran.out) == (status, b"")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 64 kB for the test."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)]
    try:
        done = subprocess.run(mount, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        done = False
    if not done:
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)
