"""Files that are complete or absent."""

from __future__ import annotations

from pathlib import Path

from conftest import names_in

from sscd_cli.storage.files import whole_file


def test_of_two_writers_at_once_neither_writes_into_the_others_file(tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    with whole_file(path) as last:
        last.write(b"last")
        with whole_file(path) as first:
            first.write(b"first and longer")
        assert path.read_bytes() == b"first and longer"
    assert path.read_bytes() == b"last"
    assert names_in(tmp_path) == ["report.csv"]
