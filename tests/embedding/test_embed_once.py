"""What `sscd embed` does twice, and what not: limits raised, names repeated, files unreadable."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import Run, error_line, picture

from sscd_cli.descriptors.read import read_descriptors
from sscd_cli.descriptors.shards import shard_paths, shard_provenance


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for i in range(12):
        picture(tmp_path / "photos" / f"{i:02}.png", i)
    return tmp_path / "photos"


def counts(err: str) -> str:
    return next(line for line in err.splitlines() if " images: " in line and "embedded" in line)


def stored_rows(folder: str = "descriptors") -> int:
    return sum(pq.read_metadata(path).num_rows for path in shard_paths(Path(folder)))


def test_a_raised_limit_lets_in_what_was_too_large(tiny: Run, photos: Path) -> None:
    ran = tiny("embed", "photos", "--max-pixels", "1199")
    assert counts(ran.err) == ("12 images: 0 embedded, 0 exact copies, 12 unreadable, 0 unchanged")
    ran = tiny("embed", "photos")
    assert counts(ran.err) == ("12 images: 12 embedded, 0 exact copies, 0 unreadable, 0 unchanged")
    assert len(read_descriptors(Path("descriptors")).ids) == 12


def test_a_file_that_stays_unreadable_is_stored_once(tiny: Run, photos: Path) -> None:
    (photos / "gone.png").symlink_to("nowhere.png")
    for _ in range(3):
        ran = tiny("embed", "photos", "--max-bytes", "10")
        assert counts(ran.err) == (
            "13 images: 0 embedded, 0 exact copies, 13 unreadable, 0 unchanged"
        )
    assert stored_rows() == 13
    tiny("embed", "photos", "--max-bytes", "11")  # another reason
    assert stored_rows() == 12 + 13


@pytest.mark.parametrize("workers", ["0", "3"])
def test_a_name_listed_twice_is_embedded_once(tiny: Run, photos: Path, workers: str) -> None:
    names = [str(path) for path in sorted(photos.iterdir())]
    listed = "\n".join([*names, *names[::-1], names[0], "photos/00.png"]).encode()
    ran = tiny("embed", "-", "--batch-size", "2", "--workers", workers, stdin=listed)
    assert counts(ran.err).startswith("26 images: 12 embedded, 1 exact copy, 0 unreadable, 13 ")
    assert stored_rows() == 13


def test_the_number_of_workers_is_bounded(tiny: Run, photos: Path) -> None:
    for number, fault in (("-1", "too small"), ("257", "too large")):
        ran = tiny("embed", "photos", "--workers", number)
        assert ran.status == 2
        assert error_line(ran) == f"--workers {number} is {fault}; use 0 to 256"
    assert not Path("descriptors").exists()


def test_the_way_to_decode_is_recorded_and_mixes(tiny: Run, photos: Path) -> None:
    tiny("embed", "photos", "--exclude", "1*")
    assert tiny("embed", "photos", "--decode", "fast").status == 0
    ways = [
        shard_provenance(path).preprocessing["decode"] for path in shard_paths(Path("descriptors"))
    ]
    assert ways == ["exact", "fast"]
    assert len(read_descriptors(Path("descriptors")).ids) == 12
    ran = tiny("embed", "photos", "--decode", "slow")
    assert error_line(ran) == ("unknown decode 'slow'; use one of auto, exact, fast")
