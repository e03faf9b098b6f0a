"""Another shot of what stays is never removable, and every format says what was seen."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import other_shots
import pytest
from conftest import Run, drawn_provenance, records_of
from numpy.typing import NDArray
from PIL import ExifTags, Image

from sscd_cli.advice import originals, second_look
from sscd_cli.cli.dedup import looks_text
from sscd_cli.descriptors.schema import Row
from sscd_cli.descriptors.write import ShardWriter

PAGES = other_shots.pages(3)


LOOK_AT, THRESHOLD = 0.5, 0.75
VECTOR = np.eye(64, dtype=np.float32)[0]
LESS_ALIKE = np.array([0.6, 0.8, *[0] * 62], np.float32)  # similarity 0.6


def save(
    folder: Path,
    pictures: dict[str, Image.Image],
    others: Mapping[str, NDArray[np.float32]] = MappingProxyType({}),
    **hashes: bytes,
) -> None:
    """Write pictures as files, and a dataset in which all but `others` have one descriptor."""
    provenance = drawn_provenance(64, threshold=THRESHOLD, look_at=LOOK_AT)
    with ShardWriter(folder / "descriptors", provenance) as writer:
        for name, picture in pictures.items():
            path = folder / name
            picture.save(path, exif=picture.getexif())
            status = path.stat()
            row = Row(
                str(path),
                "",
                others.get(name, VECTOR),
                file_bytes=status.st_size,
                mtime_ns=status.st_mtime_ns,
                content_hash=hashes.get(path.stem, name.encode().ljust(16)),
                width=picture.width,
                height=picture.height,
                format="PNG",
            )
            writer.add([row])


@pytest.fixture
def pages(tmp_path: Path) -> None:
    """A page, a smaller copy of it, and another page; the first stays."""
    one, other = PAGES
    save(tmp_path, {"a.png": one, "copy.png": one.resize((425, 550)), "other.png": other})


WORDS = ("dedup", "--keep", "path", "-f")


@pytest.mark.usefixtures("pages")
def test_another_shot_stays_to_be_looked_at_and_a_copy_may_go(sscd: Run) -> None:
    ran = sscd(*WORDS, "jsonl")
    (cluster,) = records_of(ran.out)
    said = {m["path"]: (m["keep"], m["band"], m["verdict"]) for m in cluster["members"]}
    assert said == {
        "a.png": (True, "", ""),
        "copy.png": (False, "edited copy", "copy confirmed"),
        "other.png": (True, "look at it", "other shot"),
    }
    assert "second look at 2 pairs: 1 confirmed copy, 1 other shot to look at" in ran.err
    assert "1 removable" in ran.err
    assert "many other shots" not in ran.err, "there is nothing that pixels cannot tell"
    assert sscd(*WORDS, "paths").lines == ["copy.png"]


def test_a_copy_of_another_shot_goes_for_that_one(sscd: Run, tmp_path: Path) -> None:
    one, other = PAGES
    third, smaller = other_shots.pages(4)[0], other.resize((425, 550))
    pictures = {"a.png": one, "b.png": other, "c.png": third, "d.png": smaller}
    near = {
        name: np.array([0.9, side, rest, *[0] * 61], np.float32)
        for name, side, rest in (("b.png", 0.436, 0), ("c.png", -0.1, 0.424), ("d.png", 0.43, 0.07))
    }
    save(tmp_path, pictures, near)
    ran = sscd(*WORDS, "jsonl")
    (cluster,) = records_of(ran.out)
    said = {m["path"]: (m["keep"], m["keeper"], m["verdict"]) for m in cluster["members"]}
    assert said == {
        "a.png": (True, "a.png", ""),
        "b.png": (True, "a.png", "other shot"),
        "c.png": (True, "a.png", "other shot"),
        "d.png": (False, "b.png", "copy confirmed"),
    }
    assert sscd(*WORDS, "paths").lines == ["d.png"]


@pytest.mark.parametrize("is_copy", [True, False])
def test_originals_are_told_only_where_something_may_go_and_no_pair_is_looked_at_twice(
    is_copy: bool, sscd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = PAGES
    save(tmp_path, {"a.png": one.resize((425, 550)) if is_copy else other, "b.png": one})
    looks: list[object] = []
    compared: list[object] = []
    look, compare = second_look.second_look, originals.compare
    monkeypatch.setattr(
        second_look, "second_look", lambda *p, **how: looks.append(p) or look(*p, **how)
    )
    monkeypatch.setattr(originals, "compare", lambda *p: compared.append(p) or compare(*p))
    assert sscd("dedup", "--keep", "original,path", "-f", "paths").lines == ["a.png"] * is_copy
    assert bool(compared) is is_copy
    assert len(looks) == 1


@pytest.mark.usefixtures("pages")
def test_another_shot_is_not_taken_for_the_original_of_what_stays(sscd: Run) -> None:
    ran = sscd("dedup", "--keep", "original,path", "-f", "jsonl")
    (cluster,) = records_of(ran.out)
    said = {m["path"]: (m["keep"], m["reason"]) for m in cluster["members"]}
    assert said == {
        "a.png": (True, ""),
        "copy.png": (False, "a smaller size"),
        "other.png": (True, "another shot: its pixels differ in places"),
    }


def shots(folder: Path, copies: int) -> None:
    """A page, smaller copies of it, another page, and one too small to tell anything."""
    one, other = PAGES
    sizes = [(425 - 2 * n, 550 - 2 * n) for n in range(copies)]
    smaller = {f"copy{n:02}.png": one.resize(size) for n, size in enumerate(sizes)}
    save(folder, {"a.png": one, **smaller, "other.png": other, "tiny.png": one.resize((40, 40))})


def test_where_other_shots_abound_what_pixels_cannot_tell_stays_to_be_looked_at(
    sscd: Run, tmp_path: Path
) -> None:
    shots(tmp_path, 2)
    ran = sscd(*WORDS, "jsonl")
    said = {m["path"]: (m["keep"], m["verdict"]) for m in records_of(ran.out)[0]["members"]}
    assert said["copy00.png"] == (False, "copy confirmed")
    assert said["other.png"] == (True, "other shot")
    assert said["tiny.png"] == (True, "cannot tell")
    assert "many other shots are above the threshold" in ran.err
    assert (
        "pixels cannot tell, and the threshold says little here"
        in sscd(*WORDS, "html").out.decode()
    )
    assert sscd(*WORDS, "paths").lines == ["copy00.png", "copy01.png"]


def test_it_may_go_where_other_shots_are_rare_or_the_threshold_is_believed(
    sscd: Run, tmp_path: Path
) -> None:
    shots(tmp_path, 2)
    assert "tiny.png" in sscd(*WORDS, "paths", "--yes").lines
    shots(tmp_path, 20)
    ran = sscd(*WORDS, "paths")
    assert "tiny.png" in ran.lines
    assert "many other shots" not in ran.err


def copies_of(page: Image.Image, untold: int, confirmed: int) -> list[dict[str, Image.Image]]:
    """Return copies by name: too small for pixels to tell, and those that they confirm."""
    tiny = {f"tiny{n}.png": page.resize((40 - n, 40)) for n in range(untold)}
    smaller = {f"copy{n}.png": page.resize((425 - 2 * n, 550)) for n in range(confirmed)}
    return [tiny, smaller]


@pytest.mark.parametrize(("untold", "copies", "stay"), [(5, 0, True), (4, 0, False), (5, 3, False)])
def test_where_pixels_confirm_few_pairs_what_they_cannot_tell_stays(
    sscd: Run, tmp_path: Path, untold: int, copies: int, stay: bool
) -> None:
    tiny, smaller = copies_of(PAGES[0], untold, copies)
    save(tmp_path, {"a.png": PAGES[0], **smaller, **tiny})
    ran = sscd(*WORDS, "paths")
    assert [name for name in ran.lines if "tiny" in name] == ([] if stay else sorted(tiny))
    assert [name for name in ran.lines if "copy" in name] == sorted(smaller)
    warned = "pixels confirm few of the pairs above the threshold 0.75, so that it says little here"
    assert (warned in ran.err) == stay
    assert {*tiny} <= {*sscd(*WORDS, "paths", "--yes").lines}


@pytest.mark.parametrize(("untold", "copies", "stay"), [(5, 0, True), (4, 0, False), (5, 3, False)])
def test_of_two_sets_what_pixels_cannot_tell_may_not_go_but_counts_as_leaked(
    sscd: Run, tmp_path: Path, untold: int, copies: int, stay: bool
) -> None:
    tiny, smaller = copies_of(PAGES[0], untold, copies)
    save(tmp_path, smaller | tiny)
    one = PAGES[0]
    (tmp_path / "theirs").mkdir()
    # what is confirmed beside one of them may be untold beside others, however many
    save(
        tmp_path / "theirs",
        {"a.png": one, "b.png": one.resize((41, 41)), "c.png": one.resize((42, 42))},
    )
    words = ("dedup", "--against", "theirs/descriptors", "-f", "paths")
    ran = sscd(*words)
    assert ran.lines == sorted(smaller if stay else smaller | tiny)
    assert ("pixels confirm few of the pairs above" in ran.err) == stay
    assert sscd(*words, "--yes").lines == sorted(smaller | tiny)
    gate = sscd("leaks", "descriptors", "--against", "theirs/descriptors", "-f", "json")
    assert json.loads(gate.out)["new"] == untold + copies


@pytest.mark.parametrize("abound", [True, False])
def test_where_other_shots_abound_less_alike_pairs_are_left_out(
    sscd: Run, tmp_path: Path, abound: bool
) -> None:
    one, other = PAGES
    pictures = {"a.png": one, "b.png": other if abound else one.resize((425, 550))}
    pictures["c.png"] = one.resize((300, 400))
    save(tmp_path, pictures, {"c.png": LESS_ALIKE})
    listed = {m["path"] for m in records_of(sscd(*WORDS, "jsonl").out)[0]["members"]}
    assert listed == ({"a.png", "b.png"} if abound else {"a.png", "b.png", "c.png"})


@pytest.mark.usefixtures("pages")
def test_every_format_says_what_the_second_look_said(sscd: Run) -> None:
    assert "other.png  (other shot)" in sscd(*WORDS, "text").out.decode()
    assert "another shot: its pixels differ in places" in sscd(*WORDS, "html").out.decode()
    header, *rows = sscd(*WORDS, "csv").lines[1:]
    place = header.split(",").index("verdict")
    assert [row.split(",")[place] for row in rows] == ["", "copy confirmed", "other shot"]


@pytest.mark.usefixtures("pages")
def test_without_a_second_look_nothing_is_read_and_the_descriptors_decide(sscd: Run) -> None:
    ran = sscd(*WORDS, "jsonl", "--no-second-look")
    members = records_of(ran.out)[0]["members"]
    assert {member["verdict"] for member in members} == {""}
    assert "2 removable" in ran.err


def test_exact_copies_are_beyond_doubt(sscd: Run, tmp_path: Path) -> None:
    same = b"1" * 16
    save(tmp_path, {"a.png": PAGES[0], "b.png": PAGES[1]}, a=same, b=same)
    ran = sscd(*WORDS, "paths")
    assert ran.lines == ["b.png"]
    assert "second look" not in ran.err


def test_what_cannot_be_read_has_no_verdict(sscd: Run, tmp_path: Path) -> None:
    one, other = PAGES
    save(tmp_path, {"a.png": one, "b.png": other})
    status = (tmp_path / "b.png").stat()
    (tmp_path / "b.png").write_bytes(b"x" * status.st_size)
    os.utime(tmp_path / "b.png", ns=(status.st_atime_ns, status.st_mtime_ns))
    (cluster,) = records_of(sscd(*WORDS, "jsonl").out)
    assert {member["verdict"] for member in cluster["members"]} == {""}


def taken(time: str, fraction: str = "") -> Image.Image:
    """A picture too small for its pixels to tell anything."""
    picture = PAGES[0].resize((40, 40))
    exif = picture.getexif()
    exif[ExifTags.IFD.Exif] = {
        ExifTags.Base.DateTimeOriginal: f"2026:05:01 {time}",
        **({ExifTags.Base.SubsecTimeOriginal: fraction} if fraction else {}),
    }
    return picture


@pytest.mark.parametrize(
    ("other", "verdict"),
    [
        (("10:00:00", "25"), "cannot tell"),
        (("10:00:00", "250"), "cannot tell"),
        (("10:00:00", "31"), "other shot"),
        (("10:00:07",), "other shot"),
        (("12:00:00", "25"), "cannot tell"),  # a clock put right
        (("never",), "cannot tell"),
    ],
)
def test_where_pixels_cannot_tell_the_time_of_the_shots_does(
    sscd: Run, tmp_path: Path, other: tuple[str, ...], verdict: str
) -> None:
    save(tmp_path, {"a.png": taken("10:00:00", "25"), "b.png": taken(*other)})
    ran = sscd(*WORDS, "jsonl")
    (cluster,) = records_of(ran.out)
    member = cluster["members"][1]
    assert member["verdict"] == verdict
    assert member["keep"] == (verdict == "other shot")
    late = verdict == "other shot"
    assert ("another shot: taken at another time" in sscd(*WORDS, "html").out.decode()) == late


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((8, 7, 0), "8 pairs: 7 confirmed copies, 1 that pixels cannot tell"),
        ((2, 0, 2), "2 pairs: 2 other shots to look at"),
        ((1, 1, 0), "1 pair: 1 confirmed copy"),
    ],
)
def test_the_counts_of_a_second_look_add_up(counts: tuple[int, int, int], said: str) -> None:
    assert looks_text(*counts) == f"second look at {said}"


def lower(axis: int) -> NDArray[np.float32]:
    """A descriptor below the model's own threshold to `VECTOR`, and far below it to the others."""
    return np.float32([0.6, *(0.8 * (place == axis) for place in range(1, 64))])


@pytest.fixture
def less_alike(tmp_path: Path) -> None:
    """A page; below the threshold to it a copy, another page, what nothing tells, and a collage."""
    one, other = PAGES
    collage = Image.new("RGB", (1700, 1100))
    collage.paste(one, (0, 0))
    collage.paste(
        other_shots.bursts(3, Image.effect_noise((850, 1100), 80).convert("RGB"))[0], (850, 0)
    )
    pictures = {"copy": one.resize((425, 550)), "other": other, "tiny": one.resize((40, 40))}
    pictures |= {"collage": collage}
    others = {f"{name}.png": lower(axis) for axis, name in enumerate(pictures, 1)}
    files = {f"{name}.png": picture for name, picture in pictures.items()}
    save(tmp_path, {"a.png": one, **files}, others)


@pytest.mark.usefixtures("less_alike")
@pytest.mark.parametrize("words", ["--keep path", "--keep path -t 0.55", "--against twin"])
def test_below_the_models_own_threshold_only_a_confirmed_copy_may_go(
    sscd: Run, tmp_path: Path, words: str
) -> None:
    if "--against" in words:
        (tmp_path / "theirs").mkdir()
        save(tmp_path / "theirs", {"a.png": PAGES[0]})
        words = "--against theirs/descriptors"
        (tmp_path / "a.png").unlink()
    assert sscd("dedup", "-f", "paths", *words.split()).lines == ["copy.png"]
    ran = sscd("dedup", "-f", "jsonl", *words.split())
    members = [m for r in records_of(ran.out) for m in r.get("members", [r])]
    said = {m["path"]: (m["band"], m["verdict"]) for m in members if m["path"] != "a.png"}
    assert said == {
        "copy.png": ("edited copy", "copy confirmed"),
        "other.png": ("look at it", "other shot"),
        "tiny.png": ("look at it", "cannot tell"),
        "collage.png": ("look at it", "cannot tell"),
    }
    assert "many other shots" not in ran.err, "they are none of those above the threshold"


@pytest.mark.usefixtures("less_alike")
def test_why_one_below_the_threshold_stays_is_said(sscd: Run) -> None:
    (cluster,) = records_of(sscd(*WORDS, "jsonl").out)
    reasons = {m["path"]: m["reason"] for m in cluster["members"]}
    assert reasons["tiny.png"] == "below 0.75, and not confirmed by its pixels"
    assert reasons["other.png"] == "another shot: its pixels differ in places"
    assert reasons["copy.png"] == "later in the order of paths"


@pytest.mark.usefixtures("less_alike")
@pytest.mark.parametrize(
    ("words", "gone"),
    [
        ("-t 0.7", []),
        ("--no-second-look", []),
        ("-t 0.55 --no-second-look", []),
        ("-t 0.55 --yes", ["copy.png", "tiny.png", "collage.png"]),
    ],
)
def test_what_is_found_and_believed_is_up_to_the_command_line(
    sscd: Run, words: str, gone: list[str]
) -> None:
    assert set(sscd(*WORDS, "paths", *words.split()).lines) == set(gone)


def test_nothing_goes_for_a_keeper_that_goes_below_the_threshold(sscd: Run, tmp_path: Path) -> None:
    one, near = PAGES[0], np.float32([0.55, 0.78, 0.299, *[0] * 61])
    pictures = {"a.png": one, "b.png": one.resize((425, 550)), "c.png": one.resize((430, 556))}
    save(tmp_path, pictures, {"b.png": lower(1), "c.png": near})
    (cluster,) = records_of(sscd(*WORDS, "jsonl").out)
    said = {m["path"]: (m["keep"], m["keeper"]) for m in cluster["members"]}
    assert said == {name: (name == "a.png", "a.png") for name in pictures}


@pytest.mark.usefixtures("less_alike")
def test_a_leak_below_the_threshold_counts_once_confirmed_and_may_be_in_the_baseline(
    sscd: Run, tmp_path: Path
) -> None:
    (tmp_path / "theirs").mkdir()
    save(tmp_path / "theirs", {"a.png": PAGES[0]})
    gate = ("leaks", "descriptors", "--against", "theirs/descriptors", "-t", "0.55", "-f", "json")
    told = json.loads(sscd(*gate).out)
    status = {Path(leak["path"]).name: leak["status"] for leak in told["leaks"]}
    unsure = dict.fromkeys(("other.png", "tiny.png", "collage.png"), "look at it")
    assert status == {"a.png": "new", "copy.png": "new", **unsure}
    assert sscd(*gate, "--write-baseline", "known.json").status == 0
    ran = sscd(*gate, "--baseline", "known.json")
    assert (ran.status, json.loads(ran.out)["known"]) == (0, 2)
