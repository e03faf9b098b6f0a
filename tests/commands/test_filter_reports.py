"""`sscd filter` trusts no report that is cut, damaged, none of `dedup`, or out of date."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Run, csv_rows_of, error_line, names_in, records_of
from filtering import folder_of, members, report, rewrite, summary, tar_of, zip_of

from sscd_cli.reports import removals


def refused(tiny: Run, text: bytes) -> str:
    """Return why a report is refused, of which nothing may come."""
    Path("r").write_bytes(text)
    ran = tiny("filter", "photos", "--remove", "r", "-o", "out")
    assert ran.status == 3, ran.err
    assert not Path("out").exists()
    error = error_line(ran)
    assert error.endswith("; run sscd dedup again with -f jsonl -o FILE")
    return error.rpartition("; ")[0]


NO_FIRST = (
    "r is no whole report of sscd dedup: it has no first record (text, html and paths have none)"
)


@pytest.mark.parametrize(
    ("format", "what"),
    [("text", NO_FIRST), ("html", NO_FIRST), ("paths", NO_FIRST)],
)
def test_a_report_for_people_and_bare_paths_are_no_evidence(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes], format: str, what: str
) -> None:
    folder_of(tmp_path / "photos", pictures)
    assert refused(tiny, tiny("dedup", "photos", "-f", format).out) == what


def test_nothing_from_a_dedup_that_failed_is_no_report(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes]
) -> None:
    folder_of(tmp_path / "photos", pictures)
    failed = tiny("dedup", "nowhere", "-f", "jsonl")
    assert (failed.status, failed.out) == (3, b"")
    assert refused(tiny, failed.out) == (
        "r is no whole report of sscd dedup: it is empty, no run of that ended"
    )


def test_a_report_without_copies_is_whole(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes]
) -> None:
    folder_of(tmp_path / "photos", {name: pictures[name] for name in ("a.png", "c.png")})
    for format in ("jsonl", "csv", "parquet"):
        before = report(tiny, "photos", format)
        ran = tiny("filter", "photos", "--remove", before, "-o", f"out-{format}")
        assert ran.err == summary(2, 0, f"out-{format}")


@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("write", [folder_of, tar_of, zip_of])
def test_what_a_test_set_holds_goes_from_a_training_set(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes], write: Any, format: str
) -> None:
    train = {"folder_of": "train", "tar_of": "train.tar", "zip_of": "train.zip"}[write.__name__]
    write(tmp_path / train, pictures)
    folder_of(tmp_path / "test", {"x.png": pictures["a.png"]})
    assert tiny("embed", "test", "-d", "test.d").status == 0
    leaks = f"leaks.{format}"
    assert tiny("dedup", train, "--against", "test.d", "-o", leaks).status == 0
    ran = tiny("filter", train, "--remove", leaks, "-o", f"clean-{train}")
    assert ran.err == summary(5, 2, f"clean-{train}")
    assert tiny("leaks", f"clean-{train}", "--against", "test.d").status == 0
    assert tiny("leaks", train, "--against", "test.d").status == 1


@pytest.mark.parametrize("name", ["photos", "photos.tar"])
def test_two_datasets_of_one_source_do_not_remove_each_other(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes], name: str
) -> None:
    (tar_of if name.endswith("tar") else folder_of)(tmp_path / name, pictures)
    assert tiny("embed", name, "-d", "other").status == 0
    assert tiny("dedup", name, "--against", "other", "-o", "r.jsonl").status == 0
    ran = tiny("filter", name, "--remove", "r.jsonl", "-o", f"out-{name}")
    assert (ran.status, ran.out, Path(f"out-{name}").exists()) == (3, b"", False)
    assert " must stay for " in error_line(ran)


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_a_cut_report_is_refused_wherever_it_ends(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes], format: str
) -> None:
    folder_of(tmp_path / "photos", pictures)
    data = tiny("dedup", "photos", "-f", format).out
    lines = data.removesuffix(b"\n").split(b"\n")
    for stop in range(1, len(lines)):
        whole = b"".join(line + b"\n" for line in lines[:stop])
        assert "r is cut: " in refused(tiny, whole) or "lacks" in refused(tiny, whole)
    for end in (len(data) - 1, len(data) - 4, len(data) - len(lines[-1])):
        assert refused(tiny, data[:end]).startswith("r is cut: its last ")


MEMBER = {
    "path": "photos/a.png",
    "keep": True,
    "keeper": "photos/a.png",
    "similarity": 1.0,
    "id": "a.png",
    "file_bytes": 1,
    "mtime_ns": 1,
    "content_hash": "0" * 32,
    "source": "/photos",
}

GOES = {**MEMBER, "path": "photos/b.png", "id": "b.png", "keep": False}


@pytest.mark.parametrize(
    ("members", "what"),
    [
        ([{**MEMBER, "keep": None}, GOES], "it lacks 'keep'"),
        ([MEMBER, {**GOES, "keep": "false"}], "keep is 'false'"),
        ([MEMBER, {**GOES, "keep": 0}], "keep is 0"),
        ([MEMBER, {**GOES, "file_bytes": float("inf")}], "Infinity is no number"),
        ([MEMBER, {**GOES, "similarity": float("nan")}], "NaN is no number"),
        ([MEMBER, {**GOES, "file_bytes": "12"}], "file_bytes is '12'"),
        ([MEMBER, {**GOES, "content_hash": ""}], "content_hash is ''"),
        ([MEMBER, {k: v for k, v in GOES.items() if k != "source"}], "it lacks 'source'"),
        ([MEMBER, {**MEMBER, "keep": False}], "photos/a.png stays in it and goes"),
        (
            [GOES, {**GOES, "path": "photos/a.png", "id": "a.png"}],
            "photos/b.png goes for photos/a.png, which does not stay in it",
        ),
        ([MEMBER, "b.png"], "'str' object"),
        ([MEMBER, None], "'NoneType' object"),
        (None, "'NoneType' object"),
    ],
)
def test_a_report_that_contradicts_itself_or_is_damaged_is_refused(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes], members: Any, what: str
) -> None:
    folder_of(tmp_path / "photos", pictures)
    text = rewrite(
        report(tiny, "photos"), {"cluster": "0", "weakest_link": 0.5, "members": members}
    )
    why = refused(tiny, text)
    assert why.startswith("r is no whole report of sscd dedup: ")
    assert what in why


def test_a_nested_line_is_no_report(tiny: Run, tmp_path: Path, pictures: dict[str, bytes]) -> None:
    folder_of(tmp_path / "photos", pictures)
    first, *_ = report(tiny, "photos").read_bytes().split(b"\n")
    nested = b'{"members":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    why = refused(tiny, b"\n".join([first, nested, b'{"end": true}', b""]))
    assert why == "r is no whole report of sscd dedup: its values are nested too deeply"


@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet"])
def test_line_breaks_of_unicode_are_part_of_a_name(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes], format: str
) -> None:
    names = [f"{mark}.png" for mark in ("a\u2028b", "c\x85d", "e\x1cf", "g\rh", "i\nj")]
    folder_of(tmp_path / "photos", dict.fromkeys(names, pictures["a.png"]))
    before = report(tiny, "photos", format)
    ran = tiny("filter", "photos", "--remove", before, "-o", "out")
    assert ran.err == summary(5, 4, "out")


def test_a_report_may_come_through_a_pipe(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes]
) -> None:
    folder_of(tmp_path / "photos", {**pictures, "new\nline.png": pictures["e.png"]})
    found = tiny("dedup", "photos", "-f", "csv").out
    ran = tiny("filter", "photos", "--remove", "-", "-o", "out", stdin=found)
    assert ran.err == summary(6, 3, "out")


def test_names_of_any_bytes_are_found_again(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes]
) -> None:
    names = [os.fsdecode(b"\xff%d.png" % number) for number in range(3)]
    tar_of(tmp_path / "s.tar", dict.fromkeys(names, pictures["a.png"]), encoding="utf-8")
    for format in ("jsonl", "csv", "parquet"):
        before = report(tiny, "s.tar", format)
        ran = tiny("filter", "s.tar", "--remove", before, "-o", f"{format}.tar")
        assert ran.err == summary(3, 2, f"{format}.tar")
        assert [name for name, _, _ in members(tmp_path / f"{format}.tar")] == names[:1]


def photos_of(tmp_path: Path, kind: str, files: Mapping[str, bytes]) -> str:
    """Write pictures as a source of a kind, and return its name."""
    source = {"folder": "photos", "list": "photos/l.csv"}.get(kind, f"s.{kind}")
    if kind in {"folder", "list"}:
        folder_of(tmp_path / "photos", files)
        (tmp_path / "photos" / "l.csv").write_text("\n".join(["image", *files, ""]))
    elif kind == "tar":
        tar_of(tmp_path / source, files)
    elif kind == "zip":
        zip_of(tmp_path / source, files)
    else:
        rows = {"image": list(files.values()), "key": list(files)}
        pq.write_table(pa.table(rows), tmp_path / source)
    return source


@pytest.mark.parametrize("kind", ["folder", "list", "tar", "zip", "parquet"])
@pytest.mark.parametrize("hurt", ["a.png", "b.png"])
def test_an_image_that_changed_since_the_report_stops_it_whatever_its_size(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes], kind: str, hurt: str
) -> None:
    before = report(tiny, photos_of(tmp_path, kind, pictures))
    torn = bytes(len(pictures[hurt]))  # of the same size
    source = photos_of(tmp_path, kind, {**pictures, hurt: torn})
    output = f"photos/out{Path(source).suffix}" if kind == "list" else f"o{Path(source).suffix}"
    output = "out" if kind == "folder" else output
    error = error_line(tiny("filter", source, "--remove", before, "-o", output))
    id = str(list(pictures).index(hurt)) if kind == "parquet" else hurt
    stays = ", which must stay," if hurt == "a.png" else ""
    folder = "photos" if kind == "list" else source
    assert error == (
        f"{id} in {tmp_path}/{folder}{stays} has changed since the report; run sscd dedup again"
    )
    assert not Path(output).exists()


@pytest.mark.parametrize("change", ["empty", "torn", "folder", "gone", "other picture"])
def test_copies_stay_where_what_they_are_copies_of_is_no_more(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes], change: str
) -> None:
    folder_of(tmp_path / "kept", {"a.png": pictures["a.png"]})
    folder_of(tmp_path / "copies", {"b.png": pictures["a.png"]})
    assert tiny("dedup", "kept", "copies", "--keep", "first", "-f", "csv", "-o", "r").status == 0
    path = tmp_path / "kept/a.png"
    if change in {"folder", "gone"}:
        path.unlink()
        if change == "folder":
            path.mkdir()
    else:
        torn = path.read_bytes()[:-20] if change == "torn" else b""
        path.write_bytes(pictures["e.png"] if change == "other picture" else torn)
    error = error_line(tiny("filter", "copies", "--remove", "r", "-o", "out"))
    assert error.startswith(f"a.png in {tmp_path}/kept, which must stay, ")
    assert ("cannot be read: " in error) == (change in {"folder", "gone"})
    assert not Path("out").exists()


def test_what_must_stay_is_an_image_whatever_a_report_says(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes]
) -> None:
    folder_of(tmp_path / "photos", pictures)
    before = report(tiny, "photos")
    first, second = records_of(before.read_bytes())
    (tmp_path / "photos/a.png").write_bytes(b"no image")
    digest = hashlib.blake2b(b"no image", digest_size=16).hexdigest()
    first["members"][0]["content_hash"] = digest
    rewrite(before, first, second)
    error = error_line(tiny("filter", "photos", "--remove", before, "-o", "out"))
    assert error.startswith(f"a.png in {tmp_path}/photos, which must stay, cannot be read: ")
    assert not Path("out").exists()


@pytest.mark.parametrize("link", ["hard", "soft"])
def test_what_goes_and_what_stays_may_not_have_become_one_file(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes], link: str
) -> None:
    folder_of(tmp_path / "photos", pictures)
    before = report(tiny, "photos")
    keeper, copy = tmp_path / "photos/a.png", tmp_path / "photos/b.png"
    keeper.unlink()
    keeper.hardlink_to(copy) if link == "hard" else keeper.symlink_to(copy)
    error = error_line(tiny("filter", "photos", "--remove", before, "-o", "out"))
    assert error.startswith(
        f"b.png in {tmp_path}/photos and what must stay for it have become one file; run sscd"
    )


def test_the_report_itself_is_the_oracle_of_what_goes(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes]
) -> None:
    folder_of(tmp_path / "photos", pictures)
    before = report(tiny, "photos", "csv")
    kept = {row["id"] for row in csv_rows_of(before.read_bytes()) if row["keep"] == "true"}
    assert tiny("filter", "photos", "--remove", before, "-o", "out").status == 0
    assert names_in(tmp_path / "out") == sorted(kept | {"e.png"})
    assert tiny("dedup", "out", "-d", "again", "-f", "paths").out == b""


def test_many_sources_are_looked_up_in_one_pass_over_the_report(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    split: list[str] = []
    original = removals.split_columns
    monkeypatch.setattr(removals, "split_columns", lambda s: split.append(s) or original(s))
    tables = [f"/t/{number}.parquet" for number in range(20)]
    found = removals.Removals({})
    for table in tables:
        for id in "abc":
            found.keepers[f"{table}#image=photo", id] = found.keepers[table, id] = cast(Any, None)
    found.keepers["/t/0.parquet#image=x", "a"] = cast(Any, None)
    assert [found.tables(table) for table in tables] == [
        {f"{table}#image=photo", *(["/t/0.parquet#image=x"] if table == tables[0] else [])}
        for table in tables
    ]
    assert found.tables("/t/none.parquet") == set()
    assert len(split) == 41
