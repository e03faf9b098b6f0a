"""One dataset held against another: decisions, a second look, and what apply makes of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import Ran, Run, Store, error_line, names_in, picture
from other_shots import pages

from sscd_cli.decisions.records import append_decisions
from sscd_cli.images.read import content_hash

A, B, C, D = np.eye(8)[:4]


@pytest.fixture
def matches(sscd: Run, tmp_path: Path, store: Store) -> Path:
    """Two exact copies and a look-alike of photographs in another dataset; return the report."""
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    a, b = picture(theirs / "a.png", 1), picture(theirs / "b.png", 2)
    mine.mkdir()
    for name, source in (("a-copy.png", a), ("b-copy.png", b)):
        shutil.copy2(source, mine / name)
    near = 0.5 * C + 0.75**0.5 * D
    ours = {mine / "a-copy.png": A, mine / "b-copy.png": B, picture(mine / "c.png", 3): near}
    store(tmp_path / "descriptors", ours, root=mine, look_at=0.4)
    other = {a: A, b: B, picture(theirs / "c.png", 4): C}
    store(tmp_path / "theirs.d", other, root=theirs, look_at=0.4)
    return tmp_path / "m.jsonl"


def reported(sscd: Run, report: Path, *words: str) -> Ran:
    ran = sscd("dedup", "--against", "theirs.d", "-o", report, *words)
    assert ran.status == 0, ran.err
    return ran


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_apply_moves_ours_and_never_theirs(sscd: Run, matches: Path, suffix: str) -> None:
    report = matches.with_suffix(suffix)
    folder = report.parent
    reported(sscd, report)
    ran = sscd("apply", report)
    assert ran.lines == [
        "quarantine  mine/a-copy.png  (exact bytes; theirs/a.png stays)",
        "quarantine  mine/b-copy.png  (exact bytes; theirs/b.png stays)",
    ]
    assert sscd("apply", report, "--go").status == 0
    assert names_in(folder / "mine") == [".sscd-quarantine", "c.png"]
    assert names_in(folder / "theirs") == ["a.png", "b.png", "c.png"]
    assert sscd("undo", folder / "m.journal.jsonl").status == 0
    assert names_in(folder / "mine") == ["a-copy.png", "b-copy.png", "c.png"]


def test_no_decision_lets_anything_of_theirs_go(sscd: Run, matches: Path) -> None:
    reported(sscd, matches)
    folder = matches.parent
    mine, theirs = (content_hash(str(folder / f"{name}/c.png")) for name in ("mine", "theirs"))
    left, right = sorted((mine, theirs))
    said = {"left": left, "right": right, "verdict": "same"}
    append_decisions(folder / "d.jsonl", [{**said, "keeper": mine}])
    ran = sscd("apply", matches, "--go", "--decisions", "d.jsonl")
    assert ran.status == 0
    assert names_in(folder / "theirs") == ["a.png", "b.png", "c.png"]
    assert "c.png" in names_in(folder / "mine")
    append_decisions(folder / "d.jsonl", [{**said, "keeper": theirs}])
    assert sscd("apply", matches, "--go", "--decisions", "d.jsonl").status == 0
    assert names_in(folder / "mine") == [".sscd-quarantine"]


def test_a_file_of_both_datasets_stays(
    sscd: Run, matches: Path, tmp_path: Path, store: Store
) -> None:
    mine = tmp_path / "mine"
    files = {mine / "a-copy.png": A, tmp_path / "theirs" / "a.png": A}
    store(tmp_path / "theirs.d", files, look_at=0.4)  # by other names of the same files
    reported(sscd, matches)
    ran = sscd("apply", matches, "--go")
    assert "mine/a-copy.png is not touched: it is protected" in ran.err
    assert names_in(mine) == [".sscd-quarantine", "b-copy.png", "c.png"] or ran.status == 3
    assert (mine / "a-copy.png").exists()
    assert (tmp_path / "theirs" / "a.png").exists()


def test_what_was_decided_to_stay_in_both_is_no_match(sscd: Run, matches: Path) -> None:
    folder = matches.parent
    hashes = [content_hash(str(folder / "mine" / f"{name}-copy.png")) for name in "ab"]
    pair = {"left": hashes[0], "right": hashes[0], "verdict": "keep_both", "keeper": None}
    append_decisions(folder / "descriptors" / "decisions.jsonl", [pair])
    ran = reported(sscd, matches)
    assert "1 pair left out, for so it was decided\n" in ran.err
    assert "1 of 3 images have a copy among 3 others" in ran.err
    said = [json.loads(line) for line in matches.read_text().splitlines()][1:-1]
    assert [match["path"] for match in said] == ["mine/b-copy.png", "mine/c.png"]
    assert sscd("apply", matches).lines[0].startswith("quarantine  mine/b-copy.png")


def test_cut_or_contradicting_matches_are_refused(sscd: Run, matches: Path) -> None:
    reported(sscd, matches)
    lines = matches.read_text().splitlines(keepends=True)
    for text, start in (
        ("".join(lines[:-1]), "is cut: its last record is missing"),
        ("".join([lines[0], *lines[2:]]), "is cut: it holds 2 matches of 3"),
        ("".join(lines).replace('"checked": true', '"checked": 1'), "is no whole report of"),
        ("".join(lines).replace('"exact bytes"', '"sure"'), "is no whole report of sscd dedup: "),
    ):
        matches.write_text(text)
        ran = sscd("apply", matches)
        assert error_line(ran).startswith(f"{matches} {start}")


def test_another_shot_of_theirs_is_only_looked_at(sscd: Run, tmp_path: Path, store: Store) -> None:
    one, other = pages(3)
    files = {name: tmp_path / f"{name}.png" for name in ("mine", "copy", "theirs")}
    for path, drawn in zip(files.values(), (other, one.resize((425, 550)), one), strict=True):
        drawn.save(path)
    store(tmp_path / "descriptors", {files["mine"]: A, files["copy"]: A})
    store(tmp_path / "theirs.d", {files["theirs"]: A})
    ran = sscd("dedup", "--against", "theirs.d", "-f", "paths")
    assert ran.lines == ["copy.png"]
    assert "second look at 2 pairs: 1 confirmed copy, 1 other shot to look at" in ran.err
    assert "1 of 2 images have a copy among 1 other, 1 more have one to look at" in ran.err
    ran = sscd("dedup", "--against", "theirs.d", "-f", "paths", "--no-second-look")
    assert ran.lines == ["mine.png", "copy.png"]
