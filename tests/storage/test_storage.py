"""Sources on servers: S3 and HTTP on loopback, with faults; what is missing is named."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from buckets import packed, pictures
from conftest import Run, error_line, picture
from servers import FileServer, Proxy, running

from sscd_cli.descriptors.read import read_descriptors
from sscd_cli.images.read import read_bytes
from sscd_cli.images.sources import iter_images
from sscd_cli.images.status import is_here, stat_image, still_there, stored_ref
from sscd_cli.storage import servers
from sscd_cli.storage.block_cache import BlockCache


def test_a_bucket_is_embedded_found_unchanged_and_searched_for_copies(
    tiny: Run, bucket: str
) -> None:
    servers.write_url(f"{bucket}/in/.hidden.png", b"x")
    servers.write_url(f"{bucket}/in/note.txt", b"x")
    servers.write_url(f"{bucket}/in/deep/torn.jpg", b"x")
    ran = tiny("embed", f"{bucket}/in/")
    assert ran.status == 0, ran.err
    assert "5 images: 3 embedded, 1 exact copy, 1 unreadable, 0 unchanged" in ran.err
    stored = read_descriptors(Path("descriptors"))
    assert list(stored.ids) == ["0.png", "1.png", "2.png", "copy.png"]
    assert set(stored.sources) == {f"{bucket}/in"}
    assert "1 unreadable, 4 unchanged" in tiny("embed", f"{bucket}/in").err
    ran = tiny("dedup", "-f", "jsonl")
    (cluster,) = [json.loads(line) for line in ran.lines[1:-1]]
    gone = [member["path"] for member in cluster["members"] if not member["keep"]]
    assert gone == [f"{bucket}/in/copy.png"]
    assert "not on this machine" not in ran.err


def test_workers_read_a_bucket(tiny: Run, bucket: str) -> None:
    ran = tiny("embed", f"{bucket}/in", "--workers", "2", "--batch-size", "2")
    assert ran.status == 0, ran.err
    assert "4 images: 3 embedded, 1 exact copy" in ran.err


@pytest.mark.parametrize("kind", ["tar", "zip", "parquet", "jsonl"])
def test_containers_and_lists_in_a_bucket_keep_their_ids(
    tiny: Run, tmp_path: Path, bucket: str, kind: str
) -> None:
    for number in range(2):
        servers.write_url(f"{bucket}/s-{number}.{kind}", packed(tmp_path, kind))
    options = ["--id-column", "key"] if kind == "parquet" else []
    ran = tiny("embed", f"{bucket}/s-{{0..1}}.{kind}", *options)
    assert ran.status == 0, ran.err
    assert "8 images: 3 embedded, " in ran.err
    stored = read_descriptors(Path("descriptors"))
    names = ["0.png", "1.png", "2.png", "copy.png"]
    if kind == "jsonl":
        assert set(zip(stored.sources, stored.ids, strict=True)) == {
            (bucket, f"in/{name}") for name in names
        }
    else:
        assert list(stored.ids) == names * 2
        key = "#id=key" if options else ""
        assert set(stored.sources) == {f"{bucket}/s-{number}.{kind}{key}" for number in range(2)}
    ran = tiny("dedup", "-f", "jsonl")
    assert "stale" not in ran.err and "not on this machine" not in ran.err
    assert "8 unchanged" in tiny("embed", f"{bucket}/s-*.{kind}", *options).err


def test_a_file_is_asked_for_once(bucket: str, s3: Proxy) -> None:
    refs = list(iter_images([f"{bucket}/in"]))
    assert [stat_image(ref).file_bytes for ref in refs] == [
        len(read_bytes(ref, 1 << 20)[0]) for ref in refs
    ]
    gets = [line for line in s3.asked if line.startswith("GET") and line.endswith(".png")]
    assert len(gets) == len(refs)
    assert not [line for line in s3.asked if line.startswith("HEAD") and line.endswith(".png")]


def test_pages_and_what_is_missing_on_the_web_are_named(tiny: Run, web: FileServer) -> None:
    (web.folder / "folder.html").write_text("<html>")
    reasons = {"none.jpg": "404 Not Found", "folder.html": "a page, not a file: http has no"}
    for name, reason in reasons.items():
        line = error_line(tiny("embed", f"{web.url}/{name}"))
        assert line.startswith(f"cannot read the source {web.url}/{name}: {reason}")
    assert not Path("descriptors").exists()


@pytest.mark.parametrize(
    ("name", "fault"),
    [(name, fault) for name in ("in/0.png", "s.tar", "s.parquet") for fault in ("500", "cut")]
    + [("in/0.png", "503"), ("s.tar", "short"), ("s.parquet", "slow")],
)
def test_a_fault_that_passes_changes_nothing(
    tmp_path: Path, bucket: str, s3: Proxy, name: str, fault: str
) -> None:
    kind = name.partition(".")[2]
    if kind != "png":
        servers.write_url(f"{bucket}/{name}", packed(tmp_path, kind))
    s3.faults += [(fault, f"GET /{bucket.partition('//')[2]}/{name}")]
    refs = list(iter_images([f"{bucket}/{name}"]))
    contents = [read_bytes(ref, 1 << 20)[0] for ref in refs]
    assert contents == list(pictures(tmp_path).values())[: len(refs)]
    assert not s3.faults


def test_a_fault_that_lasts_makes_an_image_unreadable_until_the_next_run(
    tiny: Run, bucket: str, s3: Proxy
) -> None:
    s3.faults += [("500", "GET /photos/" + bucket.rpartition("/")[2] + "/in/1.png")] * 3
    ran = tiny("embed", f"{bucket}/in")
    assert f"unreadable: {bucket}/in/1.png: " in ran.err
    assert "4 images: 2 embedded, 1 exact copy, 1 unreadable" in ran.err
    again = tiny("embed", f"{bucket}/in")
    assert "1 embedded, 0 exact copies, 0 unreadable, 3 unchanged" in again.err


def test_an_image_that_changed_or_went_is_stale(tiny: Run, bucket: str) -> None:
    assert tiny("embed", f"{bucket}/in").status == 0
    assert still_there(f"{bucket}/in", "copy.png")
    servers.remove_url(f"{bucket}/in/copy.png")
    assert not still_there(f"{bucket}/in", "copy.png")
    assert still_there("s3://no-such-bucket/in", "copy.png")
    assert not is_here("s3://no-such-bucket/in")
    ran = tiny("dedup", "-f", "paths")
    assert (ran.status, ran.out) == (0, b"")
    assert "left out 1 image that vanished or changed" in ran.err
    assert "1 vanished and dropped" in tiny("embed", f"{bucket}/in", "--prune").err


def test_what_is_not_there_is_named(tiny: Run, bucket: str) -> None:
    for source in (f"{bucket}/none", f"{bucket}/none.tar", f"{bucket}/n-{{0..1}}.tar"):
        line = error_line(tiny("embed", source))
        assert re.match(r"cannot read the source s3://photos/.*/n.*: .*; check the path", line)
    assert error_line(tiny("embed", "s3://no-such-bucket/x")).startswith("cannot read the source")
    assert not Path("descriptors").exists()


def test_a_server_that_does_not_answer_is_named(tiny: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "PAUSE", 0.01)
    line = error_line(tiny("embed", "http://127.0.0.1:9/a.jpg"))
    assert line.startswith("cannot read the source http://127.0.0.1:9/a.jpg: Connection refused;")


def test_a_scheme_that_nobody_knows_is_refused(tiny: Run) -> None:
    ran = tiny("embed", "ftp://127.0.0.1/a.jpg")
    assert ran.status == 2
    assert error_line(ran).startswith("ftp://127.0.0.1/a.jpg has no known scheme; name a path, or")


def test_a_package_that_is_missing_is_named_with_its_extra(
    tiny: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = import_module("fsspec.registry")._registry
    monkeypatch.delitem(loaded, "gs", raising=False)
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    line = error_line(tiny("embed", "gs://bucket/a"))
    assert line.startswith("gs:// needs a package that is not installed")
    assert line.endswith("; run pip install 'sscd-cli[gcs]'")


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    (tmp_path / "web").mkdir()
    monkeypatch.setattr(servers, "PAUSE", 0.01)
    with running(FileServer(tmp_path / "web")) as server:
        yield server  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "fault"),
    [(name, "") for name in ("a.png", "unsized.png", "s.tar", "whole.tar", "s.zip", "s.parquet")]
    + [("a.png", "short"), ("s.tar", "500"), ("whole.tar", "cut"), ("s.zip", "short")],
)
def test_files_come_by_http_with_ranges_or_without(
    tmp_path: Path, web: FileServer, name: str, fault: str
) -> None:
    kind = name.partition(".")[2]
    files = pictures(tmp_path)
    (web.folder / name).write_bytes(files["0.png"] if kind == "png" else packed(tmp_path, kind))
    os.utime(web.folder / name, (1_000_000_000, 1_000_000_000))
    if fault:
        web.faults.append((fault, f"GET /{name}"))
    refs = list(iter_images([f"{web.url}/{name}"]))
    found = [read_bytes(ref, 1 << 20) for ref in refs]
    assert [data for data, _ in found] == list(files.values())[: len(refs)]
    assert {status.mtime_ns for _, status in found} == {10**18}
    assert not web.faults
    for ref in refs:
        assert read_bytes(stored_ref(ref.source, ref.id), 1 << 20) == found[refs.index(ref)]


def test_a_file_of_unknown_size_is_an_image_but_no_archive(
    tiny: Run, tmp_path: Path, web: FileServer
) -> None:
    picture(web.folder / "unsized.png", 1)
    (web.folder / "unsized.tar").write_bytes(packed(tmp_path, "tar"))
    image, archive = f"{web.url}/unsized.png", f"{web.url}/unsized.tar"
    assert "1 image: 1 embedded" in tiny("embed", image).err
    assert "0 embedded, 0 exact copies, 0 unreadable, 1 unchanged" in tiny("embed", image).err
    assert "more than the limit of 99" in tiny("embed", image, "--max-bytes", "99", "-d", "n").err
    assert "the server does not say how large it is" in error_line(tiny("embed", archive))


def test_a_list_may_name_files_on_servers(tiny: Run, tmp_path: Path, web: FileServer) -> None:
    picture(web.folder / "a.png", 1)
    picture(tmp_path / "set/b.png", 1)
    there = [f"{web.url}/a.png?size=1", f"{web.url}/none.png"]
    rows = ["url", there[0], "b.png", there[1], (tmp_path / "set/b.png").as_uri()]
    Path("set/list.csv").write_text("\n".join(rows))
    ran = tiny("embed", "set/list.csv")
    assert "4 images: 1 embedded, 2 exact copies, 1 unreadable" in ran.err
    stored = read_descriptors(Path("descriptors"))
    assert list(zip(stored.sources, stored.ids, strict=True)) == [
        ("", f"{web.url}/a.png?size=1"),
        (f"{tmp_path}/set", "b.png"),
        ("", f"{tmp_path}/set/b.png"),
    ]


def test_two_images_are_compared_wherever_they_are(
    tiny: Run, tmp_path: Path, web: FileServer
) -> None:
    here = picture(tmp_path / "a.png", 1)
    picture(web.folder / "a.png", 1)
    assert tiny("pair", f"{web.url}/a.png", here.as_uri()).out.startswith(b"similarity 1.0000")


def test_a_file_url_is_a_path(tiny: Run, tmp_path: Path) -> None:
    picture(tmp_path / "two words/a.png", 1)
    (ref,) = iter_images([(tmp_path / "two words").as_uri()])
    assert (ref.source, ref.path) == (f"{tmp_path}/two words", f"{tmp_path}/two words/a.png")


@pytest.mark.parametrize("where", ["here", "there"])
def test_a_dataset_that_a_url_names_is_one_for_every_command(
    tiny: Run, tmp_path: Path, bucket: str, where: str
) -> None:
    for number in range(4):
        picture(tmp_path / f"in/{number}.png", number)
    there = f"{bucket}/d" if where == "there" else (tmp_path / "d").as_uri()
    assert tiny("embed", "in", "-d", there).status == 0
    ran = tiny("calibrate", there, "--sample", "2", "-o", "threshold.json")
    assert "4 images of" in ran.err
    assert error_line(tiny("calibrate", there, "-d", "other")).startswith(
        "--descriptors does nothing with a descriptor dataset as SOURCE; "
    )
    ran = tiny("embed", there, "-d", "other")
    assert error_line(ran).startswith(f"{there} holds descriptors, not images; ")


def test_an_archive_on_the_web_is_no_dataset(tiny: Run, tmp_path: Path, web: FileServer) -> None:
    (web.folder / "s.tar").write_bytes(packed(tmp_path, "tar"))
    picture(tmp_path / "in/a.png", 1)
    assert "embedded" in tiny("calibrate", f"{web.url}/s.tar", "-d", "c", "--sample", "2").err
    ran = tiny("leaks", "in", "--against", f"{web.url}/s.tar", "--yes")
    assert ran.status == 1, ran.err
    assert b"exact bytes" in ran.out


def test_blocks_make_room_for_others_and_a_full_disk_keeps_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache = BlockCache(2)
    for number in range(2):
        cache.put(number, bytes([number]))
    assert cache.get(0) == b"\0"
    cache.put(2, b"2")
    assert [cache.get(number) for number in range(3)] == [b"\0", None, b"2"]
    monkeypatch.setattr("os.pwrite", lambda *_: 0)
    cache.put(3, b"3")
    assert [cache.get(number) for number in (0, 2, 3)] == [None, b"2", None]
    BlockCache(0).put(0, b"0")
