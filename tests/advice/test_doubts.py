"""What is never removable: a doubtful pair, other frames, next to nothing to see, a crowd."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import other_shots
import pytest
from conftest import Run, Store, picture, records_of
from doubtful import bands, near, save
from PIL import Image

from sscd_cli.matching.clusters import find_copies
from sscd_cli.matching.copies import Clusters
from sscd_cli.matching.doubts import Doubts, exact_copies, for_exact_copies, separated

A, B, C = np.eye(64)[:3]

NOTHING = dict.fromkeys(("frames", "content", "pixel_hash"))


def test_below_the_models_threshold_a_pair_is_looked_at_and_never_removable(
    sscd: Run, tmp_path: Path
) -> None:
    files = {
        picture(tmp_path / "a.png", 1): (A, NOTHING),
        picture(tmp_path / "copy.png", 2): (near(A, 0.6, 10), NOTHING),
        picture(tmp_path / "like.png", 3): (near(A, 0.5, 11), NOTHING),
        picture(tmp_path / "other.png", 4): (near(A, 0.4, 12), NOTHING),
    }
    save(tmp_path / "descriptors", files, threshold=0.55, look_at=0.43)
    words = ("dedup", "--keep", "path")
    ran = sscd(*words, "-f", "jsonl")
    assert bands(ran) == {
        "a.png": (True, ""),
        "copy.png": (False, "edited copy"),
        "like.png": (True, "look at it"),
    }
    assert "1 removable" in ran.err
    assert "1 to look at\nthreshold 0.55 of drawn" in ran.err
    assert sscd(*words, "-f", "paths").lines == ["copy.png"]
    assert "  look at 0.500" in sscd(*words).out.decode()
    lower = *words, "-t", "0.45", "-f", "jsonl"
    assert bands(sscd(*lower))["like.png"] == (True, "look at it"), "nothing confirms it"
    assert bands(sscd(*lower, "--yes"))["like.png"] == (False, "edited copy")
    assert sscd("dedup", "--task", "1/1").status == 0
    assert bands(sscd(*words, "-f", "jsonl"))["like.png"] == (True, "look at it")


def test_an_exact_copy_of_another_shot_goes_for_that_one(
    sscd: Run, store: Store, tmp_path: Path
) -> None:
    pages = other_shots.pages(3)
    for name, page in zip(("a.png", "b.png", "c.png"), (*pages, pages[1]), strict=True):
        page.save(tmp_path / name)
    store(tmp_path / "descriptors", dict.fromkeys(sorted(tmp_path.glob("*.png")), A))
    ran = sscd("dedup", "--keep", "path", "-f", "jsonl")
    (cluster,) = records_of(ran.out)
    assert {m["path"]: (m["keep"], m["keeper"], m["verdict"]) for m in cluster["members"]} == {
        "a.png": (True, "a.png", ""),
        "b.png": (True, "a.png", "other shot"),
        "c.png": (False, "b.png", ""),
    }
    assert "second look at 1 pair: 1 other shot to look at" in ran.err


def test_of_exact_copies_that_are_to_be_looked_at_one_stays_with_what_goes_for_it() -> None:
    found = Clusters(
        component=np.array([0, 0, 0, 0, 0, 0, 6, 6]),
        keeper=np.array([0, 0, 0, 2, 4, 0, 6, 6]),
        similarity=np.array([1, 0.8, 0.8, 0.9, 1, 0.8, 1, 0.8], np.float32),
        weakest_link=np.full(8, 0.8, np.float32),
        look_at=np.array([0, 1, 1, 0, 0, 1, 0, 1], np.bool_),
    )
    exact = np.array([0, 1, 1, 3, 4, 4, 6, 1])
    one = for_exact_copies(found, exact, np.array([0, 2, 1, 3, 4, 5, 6, 0]))
    assert one.keeper.tolist() == [0, 2, 0, 2, 4, 4, 6, 6]
    assert np.flatnonzero(one.look_at).tolist() == [2, 7], "7 is in another cluster"
    assert one.similarity[[1, 5]].tolist() == [1, 1]
    assert np.flatnonzero(one.removable).tolist() == [1, 3, 5]


def test_against_lists_what_lies_below_the_threshold_as_to_be_looked_at(
    sscd: Run, tmp_path: Path
) -> None:
    made_by = {"threshold": 0.55, "look_at": 0.43}
    ours = {
        picture(tmp_path / "copy.png", 1): (near(A, 0.6, 10), NOTHING),
        picture(tmp_path / "like.png", 2): (near(A, 0.5, 11), NOTHING),
    }
    save(tmp_path / "descriptors", ours, **made_by)
    save(tmp_path / "other", {picture(tmp_path / "a.png", 3): (A, NOTHING)}, **made_by)
    ran = sscd("dedup", "--against", "other")
    assert ran.lines[3].endswith("a.png  (look at it)")
    assert "1 of 2 images have a copy among 1 other, 1 more have one to look at" in ran.err
    assert sscd("dedup", "--against", "other", "-f", "paths").lines == ["copy.png"]


def test_more_or_other_frames_are_removable_for_the_very_bytes_alone(
    sscd: Run, tmp_path: Path
) -> None:
    three = {"frames": 3}
    files = {
        picture(tmp_path / "still.png", 1): (A, {"frames": 1}),
        picture(tmp_path / "still2.png", 2): (A, {"frames": 1}),
        picture(tmp_path / "one.gif", 3): (A, three | {"content_hash": b"1" * 16}),
        picture(tmp_path / "one-again.gif", 4): (A, three | {"content_hash": b"1" * 16}),
        picture(tmp_path / "two.gif", 5): (A, three | {"content_hash": b"2" * 16}),
    }
    save(tmp_path / "descriptors", files)
    for keep in ("path", "first"):
        found = bands(sscd("dedup", "--keep", keep, "-f", "jsonl"))
        removable = {name: band for name, (keep, band) in found.items() if not keep}
        twins = {"one.gif", "one-again.gif"}
        assert len(removable.keys() & twins) == 1
        assert removable.pop(*(removable.keys() & twins)) == "exact bytes"
        assert len(removable) == 1
        assert removable.keys() < {"still.png", "still2.png"}


def test_next_to_nothing_to_see_matches_its_exact_copies_alone(sscd: Run, tmp_path: Path) -> None:
    low = {"content": 30}
    files = {
        picture(tmp_path / "photo.png", 1): (A, {"content": 900}),
        picture(tmp_path / "red.png", 2): (A, low),
        picture(tmp_path / "red.bmp", 3): (A, low | {"pixel_hash": b"r" * 16}),
        picture(tmp_path / "red.gif", 4): (near(A, 0.99, 9), low | {"pixel_hash": b"r" * 16}),
        picture(tmp_path / "unknown.png", 5): (A, {}),
    }
    save(tmp_path / "descriptors", files)
    ran = sscd("dedup", "--keep", "path", "-f", "jsonl")
    assert bands(ran) == {
        "photo.png": (True, ""),
        "unknown.png": (False, "edited copy"),
        "red.bmp": (True, ""),
        "red.gif": (False, "same pixels"),
    }
    assert "3 images with next to nothing to see compared with exact copies only" in ran.err
    ran = sscd("dedup", "--keep", "path", "--low-content", "-f", "jsonl")
    assert len(bands(ran)) == 5
    assert "next to nothing" not in ran.err


def test_next_to_nothing_to_see_is_matched_by_bytes_against_another_dataset(
    sscd: Run, tmp_path: Path
) -> None:
    low = {"content": 30}
    one = {"content_hash": b"1" * 16}
    ours = {
        picture(tmp_path / "red.png", 1): (A, low | one),
        picture(tmp_path / "blue.png", 2): (A, low),
    }
    save(tmp_path / "descriptors", ours)
    save(tmp_path / "other", {picture(tmp_path / "o" / "red.png", 3): (A, low | one)})
    ran = sscd("dedup", "--against", "other", "-f", "csv")
    rows = [line for line in ran.lines if "exact bytes" in line]
    assert [row.split(",")[0] for row in rows] == ["red.png"]
    assert "blue.png" not in ran.out.decode()
    assert "1 image with next to nothing to see" in ran.err


def test_exact_copies_share_bytes_or_pixels_and_unknown_is_like_no_other() -> None:
    def digests(text: str) -> Any:
        rows = [(bytes([ord(c)]) if c != "-" else b"\0") * 16 for c in text]
        return np.frombuffer(b"".join(rows), np.uint8).reshape(-1, 16)

    found = exact_copies({"content_hash": digests("aab--c"), "pixel_hash": digests("-xx---")})
    assert found[0] == found[1] == found[2]
    assert len(set(found.tolist())) == 4


@pytest.mark.parametrize("doubtful", [True, False])
def test_identical_rows_in_doubt_become_pairs_of_the_best_with_the_others(doubtful: bool) -> None:
    rows = np.stack([A, A, B, A, near(A, 0.8, 5)])
    copies = find_copies(rows.astype(np.float32), 0.75)
    doubts = Doubts(0.75, np.full(5, doubtful), np.array([0, 0, 2, 3, 4]))
    found = separated(copies, doubts, np.array([9, 8, 7, 1, 5]))
    if not doubtful:
        assert found is copies
        return
    assert found.group[0] == found.group[1] != found.group[3]
    ends = {
        (*sorted((found.group.tolist().index(a), found.group.tolist().index(b))), round(s, 2))
        for a, b, s in zip(
            found.pairs.left.tolist(),
            found.pairs.right.tolist(),
            found.pairs.similarity.tolist(),
            strict=True,
        )
    }
    assert ends == {(0, 3, 1.0), (0, 4, 0.8), (3, 4, 0.8)}


def test_the_field_cases_of_animations_and_pages(sscd: Run, tmp_path: Path, gallery: Path) -> None:
    def frame(name: str) -> Image.Image:
        with Image.open(gallery / f"{name}.jpg") as image:
            return image.convert("RGB").resize((240, 180))

    folder = tmp_path / "files"
    folder.mkdir()
    black = Image.new("RGB", (240, 180))
    for name, others in {"a": ("alps", "leaf"), "b": ("reef", "clock")}.items():
        frames = [frame(other) for other in others]
        black.save(folder / f"{name}.gif", save_all=True, append_images=frames, duration=200)
        frame("canyon").save(folder / f"{name}.tif", save_all=True, append_images=frames[:1])
    frame("canyon").resize((480, 360)).save(folder / "still.png")
    ran = sscd("dedup", folder, "-f", "paths")
    assert (ran.status, ran.lines) == (0, [])


def test_an_animation_that_shows_the_same_in_other_bytes_is_a_copy(
    sscd: Run, tmp_path: Path, gallery: Path
) -> None:
    def frame(name: str) -> Image.Image:
        with Image.open(gallery / f"{name}.jpg") as image:
            return image.convert("RGB").resize((240, 180))

    def animation(name: str, *shown: Image.Image, **how: Any) -> None:
        shown[0].save(folder / name, save_all=True, append_images=shown[1:], **how)

    folder = tmp_path / "files"
    folder.mkdir()
    canyon, leaf, reef, clock = (frame(name) for name in ("canyon", "leaf", "reef", "clock"))
    black = Image.new("RGB", (240, 180))
    animation("a.webp", canyon, leaf, black, duration=200, lossless=True)
    animation("b.gif", canyon, leaf, black, duration=200)
    animation("other.gif", canyon, reef, black, duration=200)
    animation("longer.gif", canyon, leaf, black, clock, duration=200)
    animation("pages.tif", canyon, reef)
    animation("pages-half.tif", *(page.resize((180, 135)) for page in (canyon, reef)))
    (folder / "torn.gif").write_bytes((folder / "b.gif").read_bytes()[:-9000])
    ran = sscd("dedup", folder, "-f", "jsonl")
    gone = {name.removeprefix("files/") for name, (keep, _) in bands(ran).items() if not keep}
    assert len(gone) == 2
    assert len(gone & {"a.webp", "b.gif"}) == len(gone & {"pages.tif", "pages-half.tif"}) == 1
    members = [member for record in records_of(ran.out) for member in record["members"]]
    assert {member["verdict"] for member in members if not member["keep"]} == {"copy confirmed"}
    assert not sscd("dedup", folder, "--no-second-look", "-f", "paths").lines
    stays = {"a.webp", "b.gif", "pages.tif", "pages-half.tif"} - gone
    lines = sscd("dedup", folder).lines
    told = [line for line in lines if any(f"; for files/{name})" in line for name in stays)]
    assert told, "one of them goes for what is not the head of the cluster"
    assert all(line.startswith("  remove") for line in told)

    theirs = folder.rename(tmp_path / "theirs")
    folder.mkdir()
    for name, half in (("same", (canyon, reef)), ("other", (canyon, clock)), ("one", (canyon,))):
        animation(f"{name}.tif", *(page.resize((200, 150)) for page in half))
    assert sscd("embed", theirs, "-d", "theirs.d").status == 0
    against = ("dedup", folder, "-d", "ours.d", "--against", "theirs.d", "-f")
    assert sscd(*against, "paths").lines == ["files/same.tif"]
    assert not sscd(*against, "paths", "--no-second-look").lines
    said = [json.loads(line) for line in sscd(*against, "jsonl").lines][1:-1]
    told = {(m["path"][6:-4], m["other"][7:]): m["verdict"] for m in said}
    assert told["same", "pages.tif"] == told["same", "pages-half.tif"] == "copy confirmed"
    assert not any(told[name, "pages.tif"] for name in ("other", "one"))
