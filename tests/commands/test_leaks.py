"""The gate on what a test set shares with a training set: planted leaks in every format."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import DATA, MTIME, Ran, Run, Store, error_line, names_in, picture
from leak_schemas import refuse_wrong
from other_shots import pages
from PIL import Image

from sscd_cli.advice.second_look import SecondLooks
from sscd_cli.decisions.records import append_decisions
from sscd_cli.reports.leaks import junit, markdown, sarif

GOLDEN = DATA / "golden"
FORMATS = {
    "text": "leaks.txt",
    "json": "leaks.json",
    "junit": "leaks.xml",
    "sarif": "leaks.sarif",
    "markdown": "leaks.md",
    "github": "leaks.github",
}
PICTURES = sorted((DATA / "gallery").glob("*.jpg"))
PICTURES = [path for path in PICTURES if path.name != "torn.jpg"]
TRAIN, EXACT, EDITED, STRANGERS = 16, 4, 8, 7


def placed(folder: Path, name: str, source: Path) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(source.read_bytes())
    os.utime(path, (MTIME, MTIME))
    return path


def vector(axis: int, cosine: float = 1.0, other: int = 0) -> Any:
    """Return a descriptor with an exact cosine to that of `axis`, whatever adds it up."""
    row = np.zeros(64, np.float32)
    row[axis], row[40 + other] = cosine, (1 - cosine**2) ** 0.5
    return row


@pytest.fixture
def sets(tmp_path: Path, store: Store) -> Path:
    """Twenty test images: 12 have a copy among 16 training images, one has a near one."""
    train = {
        placed(tmp_path / "train", path.name, path): vector(axis)
        for axis, path in enumerate(PICTURES[:TRAIN])
    }
    test: dict[Path, Any] = {}
    for axis, path in enumerate(PICTURES[:EXACT]):
        test[placed(tmp_path / "test", f"exact-{axis}.jpg", path)] = vector(axis)
    rest = iter(PICTURES[TRAIN:])
    for axis in range(EXACT, EXACT + EDITED):
        path = placed(tmp_path / "test", f"edited-{axis}.jpg", next(rest))
        test[path] = vector(axis, 1 - axis / 64, axis)
    unsure = placed(tmp_path / "test", "near.jpg", next(rest))
    test[unsure] = vector(EXACT + EDITED, 0.5, 20)
    for number in range(STRANGERS):
        path = placed(tmp_path / "test", f"stranger-{number}.jpg", next(rest))
        test[path] = vector(30 + number)
    torn = placed(tmp_path / "test", "torn.jpg", DATA / "gallery" / "torn.jpg")
    store(tmp_path / "train.d", train, look_at=0.4)
    store(tmp_path / "test.d", {**test, torn: "image file is truncated"}, look_at=0.4)
    return tmp_path


Gate = Callable[..., Ran]


@pytest.fixture
def gate(sscd: Run, sets: Path) -> Gate:
    return lambda *words: sscd("leaks", "test.d", "--against", "train.d", *words)


@pytest.mark.parametrize("format", FORMATS)
def test_twelve_planted_leaks_are_told_in_every_format(gate: Gate, sets: Path, format: str) -> None:
    ran = gate("-f", format)
    assert ran.status == 1
    said = ran.out.decode().replace(str(sets), "/somewhere")
    assert said == (GOLDEN / FORMATS[format]).read_text()
    refuse_wrong(format, ran.out)
    assert ran.err == (
        "sscd: warning: not compared, for they are unreadable: 1 image\n"
        "failed: 12 of 20 images of test.d (60.0%) have a copy among 16 of train.d: "
        "12 new, more than the 0 allowed\n"
    )


def test_one_run_writes_every_format_that_a_file_is_named_for(gate: Gate, sets: Path) -> None:
    files = {name: sets / name for name in FORMATS.values() if name != "leaks.github"}
    ran = gate(*(word for file in files.values() for word in ("-o", file)))
    assert ran.out.decode() == (GOLDEN / "leaks.txt").read_text() == files["leaks.txt"].read_text()
    for name in ("leaks.xml", "leaks.sarif", "leaks.md"):
        assert files[name].read_text() == (GOLDEN / name).read_text()


def test_json_is_a_document_with_every_pair(gate: Gate) -> None:
    told = json.loads(gate("-f", "json").out)
    assert (told["verdict"], told["images"], told["leaked"], told["new"]) == ("failed", 20, 12, 12)
    assert (told["look_at"], told["unreadable"], told["others"]) == (1, 1, 16)
    assert told["bands"] == {"exact bytes": 4, "same pixels": 0, "edited copy": 8}
    names = {Path(leak["path"]).name for leak in told["leaks"] if leak["status"] == "new"}
    planted = {f"exact-{n}.jpg" for n in range(4)} | {f"edited-{n}.jpg" for n in range(4, 12)}
    assert names == planted


def test_junit_has_a_case_for_the_pair_of_sets(gate: Gate) -> None:
    for words, failures in (((), 1), (("--max-leakage", "60%"), 0)):
        root = ElementTree.fromstring(gate("-f", "junit", *words).out)
        (suite,) = root.findall("testsuite")
        (case,) = suite.findall("testcase")
        assert (suite.get("tests"), suite.get("failures")) == ("1", str(failures))
        assert case.get("name") == "test.d × train.d"
        assert len(case.findall("failure")) == failures
        text = case[0].text or ""
        assert text.count(" is train/") == 13


def test_sarif_has_what_the_standard_requires(gate: Gate) -> None:
    told = json.loads(gate("-f", "sarif").out)
    assert told["version"] == "2.1.0"
    (run,) = told["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] == "sscd"
    assert run["invocations"][0]["executionSuccessful"] is True
    assert len(run["results"]) == 13
    for result in run["results"]:
        assert result["message"]["text"]
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in {"error", "warning", "note", "none"}
        uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        assert uri.startswith("test/")
        (fingerprint,) = result["partialFingerprints"].values()
        left, right = fingerprint.split("-")
        assert re.fullmatch("[0-9a-f]{32}", left)
        assert left <= right


def test_long_reports_are_cut_with_a_note(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (sarif, junit, markdown):
        monkeypatch.setattr(module, "MOST", 3)
    (run,) = json.loads(gate("-f", "sarif").out)["runs"]
    assert len(run["results"]) == 3
    notes = [n["message"]["text"] for n in run["invocations"][0]["toolExecutionNotifications"]]
    assert notes[1] == "10 more leaks are not listed here; --format json names all"
    assert b"and 10 more" in gate("-f", "junit").out
    assert b"The 3 that matter most; `--format json` names all." in gate("-f", "markdown").out
    github = gate("-f", "github").out.decode()
    assert github.count("::error ") == 10
    assert "3 images more; --format json names all" in github


@pytest.mark.parametrize(
    ("words", "status", "start"),
    [
        ("--max-leakage 12", 0, "passed: 12 of 20 images"),
        ("--max-leakage 11", 1, "failed: 12 of 20 images"),
        ("--max-leakage 60%", 0, "passed: "),
        ("--max-leakage 59.99%", 1, "failed: "),
        ("--max-leakage 60% --warn-at 12", 0, "sscd: warning: 12 of 20 images"),
        ("--max-leakage 60% --warn-at 13", 0, "passed: "),
        ("--max-leakage 60% --strict", 4, "passed: "),
        ("--strict", 1, "failed: "),
        ("-t 0.9 --max-leakage 7", 0, "passed: 7 of 20 images"),
    ],
)
def test_the_status_is_one_only_above_the_budget(
    gate: Gate, words: str, status: int, start: str
) -> None:
    ran = gate(*words.split())
    assert ran.status == status
    assert ran.err.splitlines()[-1].startswith(start)


def test_sets_that_share_nothing_pass(sscd: Run, tmp_path: Path, store: Store) -> None:
    for axis, name in enumerate(("test", "train")):
        store(tmp_path / f"{name}.d", {picture(tmp_path / f"{name}.png", axis): vector(axis)})
    said = {}
    for format in FORMATS:
        ran = sscd("leaks", "test.d", "--against", "train.d", "-f", format)
        assert ran.status == 0
        refuse_wrong(format, ran.out)
        said[format] = ran.out.decode()
    verdict = "0 of 1 image of test.d (0.0%) have a copy among 1 of train.d"
    assert said["text"].startswith(f"passed: {verdict}\n")
    assert said["github"] == f"::notice title=sscd leaks%3A passed::{verdict.replace('%', '%25')}\n"
    assert json.loads(said["json"])["leaks"] == []
    assert json.loads(said["sarif"])["runs"][0]["results"] == []
    assert ElementTree.fromstring(said["junit"]).get("failures") == "0"


def test_a_baseline_lets_known_leaks_pass_and_counts_what_is_gone(gate: Gate, sets: Path) -> None:
    assert gate("-t", "0.9").status == 1
    ran = gate("-t", "0.9", "--write-baseline", "known.json")
    assert ran.status == 0
    assert "0 new, within the 0 allowed" in ran.err
    known = json.loads((sets / "known.json").read_text())["baseline"]
    assert len(known) == 7
    assert known == sorted(known)
    told = json.loads(gate("--baseline", "known.json", "-f", "json").out)
    assert (told["leaked"], told["new"], told["known"], told["resolved"]) == (12, 5, 7, 0)
    ran = gate("--baseline", "known.json", "-t", "0.9")
    assert ran.status == 0
    assert b"(in the baseline)" in ran.out
    assert gate("--write-baseline", "all.json").status == 0
    told = json.loads(gate("--baseline", "all.json", "-t", "0.9", "-f", "json").out)
    assert (told["verdict"], told["known"], told["resolved"]) == ("passed", 7, 5)


def test_what_people_decided_holds(gate: Gate, sets: Path) -> None:
    leaks = json.loads(gate("-f", "json").out)["leaks"]
    verdicts = ["not_duplicate", "other_shot", "keep_both", "same"]
    found = {Path(leak["path"]).name: leak["fingerprint"].split("-") for leak in leaks}
    names = ["edited-4.jpg", "edited-5.jpg", "exact-0.jpg", "near.jpg"]
    decisions = [
        {"left": left, "right": right, "verdict": verdict, "keeper": None}
        for (left, right), verdict in zip((found[name] for name in names), verdicts, strict=True)
    ]
    decisions[-1]["keeper"] = decisions[-1]["left"]
    append_decisions(sets / "test.d" / "decisions.jsonl", decisions)
    told = json.loads(gate("-f", "json").out)
    assert (told["leaked"], told["accepted"], told["look_at"]) == (10, 3, 0)
    sarif_log = gate("-f", "sarif").out
    refuse_wrong("sarif", sarif_log)
    (run,) = json.loads(sarif_log)["runs"]
    assert sum("suppressions" in result for result in run["results"]) == 3
    (sets / "test.d" / "decisions.jsonl").rename(sets / "mine.jsonl")
    assert json.loads(gate("-f", "json").out)["leaked"] == 12
    assert json.loads(gate("-f", "json", "--decisions", "mine.jsonl").out)["leaked"] == 10


@pytest.fixture
def encoded(sets: Path, store: Store) -> Callable[[], None]:
    """Return what encodes an exact leak anew, without loss, and moves an edited one by a little."""

    def rows(name: str) -> dict[Path, tuple[Any, bytes]]:
        exact, edited = sets / name / "exact.png", sets / name / "edited.png"
        pixels = b"1" * 16, b"2" * 16 if name == "test" else b"3" * 16
        vectors = vector(0), vector(1) if name == "train" else vector(1, 0.9, 1)
        return dict(zip((exact, edited), zip(vectors, pixels, strict=True), strict=True))

    def save(level: int, changed: bytes) -> None:
        for name in ("test", "train"):
            made = rows(name)
            for number, path in enumerate(made):
                picture(path, number + 10 * (name == "train" and number))
                with Image.open(path) as image:
                    image.load()
                image.save(path, compress_level=level if name == "test" else 6)
            files = {path: (row, {"pixel_hash": pixels}) for path, (row, pixels) in made.items()}
            if changed and name == "test":
                path = sets / name / "edited.png"
                files[path] = files[path][0], {"pixel_hash": changed}
            shutil.rmtree(sets / f"{name}.d", ignore_errors=True)
            save_with(sets / f"{name}.d", files)

    save(6, b"")
    return lambda: save(0, b"4" * 16)


def save_with(folder: Path, files: dict[Path, tuple[Any, dict[str, Any]]]) -> None:
    from conftest import _row, drawn_provenance

    from sscd_cli.descriptors.write import ShardWriter

    with ShardWriter(folder, drawn_provenance(64)) as writer:
        for path, (row, more) in files.items():
            writer.add([replace(_row(path, row, None), **more)])


def test_what_has_the_pixels_of_a_known_leak_is_known_and_a_near_copy_is_not(
    gate: Gate, sets: Path, encoded: Callable[[], None]
) -> None:
    assert gate("--write-baseline", "known.json").status == 0
    assert json.loads(gate("--baseline", "known.json", "-f", "json").out)["known"] == 2
    encoded()
    told = json.loads(gate("--baseline", "known.json", "-f", "json").out)
    assert (told["known"], told["new"], told["resolved"]) == (1, 1, 1)
    status = {Path(leak["path"]).name: leak["status"] for leak in told["leaks"]}
    assert status == {"exact.png": "in the baseline", "edited.png": "new"}


def test_a_baseline_of_contents_alone_is_read(gate: Gate, sets: Path) -> None:
    gate("--write-baseline", "known.json")
    known = json.loads((sets / "known.json").read_text())
    assert all(len(pair) == 2 for pair in known["baseline"])
    (sets / "odd.json").write_text(json.dumps({"baseline": [["0" * 32] * 3]}))
    assert "cannot read the baseline odd.json: " in gate("--baseline", "odd.json").err


def test_the_clean_list_names_what_is_like_nothing(gate: Gate, sets: Path) -> None:
    gate("--clean-list", "clean.txt")
    names = [Path(line).name for line in (sets / "clean.txt").read_text().splitlines()]
    assert names == [f"stranger-{number}.jpg" for number in range(STRANGERS)]


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


def test_small_pictures_lie_beside_markdown_where_asked_for(gate: Gate, sets: Path) -> None:
    gate("-o", "leaks.md", "--thumbnails", "-o", "leaks.json")
    told = (sets / "leaks.md").read_text()
    addresses = re.findall(r'<img src="([^"]+)" alt="">', told)
    assert len(addresses) == 26
    assert set(names_in(sets / "leaks-thumbnails")) == {Path(a).name for a in addresses}
    assert all((sets / address).read_bytes().startswith(b"\xff\xd8") for address in addresses)
    plain = re.sub("<img[^>]*><br>", "", told)
    assert plain == (GOLDEN / "leaks.md").read_text()


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


def test_names_from_outside_break_no_format(sscd: Run, tmp_path: Path, store: Store) -> None:
    name = "a|<b>&%,:\n`\x01\udcff.png"
    files = {picture(tmp_path / "a.png", 1): np.eye(4)[0]}
    odd = picture(tmp_path / "b.png", 2).rename(tmp_path / name)
    store(tmp_path / "train.d", files)
    store(tmp_path / "test.d", {odd: np.eye(4)[0]})
    said = {f: sscd("leaks", "test.d", "--against", "train.d", "-f", f).out for f in FORMATS}
    refuse_wrong("junit", said["junit"])
    refuse_wrong("sarif", said["sarif"])
    assert json.loads(said["json"])["leaks"][0]["path"] == name
    (run,) = json.loads(said["sarif"])["runs"]
    location = run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert location == "a%7C%3Cb%3E%26%25%2C%3A%0A%60%01%FF.png"
    assert len(said["github"].decode().splitlines()) == 2
    (row,) = [line for line in said["markdown"].decode().splitlines() if "a.png" in line]
    assert row.count("|") == 6
    assert len(said["text"].decode().splitlines()) == 14
    ran = sscd("leaks", "test.d", "--against", "train.d", "--clean-list", "c", "-t", "1")
    assert ran.status == 1


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("a b/c:d.jpg", "a%20b/c%3Ad.jpg"),
        ("/data/é.jpg", "file:///data/%C3%A9.jpg"),
        ("s3://bucket/a b/é.jpg", "s3://bucket/a%20b/%C3%A9.jpg"),
        ("https://host/rows.parquet?v=1#7", "https://host/rows.parquet?v=1#7"),
    ],
)
def test_sarif_names_files_and_what_lies_on_servers_by_uris(path: str, uri: str) -> None:
    assert sarif.uri_of(path) == uri


def wrong() -> Iterator[tuple[str, int, str]]:
    both = "leaks test.d --against train.d"
    amount = "is no number of images and no share of them; use a whole number such as 3, or"
    yield "leaks test.d", 2, "missing option '--against'; "
    yield "leaks test.d --against nowhere", 3, "cannot read the source nowhere: "
    yield "leaks nowhere --against train.d", 3, "cannot read the source nowhere: "
    yield "leaks test.d --against test.d", 2, "TEST and --against are the same; "
    yield "leaks test.d --against ./test.d/", 2, "TEST and --against are the same; "
    yield "leaks test.d --against empty", 3, "no images in empty; "
    yield "leaks empty --against train.d", 3, "no images in empty; "
    yield "leaks torn.d --against train.d", 3, "nothing of torn.d can be read: 1 image; "
    yield "leaks test.d --against torn.d", 3, "nothing of torn.d can be read: 1 image; "
    yield "leaks test --against d2/test -d d2", 2, "images would be embedded into d2/test, "
    yield "leaks test.d --against ./x/test -d .", 3, "cannot read the source ./x/test: "
    yield "leaks test.d test.d --against train.d", 2, "a TEST is named twice; "
    yield f"{both} --resplit s3://bucket/new", 2, "s3://bucket/new is on a server; "
    yield f"{both} --resplit note.txt", 3, "cannot write note.txt/test.d.txt: "
    yield "leaks test --against train.d", 2, "train.d was made by drawn, which is a model of "
    yield "leaks other.d --against train.d", 3, "other.d and train.d cannot be compared: "
    for typed in ("-1", "1.5", "101%", "x", "1/2", "nan", "%"):
        yield f"{both} --max-leakage {typed}", 2, f"'{typed}' {amount}"
    yield f"{both} --max-leakage 1 --warn-at 2", 2, "--warn-at 2 is more than --max-leakage 1; "
    yield f"{both} --baseline nowhere", 3, "there is no file nowhere; "
    yield f"{both} --baseline note.txt", 2, "cannot read the baseline note.txt: "
    yield f"{both} --baseline empty.json", 2, "cannot read the baseline empty.json: it holds no "
    yield f"{both} --decisions nowhere", 3, "there is no file nowhere; "
    yield f"{both} --decisions note.txt", 3, "line 1 of note.txt is no decision: "
    yield f"{both} -o leaks.csv", 2, "no report of leaks is a .csv file; use *.txt, *.json, "
    yield f"{both} -o no/leaks.json", 3, "cannot write no/leaks.json: no such folder; "
    yield f"{both} --write-baseline no/x", 3, "cannot write no/x: no such folder; "
    yield f"{both} --clean-list no/x", 3, "cannot write no/x: no such folder; "
    yield f"{both} -f csv", 2, "unknown format 'csv'; use one of text, json, junit, sarif, "
    yield f"{both} -m sscd_mini", 2, "--model does nothing without images as TEST or --against; "
    yield f"{both} -d other", 2, "--descriptors does nothing without images as TEST or "
    yield f"{both} -t 2", 2, "--threshold 2 is no cosine similarity; "
    yield f"{both} -t auto", 3, "--threshold auto: nothing was calibrated in test.d; "


@pytest.mark.parametrize(("typed", "status", "start"), list(wrong()))
def test_a_wrong_command_line_is_one_line(
    sscd: Run, sets: Path, store: Store, typed: str, status: int, start: str
) -> None:
    (sets / "empty").mkdir()
    (sets / "note.txt").write_text("no baseline\n")
    (sets / "empty.json").write_text("{}")
    torn = {sets / "test" / "torn.jpg": "torn", sets / "test" / "near.jpg": vector(1)}
    store(sets / "other.d", torn, weights="1" * 64)
    write_unreadable(sets / "torn.d", sets / "test" / "torn.jpg")
    write_unreadable(sets / "d2" / "test", sets / "test" / "torn.jpg")
    ran = sscd(*typed.split())
    assert error_line(ran).startswith(start)
    assert (ran.status, ran.out, len(ran.err.splitlines())) == (status, b"", 1)
    assert not (sets / "descriptors").exists()


def write_unreadable(folder: Path, file: Path) -> None:
    from conftest import drawn_provenance

    from sscd_cli.descriptors.schema import Row
    from sscd_cli.descriptors.write import ShardWriter

    with ShardWriter(folder, drawn_provenance(64)) as writer:
        writer.add([Row(str(file), "", error="torn")])


def test_images_that_changed_since_they_were_embedded_never_pass(gate: Gate, sets: Path) -> None:
    (sets / "test" / "exact-0.jpg").write_bytes(b"another")
    ran = gate("--max-leakage", "100%")
    assert (ran.status, ran.out) == (3, b"")
    assert error_line(ran) == (
        "1 image of pairs vanished or changed after embedding; run sscd embed again, with --prune"
    )


def test_sets_in_which_no_threshold_tells_a_copy_never_pass(
    sscd: Run, tmp_path: Path, store: Store
) -> None:
    for name, first in (("test", 0), ("train", 30)):
        files = {
            picture(tmp_path / name / f"{seed}.png", seed): vector(0, 0.95, seed % 20)
            for seed in range(first, first + 30)
        }
        store(tmp_path / f"{name}.d", files)
    ran = sscd("leaks", "test.d", "--against", "train.d")
    assert ran.status == 3
    assert error_line(ran).startswith("these sets resemble one another: ")
    assert sscd("leaks", "test.d", "--against", "train.d", "--yes").status == 1


def test_another_shot_is_told_and_fails_no_gate(sscd: Run, tmp_path: Path, store: Store) -> None:
    one, other = pages(3)
    files = {name: tmp_path / f"{name}.png" for name in ("shot", "copy", "theirs")}
    for path, drawn in zip(files.values(), (other, one.resize((425, 550)), one), strict=True):
        drawn.save(path)
    store(tmp_path / "test.d", {files["shot"]: vector(0), files["copy"]: vector(0)})
    store(tmp_path / "train.d", {files["theirs"]: vector(0)})
    ran = sscd("leaks", "test.d", "--against", "train.d", "-f", "json")
    told = {Path(leak["path"]).name: leak for leak in json.loads(ran.out)["leaks"]}
    assert (told["copy.png"]["status"], told["shot.png"]["status"]) == ("new", "look at it")
    assert told["shot.png"]["band"] == "look at it"
    files["copy"].unlink()
    store(tmp_path / "shots.d", {files["shot"]: vector(0)})
    assert sscd("leaks", "shots.d", "--against", "train.d").status == 0


@pytest.mark.parametrize(("has_copy", "leaked", "looks"), [(True, 1, 8), (False, 0, 6)])
def test_an_image_is_looked_at_until_one_is_a_copy_of_it(
    sscd: Run,
    tmp_path: Path,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    has_copy: bool,
    leaked: int,
    looks: int,
) -> None:
    one, other = pages(3)
    one.save(tmp_path / "test.png")
    drawn = [*(other.resize((width, width * 22 // 17)) for width in range(400, 430, 5))]
    if has_copy:
        drawn += [one.resize((425, 550)), *(one.resize((width, 550)) for width in range(426, 436))]
    train = {tmp_path / f"{n:02}.png": vector(0, 1 - n / 100, n) for n in range(len(drawn))}
    for path, image in zip(train, drawn, strict=True):
        image.save(path)
    store(tmp_path / "train.d", train)
    store(tmp_path / "test.d", {tmp_path / "test.png": vector(0)})
    looked_at = []
    between = SecondLooks.between
    monkeypatch.setattr(
        SecondLooks,
        "between",
        lambda *sides, **how: looked_at.extend(sides[3]) or between(*sides, **how),
    )
    told = json.loads(sscd("leaks", "test.d", "--against", "train.d", "-f", "json").out)
    assert (told["leaked"], told["look_at"]) == (leaked, 1 - leaked)
    assert [leak["band"] for leak in told["leaks"]][:6] == ["look at it"] * 6
    assert len(looked_at) == looks  # four, and as many again
