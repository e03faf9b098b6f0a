"""`--estimate` tells what embedding would take and leaves no trace."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Run, error_line, names_in, picture

from sscd_cli.commands import embed, estimate
from sscd_cli.options.embed import EmbedOptions


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for i in range(30):
        picture(tmp_path / "photos" / f"{i:02}.png", i)
    (tmp_path / "photos/torn.png").write_bytes(b"torn")
    return tmp_path / "photos"


@pytest.mark.parametrize("command", ["embed", "dedup"])
def test_the_estimate_is_data_and_nothing_is_written(
    tiny: Run, photos: Path, tmp_path: Path, command: str
) -> None:
    before = names_in(tmp_path)
    ran = tiny(command, "photos", "--estimate")
    assert (ran.status, ran.err) == (0, "")
    assert [line.split()[0] for line in ran.lines] == [
        "images", "reading", "time", "memory", "disk",
    ]  # fmt: skip
    assert ran.lines[0] == "images   31, 31 of them to embed"
    assert " images/s with tiny on cpu (" in ran.lines[2]
    assert names_in(tmp_path) == before


def test_no_pace_is_stated_where_nothing_was_measured(tiny: Run, photos: Path) -> None:
    assert tiny("embed", "photos").status == 0
    assert tiny("embed", "photos", "--estimate").lines[2] == "time     about 0 s"


def test_the_numbers_follow_from_the_files_and_the_probe(
    photos: Path, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "PROBE", 8)
    options = EmbedOptions(
        sources=(str(photos),), descriptors=tmp_path / "d", model=str(tiny_model), workers=2
    )
    found = estimate.run(options)
    assert (found.images, found.unchanged, found.probed) == (31, 0, 8)
    assert found.file_bytes == sum(path.stat().st_size for path in photos.iterdir())
    assert found.seconds == pytest.approx(31 / found.images_per_second)
    assert found.memory_bytes > 50e6
    assert found.disk_bytes == 31 * (16 * 2 + estimate.ROW_BYTES)
    embed.run(options)
    picture(photos / "new.png", 99)
    found = estimate.run(options)
    assert (found.images, found.unchanged, found.probed) == (32, 31, 1)
    (photos / "new.png").unlink()
    assert estimate.run(options).seconds == 0


def test_stored_descriptors_get_an_estimate_of_the_join(tiny: Run, photos: Path) -> None:
    assert error_line(tiny("dedup", "--estimate")).startswith("there are no descriptors in ")
    tiny("embed", "photos")
    ran = tiny("dedup", "--estimate", "--exact")
    assert (ran.status, ran.err) == (0, "")
    assert ran.lines[:2] == ["images   30", "pairs    435, looked at all of them"]
    assert [line.split()[0] for line in ran.lines[2:]] == ["time", "memory"]
