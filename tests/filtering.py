"""What `sscd filter` is tried on: sources of many kinds, the reports of them, and what it says."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import Run, picture

COPIES = {"b.png": "a.png", "d.png": "c.png"}  # what is removable in `pictures`


@pytest.fixture
def pictures(tmp_path: Path) -> dict[str, bytes]:
    """Return five pictures, two of which are exact copies of others."""
    images = {
        name: picture(tmp_path / "made" / name, seed, (40, 30)).read_bytes()
        for name, seed in {"a.png": 1, "c.png": 2, "e.png": 3}.items()
    }
    return dict(sorted({**images, **{new: images[old] for new, old in COPIES.items()}}.items()))


def folder_of(path: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def tar_of(path: Path, files: Mapping[str, bytes], **options: Any) -> Path:
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w", **options) as archive:
        for number, (name, data) in enumerate(files.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = len(data), 1000 + number, 0o600 + number
            archive.addfile(member, io.BytesIO(data))
    return path


def zip_of(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.comment = b"a comment"
        for number, (name, data) in enumerate(files.items()):
            info = zipfile.ZipInfo(name, (2001, 2, 3, 4, 5, 2 * number))
            info.compress_type = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)[number % 2]
            info.external_attr, info.comment = 0o640 << 16, b"member"
            archive.writestr(info, data)
    return path


def report(tiny: Run, source: str | Path, format: str = "jsonl") -> Path:
    """Write what `sscd dedup` says of a source."""
    path = Path(f"report.{format}")
    assert tiny("dedup", source, "-f", format, "-o", path).status == 0
    return path


def summary(images: int, removed: int, output: str, along: str = "") -> str:
    kept = f"{images - removed} kept and verified in {output}"
    return f"{images} images: {removed} removed{along}, {kept}\n"


def members(path: Path) -> list[tuple[str, bytes, dict[str, Any]]]:
    with tarfile.open(path) as tar:
        return [
            (m.name, file.read() if (file := tar.extractfile(m)) else b"", m.get_info())
            for m in tar.getmembers()
        ]


def rewrite(path: Path, *clusters: dict[str, Any]) -> bytes:
    """Put other clusters between the first and the last record of a report."""
    first, *_, last = path.read_bytes().removesuffix(b"\n").split(b"\n")
    lines = [first, *(json.dumps(cluster).encode() for cluster in clusters), last]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path.read_bytes()
