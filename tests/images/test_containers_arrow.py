"""Images in Arrow files and streams, Feather among them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from conftest import Run, picture
from pyarrow import feather

from sscd_cli.descriptors.read import read_descriptors
from sscd_cli.errors import SscdError
from sscd_cli.images.containers import parquet
from sscd_cli.images.read import read_bytes
from sscd_cli.images.refs import ImageRef, Survey
from sscd_cli.images.sources import iter_images
from sscd_cli.images.status import stored_ref

ROWS = [bytes([n]) * (1000 + n) for n in range(10)]
TABLE = pa.table({"image": [{"bytes": row, "path": f"{n}"} for n, row in enumerate(ROWS)]})


def refs(path: Path) -> list[ImageRef]:
    return list(iter_images([str(path)]))


def contents(images: list[ImageRef]) -> list[bytes]:
    return [read_bytes(ref, 1 << 20)[0] for ref in images]


def stream(path: Path, table: pa.Table) -> None:
    with pa.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=3)


def file(path: Path, table: pa.Table) -> None:
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=3)


def packed(path: Path, table: pa.Table) -> None:
    feather.write_feather(table, str(path), compression="zstd", chunksize=3)


WRITERS: dict[str, Callable[[Path, pa.Table], None]] = {
    "a.arrow": stream,
    "b.arrow": file,
    "a.feather": lambda path, table: feather.write_feather(table, str(path), chunksize=3),
    "b.feather": packed,
    "a.ipc": file,
}


@pytest.mark.parametrize("name", WRITERS)
def test_arrow_files_are_tables_too(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    WRITERS[name](path, TABLE)
    if name.endswith(".arrow"):
        (tmp_path / "cache-1.arrow").write_bytes(path.read_bytes())
        (tmp_path / "state.json").write_text("{}")
    images = refs(tmp_path)  # the folder, as `datasets.save_to_disk` leaves it
    assert [ref.source for ref in images] == [str(path)] * 10
    assert contents(images) == ROWS
    assert contents([stored_ref(str(path), "7")]) == [ROWS[7]]
    (chosen,) = iter_images([f"{path}#image=image"], include=["4"])
    assert contents([chosen]) == [ROWS[4]]


@pytest.mark.parametrize("name", WRITERS)
def test_what_is_whole_of_a_truncated_arrow_file_is_kept(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name, TABLE)
    whole = (tmp_path / name).read_bytes()
    found = set()
    for size in range(0, len(whole) - 8, 59):
        (tmp_path / name).write_bytes(whole[:size])
        *images, last = iter_images([str(tmp_path / name)], survey=Survey())
        assert last.fault is not None
        assert contents(images) == ROWS[: len(images)]
        found.add(len(images))
    assert found - {10} == {0, 3, 6, 9}


@pytest.mark.parametrize("name", WRITERS)
def test_an_arrow_file_without_rows_holds_no_images(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name, TABLE.slice(0, 0))
    assert refs(tmp_path / name) == []


@pytest.mark.parametrize("name", WRITERS)
def test_an_arrow_file_is_written_again_as_the_kind_that_it_is(tmp_path: Path, name: str) -> None:
    path, target = tmp_path / name, tmp_path / f"new-{name}"
    WRITERS[name](path, TABLE)
    parquet.rewrite_arrow(str(path), str(target), {"0", "4"})
    assert contents(refs(target)) == [row for n, row in enumerate(ROWS) if n not in (0, 4)]
    read: Any = pa.ipc.open_stream if name == "a.arrow" else pa.ipc.open_file
    assert read(target.read_bytes()).schema == TABLE.schema
    if name.endswith("feather"):
        assert feather.read_table(str(target)).num_rows == 8
        assert target.stat().st_size < 2 * path.stat().st_size


@pytest.mark.filterwarnings("ignore:Feather V1:DeprecationWarning")
def test_feather_of_version_1_is_called_that(tmp_path: Path) -> None:
    feather.write_feather(pa.table({"image": ["a.png"]}), str(tmp_path / "a.feather"), version=1)
    with pytest.raises(SscdError, match="Feather of version 1: write it again with to_feather"):
        refs(tmp_path / "a.feather")


def test_a_truncated_arrow_stream_keeps_its_first_batches(tiny: Run, tmp_path: Path) -> None:
    images = [picture(tmp_path / "p" / f"{n}.png", n, (200, 150)).read_bytes() for n in range(3)]
    path = tmp_path / "data.arrow"
    table = pa.table({"image": [{"bytes": image, "path": None} for image in images]})
    with pa.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=1)
    path.write_bytes(path.read_bytes()[: -len(images[2])])
    ran = tiny("embed", path, "-d", tmp_path / "d", "--strict")
    assert ran.status == 4
    assert "the archive cannot be read to its end" in ran.err
    assert "(after 2 images)" in ran.err
    assert list(read_descriptors(tmp_path / "d").ids) == ["0", "1"]
    with pytest.raises(OSError, match="Expected"):
        parquet.rewrite_arrow(str(path), str(tmp_path / "out.arrow"), set())
    assert not (tmp_path / "out.arrow").exists()
