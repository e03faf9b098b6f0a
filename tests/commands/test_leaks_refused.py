"""What `sscd leaks` refuses, and what it never lets pass."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import Run, Store, error_line, picture
from leak_schemas import refuse_wrong
from leak_sets import FORMATS, Gate, vector
from other_shots import pages

from sscd_cli.advice.second_look import SecondLooks
from sscd_cli.reports.leaks import sarif


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
    yield f"{both} --baseline note.txt", 3, "cannot read the baseline note.txt: "
    yield f"{both} --baseline empty.json", 3, "cannot read the baseline empty.json: it holds no "
    yield f"{both} --decisions nowhere", 3, "there is no file nowhere; "
    yield f"{both} --decisions note.txt", 3, "line 1 of note.txt is no decision: "
    yield f"{both} -o leaks.csv", 2, "no report of leaks is a .csv file; use *.txt, *.json, "
    yield f"{both} -o no/leaks.json", 3, "cannot write no/leaks.json: no such folder; "
    for option in ("--write-baseline", "--clean-list"):
        another = f"make it first or name another file with {option}"
        yield f"{both} {option} no/x", 3, f"cannot write no/x: no such folder; {another}"
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
