"""The gate on what a test set shares with a training set: planted leaks in every format."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import DATA, MTIME, Ran, Run, Store, error_line, picture

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
        text = (case.find("failure" if failures else "system-out") or case[0]).text or ""
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
        said[format] = ran.out.decode()
    verdict = "0 of 1 image of test.d (0.0%) have a copy among 1 of train.d"
    assert said["text"].startswith(f"passed: {verdict}\n")
    assert said["github"] == f"::notice title=sscd leaks%3A passed::{verdict.replace('%', '%25')}\n"
    assert json.loads(said["json"])["leaks"] == []
    assert json.loads(said["sarif"])["runs"][0]["results"] == []
    assert ElementTree.fromstring(said["junit"]).get("failures") == "0"


def test_a_baseline_lets_known_leaks_pass_and_counts_what_is_gone(gate: Gate, sets: Path) -> None:
    assert gate("-t", "0.9", "--write-baseline", "known.json").status == 1
    known = json.loads((sets / "known.json").read_text())["baseline"]
    assert len(known) == 7
    assert known == sorted(known)
    told = json.loads(gate("--baseline", "known.json", "-f", "json").out)
    assert (told["leaked"], told["new"], told["known"], told["resolved"]) == (12, 5, 7, 0)
    ran = gate("--baseline", "known.json", "-t", "0.9")
    assert ran.status == 0
    assert b"(in the baseline)" in ran.out
    assert gate("--write-baseline", "all.json").status == 1
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
    (run,) = json.loads(gate("-f", "sarif").out)["runs"]
    assert sum("suppressions" in result for result in run["results"]) == 3
    (sets / "test.d" / "decisions.jsonl").rename(sets / "mine.jsonl")
    assert json.loads(gate("-f", "json").out)["leaked"] == 12
    assert json.loads(gate("-f", "json", "--decisions", "mine.jsonl").out)["leaked"] == 10


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


def test_names_from_outside_break_no_format(sscd: Run, tmp_path: Path, store: Store) -> None:
    name = "a|<b>&%,:\n`\x01\udcff.png"
    files = {picture(tmp_path / "a.png", 1): np.eye(4)[0]}
    odd = picture(tmp_path / "b.png", 2).rename(tmp_path / name)
    store(tmp_path / "train.d", files)
    store(tmp_path / "test.d", {odd: np.eye(4)[0]})
    said = {f: sscd("leaks", "test.d", "--against", "train.d", "-f", f).out for f in FORMATS}
    ElementTree.fromstring(said["junit"])
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
    yield "leaks test --against train.d -d train.d", 2, "images would be embedded into train.d, "
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
