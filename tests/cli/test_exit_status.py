"""What ends a command with 2, with 3, with 4: words that are wrong, or things that are."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from conftest import Run, Store, error_line, picture

A = [1.0, 0.0]

WORDS = """
    nonsense
    embed
    embed a.png --nonsense
    embed a.png --batch-size x
    embed a.png --batch-size 0
    embed a.png -m nonsense
    embed a.png --device tpu
    embed a.png --dtype int8
    embed a.png --task 3/2
    embed a.png --estimate --strict
    dedup -t 2
    dedup -t abc
    dedup -f xml
    dedup -o x.html -f csv
    dedup --include x
    dedup --score-norm 1[0]
    fit -o a.post --transform shear
    search a.png -k 0
    pair a.png
    eval pairs t.csv --plot a.xyz
    models path nonsense
    models remove sscd_mini
    train a -o b --trunk vgg
    calibrate --weights crap=1
"""
THINGS = """
    embed nowhere
    embed empty
    embed notes.txt
    embed torn.png
    embed a.png --device cuda:7
    embed a.png -m broken.safetensors
    embed a.png -d notes.txt
    dedup -d nowhere
    dedup -d unreadable
    dedup -t nowhere.json
    dedup -t auto
    dedup -t notes.txt
    dedup --post nowhere -t 0.5
    dedup --against nowhere
    dedup -o nowhere/report
    dedup notes.txt
    dedup torn.png
    filter photos --remove nowhere -o out
    filter photos --remove notes.txt -o out
    filter photos --remove nowhere -o photos
    search nowhere.png
    search a.png -d unreadable
    index -d unreadable
    pair a.png nowhere.png
    pair a.png torn.png
    eval pairs nowhere.csv
    models path sscd_disc_mixup
    train empty -o run
    review nowhere -o page.html
    review notes.txt -o page.html
    calibrate -d nowhere
    undo nowhere
    undo notes.txt
"""


@pytest.fixture
def things(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSCD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    files: dict[Path, Any] = {picture(tmp_path / "a.png", 1): A, picture(tmp_path / "b.png", 2): A}
    store(tmp_path / "descriptors", files)
    for name in ("notes.txt", "torn.png", "more.png"):
        (tmp_path / name).write_text("no image, no report, no number")
    store(tmp_path / "unreadable", {tmp_path / "a.png": A})
    from sscd_cli.descriptors.shards import shard_paths

    for shard in shard_paths(tmp_path / "unreadable"):
        shard.unlink()
    save_unreadable(tmp_path / "unreadable", tmp_path / "notes.txt")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.safetensors").write_bytes(b"x")
    picture(tmp_path / "photos" / "c.png", 3)


def save_unreadable(folder: Path, file: Path) -> None:
    """Write a dataset of one file without a descriptor."""
    from conftest import drawn_provenance

    from sscd_cli.descriptors.schema import Row
    from sscd_cli.descriptors.write import ShardWriter

    row = Row(
        id=file.name,
        source=str(file.parent),
        file_bytes=1,
        mtime_ns=1,
        content_hash=bytes(16),
        error="not an image",
    )
    with ShardWriter(folder, drawn_provenance(2)) as writer:
        writer.add([row])


@pytest.mark.parametrize("typed", WORDS.strip().splitlines())
def test_words_that_are_wrong_end_with_2(tiny: Run, things: None, typed: str) -> None:
    ran = tiny(*typed.split())
    assert (ran.status, ran.out) == (2, b""), ran.err
    assert error_line(ran)


@pytest.mark.parametrize("typed", THINGS.strip().splitlines())
def test_things_that_are_wrong_end_with_3(tiny: Run, things: None, typed: str) -> None:
    ran = tiny(*typed.split())
    assert (ran.status, ran.out) == (3, b""), ran.err
    assert error_line(ran)


@pytest.mark.parametrize(
    ("module", "typed"),
    [
        ("ray", "embed a.png --engine ray"),
        ("matplotlib", "eval pairs truth.csv --plot a.png"),
        ("onnx", "models export sscd_mini -o a.onnx"),
        ("s3fs", "embed s3://bucket/folder"),
    ],
)
def test_a_missing_extra_ends_with_3_and_says_how_to_install_it(
    sscd: Run, things: None, monkeypatch: pytest.MonkeyPatch, module: str, typed: str
) -> None:
    Path("truth.csv").write_text("left,right\na.png,b.png\n")
    monkeypatch.setitem(sys.modules, module, None)
    known = import_module("fsspec.registry")._registry  # what an earlier test needed is there
    monkeypatch.delitem(known, "s3", raising=False)
    ran = sscd(*typed.split())
    assert (ran.status, ran.out) == (3, b""), ran.err
    assert "pip install 'sscd-cli[" in error_line(ran)


def test_what_was_asked_for_ends_with_1_or_4(tiny: Run, things: None) -> None:
    for typed, status in (
        ("dedup", 0),
        ("dedup --exit-code", 1),
        ("pair a.png a.png --exit-code", 0),
        ("pair a.png b.png --exit-code", 1),
        ("embed a.png torn.png -d new", 0),
        ("embed a.png torn.png -d new --strict", 4),
        ("search a.png torn.png -d new", 0),
        ("search a.png torn.png -d new --strict", 4),
    ):
        assert tiny(*typed.split()).status == status, typed


def test_nothing_embedded_is_no_success(tiny: Run, things: None) -> None:
    for command in ("embed", "dedup"):
        ran = tiny(command, "torn.png", "-d", "new")
        assert error_line(ran).startswith("cannot read torn.png: ")
        ran = tiny(command, "torn.png", "more.png", "-d", "new")
        assert error_line(ran).startswith("none of 2 images can be read, such as ")


def test_a_dataset_without_readable_images_is_no_clean_one(tiny: Run, things: None) -> None:
    message = (
        "nothing of unreadable can be read: 1 image; run sscd embed on images, or name another"
    )
    message += " dataset"
    for typed in (
        "dedup -d unreadable --exit-code",
        "dedup --against unreadable --exit-code",
        "dedup -d unreadable --against descriptors --exit-code",
        "search a.png -d unreadable",
    ):
        assert error_line(tiny(*typed.split())) == message


def test_one_bad_query_does_not_stop_the_others(tiny: Run, things: None) -> None:
    assert tiny("embed", "a.png", "b.png", "-d", "new").status == 0
    ran = tiny("search", "a.png", "torn.png", "b.png", "-d", "new", "-f", "csv", "-k", "1")
    assert [line.split(",")[0] for line in ran.lines[1:]] == ["a.png", "b.png"]
    assert ran.err.startswith("sscd: warning: cannot read torn.png: ")
    assert "2 queries in 2 images" in ran.err
