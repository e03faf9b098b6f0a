"""Tables without images among other archives are left out, and counted."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Run, error_line, picture

from sscd_cli.storage import servers


def test_what_img2dataset_notes_beside_its_shards_is_left_out(
    tiny: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "PAUSE", 0.01)
    folder = tmp_path / "all"
    folder.mkdir()
    with tarfile.open(folder / "00000.tar", "w") as archive:
        for n in (0, 1):
            archive.add(picture(tmp_path / f"{n}.png", n), f"{n}.png")
    notes = pa.table({"url": ["https://x.invalid/a.jpg"], "caption": ["a"]})
    pq.write_table(notes, folder / "00000.parquet")
    pq.write_table(pa.table({"n": [1]}), folder / "index.parquet")
    ran = tiny("embed", "all")
    assert ran.status == 0, ran.err
    assert "not images: 2 .parquet\n" in ran.err
    (folder / "00000.tar").unlink()
    assert "x.invalid" in tiny("embed", "all", "-d", "d").err  # by itself it is a list


def test_a_table_without_images_among_others_costs_itself_alone(tiny: Run, tmp_path: Path) -> None:
    image = picture(tmp_path / "a.png", 1).read_bytes()
    pq.write_table(pa.table({"image": [image]}), tmp_path / "a-0.parquet")
    pq.write_table(pa.table({"n": [1]}), tmp_path / "a-1.parquet")
    pq.write_table(pa.table({"image": [image]}), tmp_path / "a-2.parquet")
    ran = tiny("embed", "a-*.parquet", "--strict")
    assert ran.status == 4
    assert "3 images: 1 embedded, 1 exact copy, 1 unreadable" in ran.err
    assert "a-1.parquet: the archive cannot be read to its end: a table without images" in ran.err
    (tmp_path / "none").mkdir()
    (tmp_path / "a-1.parquet").rename(tmp_path / "none" / "a.parquet")
    assert "has no column with images" in error_line(tiny("embed", "none"))
