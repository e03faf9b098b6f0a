"""What was decided by content holds wherever the files are, and is listed, revoked and merged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import DATA, Run, Store, error_line, picture, records_of
from PIL import Image

from sscd_cli.decisions.heirs import decided_among
from sscd_cli.decisions.records import Decisions, append_decisions, read_decisions
from sscd_cli.images.read import content_hash
from sscd_cli.matching.copies import Copies
from sscd_cli.matching.decided import decided_between, without_rejected
from sscd_cli.matching.join import Pairs

A, B = np.eye(8)[:2]


def said(verdict: str, *hashes: str, when: str = "", keeper: str | None = None) -> dict[str, Any]:
    """Return a decision on two contents."""
    left, right = sorted(hashes)
    return {"left": left, "right": right, "verdict": verdict, "keeper": keeper, "when": when}


def hash_of(path: Path) -> str:
    return content_hash(str(path))


def test_what_was_rejected_never_comes_back_whatever_it_is_called(
    sscd: Run, tmp_path: Path, store: Store
) -> None:
    one, two = picture(tmp_path / "a.png", 1, (60, 60)), picture(tmp_path / "b.png", 2)
    near = 0.9 * A + (1 - 0.9**2) ** 0.5 * B
    store(tmp_path / "descriptors", {one: A, two: near})
    assert len(records_of(sscd("dedup", "-f", "jsonl").out)) == 1
    append_decisions(
        tmp_path / "descriptors/decisions.jsonl", [said("other_shot", hash_of(one), hash_of(two))]
    )
    ran = sscd("dedup", "-f", "jsonl")
    assert records_of(ran.out) == []
    assert "1 pair left out, for so it was decided\n" in ran.err
    moved = {two.rename(tmp_path / "aa.png"): near, one.rename(tmp_path / "z.png"): A}
    store(tmp_path / "other", moved)
    assert len(records_of(sscd("dedup", "-d", "other", "-f", "jsonl").out)) == 1
    words = ("-d", "other", "--decisions", "descriptors/decisions.jsonl", "-f", "jsonl")
    assert records_of(sscd("dedup", *words).out) == []
    (tmp_path / "bad").write_text("{}\n")
    error = error_line(sscd("dedup", "--decisions", "bad"))
    assert error.startswith("line 1 of bad is no decision")


def test_the_same_pixels_inherit_a_decision_and_a_near_copy_does_not() -> None:
    bytes_N16 = np.arange(4, dtype=np.uint8).repeat(16).reshape(4, 16) + 1
    pixels_N16 = bytes_N16.copy()
    pixels_N16[2] = pixels_N16[0]  # row 2 is row 0 in another format, row 3 but resembles it
    columns = {"content_hash": bytes_N16, "pixel_hash": pixels_N16}
    left, right = np.array([0, 0, 1, 1]), np.array([1, 3, 2, 3])
    pairs = Pairs(left, right, np.ones(4, np.float32))
    rejected = {(bytes_N16[0].tobytes().hex(), bytes_N16[1].tobytes().hex())}
    copies, count = without_rejected(Copies(np.arange(4), pairs), columns, rejected)
    assert count == 2
    assert list(zip(copies.pairs.left, copies.pairs.right, strict=True)) == [(0, 3), (1, 3)]
    elsewhere = {("f" * 32, "e" * 32)}
    assert without_rejected(Copies(np.arange(4), pairs), columns, elsewhere)[1] == 0
    saved_again = {"f" * 32: pixels_N16[0].tobytes().hex(), "e" * 32: pixels_N16[1].tobytes().hex()}
    assert without_rejected(Copies(np.arange(4), pairs), columns, elsewhere, saved_again)[1] == 2


def decided_photos(sscd: Run, tmp_path: Path) -> tuple[Path, Path, dict[str, str], dict[str, Any]]:
    """Return two photographs, the hashes of their pixels, and a line that says: two shots."""
    photos = tmp_path / "photos"
    photos.mkdir()
    names = "alps.jpg", "alps-brighter.jpg"
    one, two = (Path(shutil.copy(DATA / "gallery" / name, photos)) for name in names)
    members = records_of(sscd("dedup", photos, "-f", "jsonl").out)[0]["members"]
    pixels = {member["content_hash"]: member["pixel_hash"] for member in members}
    line = said("other_shot", hash_of(one), hash_of(two))
    known = {f"{side}_pixels": pixels[line[side]] for side in ("left", "right")}
    return one, two, pixels, {**line, **known}


def test_a_decision_holds_for_the_same_pixels_when_the_decided_files_are_gone(
    sscd: Run, tmp_path: Path
) -> None:
    _, two, _, line = decided_photos(sscd, tmp_path)
    append_decisions(tmp_path / "said.jsonl", [line])
    old = {name: line[name] for name in line if not name.endswith("_pixels")}
    append_decisions(tmp_path / "old.jsonl", [old])  # of a tool that knew no pixels
    with Image.open(two) as image:
        image.save(two.with_suffix(".png"))
    two.unlink()
    for file, clusters in (("said.jsonl", 0), ("old.jsonl", 1)):
        ran = sscd("dedup", "photos", "-d", "later", "-f", "jsonl", "--decisions", file)
        assert len(records_of(ran.out)) == clusters
    # so it does for what shows a report or acts on one that was made before the decision
    assert sscd("dedup", "-d", "later", "-f", "jsonl", "-o", "r.jsonl").status == 0
    ran = sscd("apply", "r.jsonl", "--decisions", "said.jsonl")
    assert ran.out == b""
    assert ran.err.startswith("1 removable image left, for so it was decided\n")
    assert sscd("review", "r.jsonl", "-o", "p.html", "--decisions", "said.jsonl").status == 0
    assert '"other_shot",""]' in (tmp_path / "p.html").read_text()
    assert len(sscd("apply", "r.jsonl", "--decisions", "old.jsonl").lines) == 1


@pytest.mark.parametrize("words", [("dedup",), ("dedup", "--against", "others")])
def test_the_page_of_dedup_begins_with_what_was_decided(
    sscd: Run, tmp_path: Path, store: Store, words: tuple[str, ...]
) -> None:
    one, two = picture(tmp_path / "a.png", 1), picture(tmp_path / "b.png", 2)
    near = 0.9 * A + (1 - 0.9**2) ** 0.5 * B
    store(tmp_path / "descriptors", {one: A} if "--against" in words else {one: A, two: near})
    store(tmp_path / "others", {two: near})
    stays = hash_of(two)
    line = said("same", hash_of(one), stays, keeper=stays)
    append_decisions(tmp_path / "descriptors/decisions.jsonl", [line])
    assert sscd(*words, "-t", "0.8", "-f", "html", "-o", "page.html").status == 0
    assert f'"same","{stays}"]' in (tmp_path / "page.html").read_text()


NEW, OLD, KEPT, MORE = (digit * 32 for digit in "1234")
SHOWN, STAYS = "a" * 32, "b" * 32  # the pixels of NEW and OLD, and of KEPT and MORE


def decided(tmp_path: Path, *records: dict[str, Any]) -> Decisions:
    """Return what a file of decisions says, each with the pixels of its contents."""
    pixels = {NEW: SHOWN, OLD: SHOWN, KEPT: STAYS, MORE: STAYS}
    known = ({f"{side}_pixels": pixels[r[side]] for side in ("left", "right")} for r in records)
    file = tmp_path / "d.jsonl"
    append_decisions(file, [{**r, **more} for r, more in zip(records, known, strict=True)])
    return read_decisions(file)


def test_an_image_inherits_what_was_decided_of_its_pixels(tmp_path: Path) -> None:
    went = decided(tmp_path, said("same", OLD, KEPT, keeper=KEPT))
    pair = (NEW, KEPT)
    assert decided_among(went, [(NEW, SHOWN), (KEPT, STAYS)])[pair] == ("same", KEPT)
    assert pair not in decided_among(went, [(NEW, ""), (KEPT, STAYS)])
    assert pair not in decided_among(went, [(NEW, "c" * 32), (KEPT, STAYS)])
    # one that stays has heirs once it is gone, and one of them is enough
    assert (NEW, MORE) not in decided_among(went, [(NEW, SHOWN), (MORE, STAYS), (KEPT, STAYS)])
    heirs = decided_among(went, [(NEW, SHOWN), (MORE, STAYS), ("5" * 32, STAYS)])
    assert heirs[NEW, MORE] == ("same", MORE)
    assert (NEW, "5" * 32) not in heirs


def test_what_was_decided_of_the_bytes_comes_before_what_is_inherited(tmp_path: Path) -> None:
    images = [(NEW, SHOWN), (OLD, SHOWN), (KEPT, STAYS), (MORE, STAYS)]
    both = decided(tmp_path, said("same", NEW, KEPT, keeper=NEW), said("other_shot", OLD, KEPT))
    found = decided_among(both, images)
    assert found[NEW, KEPT] == ("same", NEW)
    assert found[OLD, KEPT] == found[NEW, MORE] == found[OLD, MORE] == ("other_shot", "")


def test_what_tells_two_of_the_same_pixels_apart_is_not_inherited(tmp_path: Path) -> None:
    same = decided(tmp_path, said("same", NEW, OLD, keeper=OLD))
    images = [(NEW, SHOWN), ("5" * 32, SHOWN)]
    assert decided_among(same, images) == {(NEW, OLD): ("same", OLD)}


def test_an_heir_takes_back_what_it_inherited(tmp_path: Path) -> None:
    assert decided(tmp_path, said("other_shot", OLD, KEPT)).verdicts
    assert not decided(tmp_path, said("revoked", NEW, KEPT)).verdicts


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    return picture(tmp_path / "a.png", 1), picture(tmp_path / "b.png", 2)


def test_decisions_are_listed_and_taken_back(
    sscd: Run, tmp_path: Path, two: tuple[Path, Path]
) -> None:
    file = tmp_path / "d.jsonl"
    hashes = tuple(map(hash_of, two))
    append_decisions(file, [said("same", *hashes, keeper=hashes[0]), said("keep_both", *hashes)])
    ran = sscd("decisions", "list", "--decisions", file)
    assert ran.lines == ["keep_both      " + "  ".join(sorted(hashes))]
    assert ran.err == f"1 pair decided in {file}\n"
    ran = sscd("decisions", "list", "--decisions", file, "-f", "jsonl")
    assert json.loads(ran.out)["verdict"] == "keep_both"
    words = ("decisions", "revoke", "a.png", hashes[1], "--decisions", file, "--who", "me")
    assert sscd(*words).err == f"taken back in {file}: keep_both\n"
    assert read_decisions(file).verdicts == {}
    assert sscd("decisions", "list", "--decisions", file).out == b""
    error = error_line(sscd(*words))
    assert error.startswith(f"nothing was decided of a.png and {hashes[1]}; sscd decisions list")
    assert "there is no file none" in error_line(sscd("decisions", "list", "--decisions", "none"))
    error = error_line(sscd("decisions", "revoke", "x.png", "a.png", "--decisions", file))
    assert error.startswith("cannot read x.png: No such file or directory; name an image file")


def test_the_later_decision_of_several_files_holds(sscd: Run, tmp_path: Path) -> None:
    a, b, c = (digit * 32 for digit in "abc")
    append_decisions(tmp_path / "ours", [said("same", a, b, when="2026-01-02", keeper=a)])
    theirs = [said("other_shot", a, b, when="2026-01-01"), said("keep_both", b, c)]
    append_decisions(tmp_path / "theirs", theirs)
    append_decisions(tmp_path / "last", [said("revoked", b, c, when="2026-01-03")])
    ran = sscd("decisions", "merge", "theirs", "--decisions", "ours")
    assert ran.err == "1 decision added; 2 pairs decided in ours\n"
    assert read_decisions(tmp_path / "ours").verdicts == {
        (a, b): ("same", a),
        (b, c): ("keep_both", ""),
    }
    assert "0 decisions added" in sscd("decisions", "merge", "theirs", "--decisions", "ours").err
    ran = sscd("decisions", "merge", "last", "--decisions", "ours")
    assert ran.err == "1 decision added; 1 pair decided in ours\n"
    assert sscd("decisions", "merge", "theirs", "last", "--decisions", "new").status == 0
    assert read_decisions(tmp_path / "new").verdicts == {(a, b): ("other_shot", "")}


def test_of_two_sets_pixels_inherit_and_the_same_bytes_come_first() -> None:
    def columns(*rows: str) -> dict[str, Any]:
        return {
            name: np.array([list(row[place].encode() * 16) for row in rows], np.uint8)
            for place, name in enumerate(("content_hash", "pixel_hash"))
        }

    def hash_of(letter: str) -> str:
        return letter.encode().hex() * 16

    ours, theirs = columns("ap", "bp", "cq"), columns("xr", "yr")
    pairs = Pairs(np.array([0, 1, 2, 0]), np.array([0, 0, 0, 1]), np.ones(4, np.float32))
    one, other = (hash_of("a"), hash_of("x")), (hash_of("b"), hash_of("x"))
    assert decided_between(pairs, ours, theirs, {one: "no"}) == {0: "no", 1: "no", 3: "no"}
    both = decided_between(pairs, ours, theirs, {one: "no", other: "same"})
    assert (both[0], both[1]) == ("no", "same")
    assert 2 not in both
    assert decided_between(pairs, ours, theirs, {(hash_of("m"), hash_of("n")): "no"}) == {}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "<<<<<<< HEAD",
            "a conflict mark of git; remove the marks and keep the lines of both sides",
        ),
        ("{}", "no decision: it lacks 'left'; mend or remove that line"),
        ("[1]", "no decision: it is no JSON object; mend or remove that line"),
        ('{"left"', "no decision: it is no JSON object; mend or remove that line"),
        ("\xff", "no decision: it is no JSON object; mend or remove that line"),
        ("[" * 100_000, "no decision: its values are nested too deeply; mend or remove that line"),
    ],
)
def test_a_line_that_is_no_decision_is_named_with_what_to_do(
    sscd: Run, tmp_path: Path, line: str, message: str
) -> None:
    append_decisions(tmp_path / "said", [said("keep_both", "0" * 32, "1" * 32)])
    with (tmp_path / "said").open("ab") as file:
        file.write(line.encode("latin1") + b"\n")
    error = error_line(sscd("decisions", "list", "--decisions", "said"))
    assert error == f"line 2 of said is {message}"


@pytest.mark.parametrize(
    "words",
    [
        *("dedup", "dedup --against descriptors", "apply r.jsonl", "apply r.jsonl --go"),
        "review r.jsonl -o p.html",
    ],
)
def test_a_file_of_decisions_that_is_not_there_stops_everything(
    sscd: Run, tmp_path: Path, store: Store, words: str
) -> None:
    files = {picture(tmp_path / name, 1): np.eye(4)[0] for name in ("a.png", "b.png")}
    store(tmp_path / "descriptors", files)
    assert sscd("dedup", "-o", "r.jsonl").status == 0
    ran = sscd(*words.split(), "--decisions", "nowhere.jsonl")
    assert (ran.status, ran.out) == (3, b"")
    assert error_line(ran) == ("there is no file nowhere.jsonl; check the path of --decisions")
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["a.png", "b.png"]


def test_what_was_decided_is_taken_back_by_files_that_show_the_same(
    sscd: Run, tmp_path: Path
) -> None:
    one, two, pixels, line = decided_photos(sscd, tmp_path)
    file = tmp_path / "said.jsonl"
    with Image.open(two) as image:
        image.save(tmp_path / "again.png")
    gone = said("keep_both", hash_of(one), "0" * 32)  # of the same picture in a file that has gone
    of_gone = {gone["right"]: pixels[hash_of(one)], "0" * 32: pixels[hash_of(two)]}
    known_too = {f"{side}_pixels": of_gone[gone[side]] for side in ("left", "right")}
    append_decisions(file, [{**gone, **known_too}, line])
    error_line(sscd("decisions", "revoke", "again.png", "again.png", "--decisions", file))
    ran = sscd("decisions", "revoke", one, "again.png", "--decisions", file)
    assert ran.status == 0
    assert ran.err.startswith(f"taken back in {file}: ")
    assert not read_decisions(file).verdicts
    assert sscd("decisions", "list", "--decisions", file).out == b""


def test_merging_counts_what_holds_as_the_list_does(sscd: Run, tmp_path: Path) -> None:
    a, b, again = (digit * 32 for digit in "abc")
    pixels = {"left_pixels": "1" * 32, "right_pixels": "2" * 32}
    append_decisions(tmp_path / "ours", [{**said("keep_both", a, b, when="1"), **pixels}])
    append_decisions(
        tmp_path / "theirs",
        # of the same picture saved again, and of both taken back
        [
            {**said("keep_both", a, again, when="2"), **pixels},
            {**said("revoked", a, again, when="3"), **pixels},
        ],
    )
    ran = sscd("decisions", "merge", "theirs", "--decisions", "ours")
    assert ran.err == "1 decision added; 0 pairs decided in ours\n"
    assert sscd("decisions", "list", "--decisions", "ours").out == b""
