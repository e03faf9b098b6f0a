"""The gate on what a test set shares with a training set: planted leaks in every format."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from conftest import DATA, Run, Store, names_in, picture
from leak_schemas import refuse_wrong
from leak_sets import FORMATS, STRANGERS, Gate, vector
from PIL import Image

from sscd_cli.decisions.records import append_decisions
from sscd_cli.reports.leaks import junit, markdown, sarif

GOLDEN = DATA / "golden"


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


@pytest.mark.parametrize(("format", "told"), [("text", 0), ("json", 1)])
def test_a_terminal_is_told_the_verdict_once(
    gate: Gate, monkeypatch: pytest.MonkeyPatch, format: str, told: int
) -> None:
    monkeypatch.setattr("sscd_cli.cli.terminal.is_shown", lambda: True)
    ran = gate("-f", format)
    assert ran.status == 1
    assert ran.err.count("failed: ") == told
    assert ran.out.count(b"\nfailed: 12 of 20 images") == 1 - told


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


def test_small_pictures_lie_beside_markdown_where_asked_for(gate: Gate, sets: Path) -> None:
    gate("-o", "leaks.md", "--thumbnails", "-o", "leaks.json")
    told = (sets / "leaks.md").read_text()
    addresses = re.findall(r'<img src="([^"]+)" alt="">', told)
    assert len(addresses) == 26
    assert set(names_in(sets / "leaks-thumbnails")) == {Path(a).name for a in addresses}
    assert all((sets / address).read_bytes().startswith(b"\xff\xd8") for address in addresses)
    plain = re.sub("<img[^>]*><br>", "", told)
    assert plain == (GOLDEN / "leaks.md").read_text()
