"""`sscd leaks` over several sets, over images, and sets divided anew."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import Run, Store, names_in, picture
from leak_schemas import refuse_wrong
from leak_sets import EDITED, EXACT, FORMATS, PICTURES, placed, vector


def test_images_are_embedded_first_and_compared_with_each_other_only(
    tiny: Run, tmp_path: Path
) -> None:
    for number in range(3):
        picture(tmp_path / "train" / f"{number}.png", number)
    for name, seed in (("copy.png", 1), ("own.png", 7)):
        picture(tmp_path / "test" / name, seed)
    ran = tiny("leaks", "test", "--against", "train")
    assert ran.status == 1
    assert ran.out.decode().startswith("test/copy.png\n  1.000  exact bytes  train/1.png\n\nfailed")
    assert tiny("leaks", "test", "--against", "train", "--max-leakage", "1").status == 0
    assert tiny("embed", "train", "-d", "train.d").status == 0
    ran = tiny("leaks", "test", "--against", "train.d", "--max-leakage", "50%")
    assert "passed: 1 of 2 images of test (50.0%) have a copy among 3 of train.d" in ran.err


def test_images_are_embedded_into_a_dataset_for_each_set(tiny: Run, tmp_path: Path) -> None:
    for number in range(3):
        picture(tmp_path / "data" / "train" / f"{number}.png", number)
        picture(tmp_path / "data" / "test" / f"{number}.png", number + 10)
    words = ("leaks", "./data/test", "--against", "data/train")
    ran = tiny(*words)
    assert ran.status == 0
    assert "3 images: 3 embedded" in ran.err
    assert names_in(tmp_path / "descriptors") == ["data-test", "data-train"]
    assert "descriptors in descriptors/data-test\n" in ran.err
    assert tiny(*words).err.count("3 unchanged") == 2
    assert tiny("dedup", "-d", "descriptors/data-test").status == 0
    # of one name made of two, none is mixed with the other
    picture(tmp_path / "data-test" / "own.png", 20)
    assert tiny("leaks", "data/test", "data-test", "--against", "data/train").status == 0
    assert names_in(tmp_path / "descriptors") == ["data-test", "data-test-2", "data-train"]


@pytest.fixture
def three(sets: Path, store: Store) -> Path:
    """The two sets, and a third one with a copy in each of them and one within itself."""
    val = {
        placed(sets / "val", "train.jpg", PICTURES[EXACT + EDITED]): vector(EXACT + EDITED),
        placed(sets / "val", "test.jpg", sets / "test" / "stranger-0.jpg"): vector(30),
        picture(sets / "val" / "own.png", 5): vector(38),
        picture(sets / "val" / "own-copy.png", 6): vector(38, 0.9, 21),
    }
    store(sets / "val.d", val, look_at=0.4)
    return sets


ALL = ("leaks", "test.d", "val.d", "--against", "train.d")


@pytest.mark.parametrize("format", FORMATS)
def test_several_sets_are_told_in_every_format(sscd: Run, three: Path, format: str) -> None:
    ran = sscd(*ALL, "-f", format)
    assert ran.status == 1
    refuse_wrong(format, ran.out)
    told = ran.out.decode()
    pairs = [("test.d", "val.d", 1), ("test.d", "train.d", 12), ("val.d", "train.d", 1)]
    for test, train, leaked in pairs:
        assert re.search(f"failed: {leaked} of .* of {test} .* among .* of {train}: ", ran.err)
    if format == "json":
        splits = json.loads(told)["splits"]
        assert [(s["test"], s["train"], s["leaked"]) for s in splits] == pairs
    elif format == "junit":
        cases = [case.get("name") for case in ElementTree.fromstring(told).iter("testcase")]
        assert cases == [f"{test} × {train}" for test, train, _ in pairs]
    elif format == "sarif":
        (run,) = json.loads(told)["runs"]
        assert len(run["results"]) == 16
        assert [s["test"] for s in run["properties"]["splits"]] == ["test.d", "test.d", "val.d"]
    elif format == "text":
        head, *rows = told.splitlines()[-3:]
        assert head.split() == ["val.d", "train.d"]
        assert rows[0].split() == ["test.d", "1", "(5.0%)", "12", "(60.0%)"]
        assert rows[1].split() == ["val.d", "1", "(25.0%)"]
    elif format == "markdown":
        assert told.startswith("|  | val.d | train.d |\n| --- | ---: | ---: |\n")
        assert "| val.d |  | 1 (25.0%) |\n" in told
    else:
        assert told.count("title=sscd leaks%3A failed") == 3
        assert len(told.splitlines()) == 11


def test_the_clean_list_of_several_sets_is_clean_of_all_later_ones(sscd: Run, three: Path) -> None:
    sscd(*ALL, "--clean-list", "clean.txt")
    names = [Path(line).name for line in (three / "clean.txt").read_text().splitlines()]
    assert names == [
        *(f"stranger-{n}.jpg" for n in range(1, 7)),
        "test.jpg",
        "own.png",
        "own-copy.png",
    ]


def test_what_is_resolved_of_a_baseline_all_sets_tell(sscd: Run, three: Path) -> None:
    sscd(*ALL, "--write-baseline", "known.json")
    told = json.loads(sscd(*ALL, "--baseline", "known.json", "-f", "json").out)
    assert told["verdict"] == "passed"
    assert [split["resolved"] for split in told["splits"]] == [0, 0, 0]


def listed(file: Path) -> list[str]:
    lines = file.read_text().splitlines()
    assert all((file.parent / line).exists() for line in lines)
    return sorted("/".join(Path(line).parts[-2:]) for line in lines)


def test_sets_divided_anew_have_their_sizes_and_share_no_copy(sscd: Run, sets: Path) -> None:
    ran = sscd("leaks", "test.d", "--against", "train.d", "--resplit", "new/lists")
    assert ran.status == 1
    test, train = (listed(sets / "new" / "lists" / f"{name}.d.txt") for name in ("test", "train"))
    # four of the training images are like none: too few for twelve that left
    assert "new/lists/test.d.txt: test.d without leaks, 12 images exchanged\n" in ran.err
    assert "has 8 images fewer than test.d: too few are like no other\n" in ran.err
    assert len(test) == 12
    assert len(train) == 24
    assert not set(test) & set(train)
    assert {"test/near.jpg", "test/stranger-0.jpg"} <= set(test)
    assert {"test/exact-0.jpg", "test/edited-11.jpg", f"train/{PICTURES[0].name}"} <= set(train)


def test_whole_clusters_move_and_singles_take_their_place(
    sscd: Run, tmp_path: Path, store: Store
) -> None:
    def made(folder: str, rows: list[Any]) -> None:
        files = {
            picture(tmp_path / folder / f"{folder}{n}.png", hash((folder, n)) % 9999): row
            for n, row in enumerate(rows)
        }
        store(tmp_path / f"{folder}.d", files)

    a = vector(0)
    made("test", [a, vector(0, 0.8, 1), vector(1), vector(2)])  # the second is like the first
    made("val", [vector(1, 0.9, 2), vector(3)])  # the first is like one of test
    made("train", [vector(0, 0.85, 3), *(vector(n) for n in range(10, 16)), vector(10, 0.9, 5)])
    words = ("leaks", "test.d", "val.d", "--against", "train.d", "--resplit", "new")
    sscd(*words)
    found = {name: listed(tmp_path / "new" / f"{name}.d.txt") for name in ("test", "val", "train")}
    assert {name: len(lines) for name, lines in found.items()} == {"test": 4, "val": 2, "train": 8}
    assert [line for line in found["test"] if line.startswith("test/")] == ["test/test3.png"]
    assert [line for line in found["val"] if line.startswith("val/")] == ["val/val1.png"]
    # the first of train is like test's, and 1 and 7 are like each other: they stay
    assert {"train/train0.png", "train/train1.png", "train/train7.png"} <= set(found["train"])
    first = {path.name: path.read_bytes() for path in (tmp_path / "new").iterdir()}
    sscd(*words)
    assert first == {path.name: path.read_bytes() for path in (tmp_path / "new").iterdir()}


def test_lists_of_a_new_division_are_sources_without_leaks(tiny: Run, tmp_path: Path) -> None:
    for number in range(12):
        picture(tmp_path / "train" / f"{number}.png", number)
    for name, seed in (("copy.png", 1), ("again.png", 2), ("own.png", 17)):
        picture(tmp_path / "test" / name, seed)
    words = ("leaks", "test", "--against", "train", "--resplit", "new")
    assert tiny(*words).status == 1
    ran = tiny("leaks", "new/test.txt", "--against", "new/train.txt")
    assert ran.status == 0
    assert "passed: 0 of 3 images of new/test.txt (0.0%) have a copy among 12 of" in ran.err


def test_chance_is_told_of_sets_that_are_large_enough(
    sscd: Run, tmp_path: Path, store: Store
) -> None:
    rng = np.random.default_rng(0)
    for name in ("test", "train"):
        rows = rng.standard_normal((120, 24))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        files = {
            picture(tmp_path / name / f"{n}.png", n + 200 * (name == "test"), (8, 6)): row
            for n, row in enumerate(rows)
        }
        store(tmp_path / f"{name}.d", files)
    ran = sscd("leaks", "test.d", "--against", "train.d", "-t", "0.6", "--yes", "-f", "json")
    told = json.loads(ran.out)
    # some 14,400 pairs of 24 dimensions: 0.6 is nearly three deviations
    assert told["leaked"] / 3 < told["expected_by_chance"] < told["leaked"] * 3
    text = sscd("leaks", "test.d", "--against", "train.d", "-t", "0.6", "--yes").out.decode()
    assert re.search(r"expected by chance    about [\d.]+, of images that are no copies\n", text)


def test_github_counts_the_images_that_no_annotation_names(
    sscd: Run, tmp_path: Path, store: Store
) -> None:
    pictures = {
        seed: picture(tmp_path / "photos" / f"{seed}.png", seed).read_bytes() for seed in range(3)
    }

    def stored(name: str, **files: int) -> None:
        paths = {tmp_path / name / f"{file}.png": seed for file, seed in files.items()}
        (tmp_path / name).mkdir()
        for path, seed in paths.items():
            path.write_bytes(pictures[seed])
        store(tmp_path / f"{name}.d", {path: np.eye(3)[seed] for path, seed in paths.items()})

    stored("test", a=0, b=1)
    stored("train", **{f"a{n}": 0 for n in range(12)}, b=1)
    github = sscd("leaks", "test.d", "--against", "train.d", "-f", "github").lines
    assert sum(" is train/a" in line for line in github) == 9
    assert github[-1] == "1 image more; --format json names all"
    names = "uvwxyz"
    for name in names:
        stored(name, c=2)
    *ours, last = (f"{name}.d" for name in names)
    github = sscd("leaks", *ours, "--against", last, "-f", "github").lines
    assert github[-1] == "5 images more; --format json names all"
