"""Sources on servers: S3 and HTTP on loopback, with faults; what is missing is named."""

from __future__ import annotations

import io
import json
import os
import re
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Run, error_line, names_in, picture
from servers import FileServer, Proxy, running, s3_server

import sscd_cli
from sscd_cli.descriptors.read import read_descriptors
from sscd_cli.images import read as reading
from sscd_cli.images.read import is_here, read_bytes, stat_image, still_there, stored_ref
from sscd_cli.images.sources import iter_images
from sscd_cli.storage import servers
from sscd_cli.storage.block_cache import BlockCache
from sscd_cli.storage.files import whole_file
from sscd_cli.storage.places import place

pytest.importorskip("s3fs")
pytest.importorskip("moto")


@pytest.fixture(scope="module")
def s3() -> Iterator[Proxy]:
    """Return a server with a bucket, which s3fs finds by the variables of AWS."""
    with pytest.MonkeyPatch.context() as patch, s3_server() as server:
        patch.setenv("AWS_ENDPOINT_URL", server.url)
        patch.setenv("AWS_ACCESS_KEY_ID", "someone")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_MAX_ATTEMPTS", "1")  # our own tries are under test, and do not wait
        patch.setattr(servers, "PAUSE", 0.01)
        import s3fs

        s3fs.S3FileSystem().mkdir("photos")
        yield server


@pytest.fixture
def bucket(s3: Proxy, tmp_path: Path) -> str:
    """Return a place of the test's own in the bucket, with pictures 0, 1, 2 and a copy of 0."""
    s3.faults.clear()
    url = f"s3://photos/{tmp_path.name}"
    for name, data in pictures(tmp_path).items():
        servers.write_url(f"{url}/in/{name}", data)
    s3.asked.clear()
    return url


def pictures(folder: Path) -> dict[str, bytes]:
    files = {f"{n}.png": picture(folder / f"made/{n}.png", n).read_bytes() for n in range(3)}
    return {**files, "copy.png": files["0.png"]}


def packed(folder: Path, kind: str) -> bytes:
    """Return the pictures as one file."""
    files = pictures(folder)
    stream = io.BytesIO()
    if kind == "tar":
        with tarfile.open(fileobj=stream, mode="w") as tar:
            for name, data in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    elif kind == "zip":
        with zipfile.ZipFile(stream, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    elif kind == "parquet":
        table = pa.table({"image": list(files.values()), "key": list(files)})
        pq.write_table(table, stream, row_group_size=2)
    else:
        stream.write("".join(json.dumps({"image": f"in/{name}"}) + "\n" for name in files).encode())
    return stream.getvalue()


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
    [(name, "") for name in ("a.png", "s.tar", "whole.tar", "s.zip", "s.parquet")]
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
    assert ran.status in (0, 1), ran.err


@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_what_is_filtered_may_come_from_a_bucket(
    tiny: Run, tmp_path: Path, bucket: str, kind: str
) -> None:
    servers.write_url(f"{bucket}/s.{kind}", packed(tmp_path, kind))
    assert tiny("dedup", f"{bucket}/s.{kind}", "-f", "jsonl", "-o", "r.jsonl").status == 0
    ran = tiny("filter", f"{bucket}/s.{kind}", "--remove", "r.jsonl", "-o", f"out.{kind}")
    assert ran.status == 0, ran.err
    assert ran.err == f"4 images: 1 removed, 3 kept and verified in out.{kind}\n"
    assert len(list(iter_images([f"out.{kind}"]))) == 3
    assert not [name for name in names_in(tmp_path) if name.endswith(".part")]


def test_a_dataset_may_lie_in_a_bucket(tiny: Run, tmp_path: Path, bucket: str) -> None:
    there = f"{bucket}/descriptors"
    ran = tiny("embed", f"{bucket}/in", "-d", there, "--shard-rows", "2")
    assert ran.status == 0, ran.err
    assert "4 images: 3 embedded, 1 exact copy" in ran.err
    assert sorted(servers.list_folder(there)) == ["shard-000000.parquet", "shard-000001.parquet"]
    assert "4 unchanged" in tiny("embed", f"{bucket}/in", "-d", there).err
    assert tiny("embed", f"{bucket}/in", "-d", "here").status == 0
    for format in ("jsonl", "csv"):
        reports = [tiny("dedup", "-d", folder, "-f", format) for folder in (there, "here")]
        # the first line names the dataset
        assert reports[0].lines[1:] == reports[1].lines[1:] != []
    assert tiny("dedup", "-d", "here", "--against", there, "-f", "paths").status == 0
    assert "center,L2norm of 4 images" in tiny("fit", there, "-o", "post").err
    assert len(sscd_cli.read_descriptors(there)) == 4
    servers.remove_url(f"{bucket}/in/2.png")
    assert "1 vanished and dropped" in tiny("embed", f"{bucket}/in", "-d", there, "--prune").err
    assert len(sscd_cli.read_descriptors(there)) == 3
    assert not [name for name in names_in(tmp_path) if name.startswith("s3")]


def test_an_index_in_a_bucket_answers(tiny: Run, tmp_path: Path, bucket: str) -> None:
    there = f"{bucket}/descriptors"
    assert tiny("embed", f"{bucket}/in", "-d", there).status == 0
    exact = tiny("search", f"{bucket}/in/1.png", "-d", there).out
    assert tiny("index", "-d", there).status == 0
    assert tiny("search", f"{bucket}/in/1.png", "-d", there).out == exact != b""


@pytest.mark.parametrize("fault", ["500", "cut"])
def test_a_fault_while_a_shard_is_written_loses_nothing(
    tiny: Run, bucket: str, s3: Proxy, fault: str
) -> None:
    s3.faults += [(fault, f"PUT /{bucket.partition('//')[2]}/d/shard-000000.parquet")]
    ran = tiny("embed", f"{bucket}/in", "-d", f"{bucket}/d")
    assert ran.status == 0, ran.err
    assert not s3.faults
    assert len(sscd_cli.read_descriptors(f"{bucket}/d")) == 4


def test_a_server_that_takes_no_shard_ends_the_run_and_the_next_one_goes_on(
    tiny: Run, bucket: str, s3: Proxy
) -> None:
    s3.faults += [("500", f"PUT /{bucket.partition('//')[2]}/d/shard-000001.parquet")] * 99
    words = ["embed", f"{bucket}/in", "-d", f"{bucket}/d", "--shard-rows", "2"]
    line = error_line(tiny(*words))
    assert line.startswith(f"cannot write to {bucket}/d: ")
    assert len(sscd_cli.read_descriptors(f"{bucket}/d")) == 2
    s3.faults.clear()
    assert "1 embedded, 1 exact copy, 0 unreadable, 2 unchanged" in tiny(*words).err


def test_no_run_replaces_the_shard_of_another(tiny: Run, bucket: str) -> None:
    path = place(f"{bucket}/d/shard-000000.parquet")
    with whole_file(path, new=True) as file:
        file.write(b"one")
    with whole_file(path, new=True) as file:
        file.write(b"one")  # what an earlier try of the same run may have left
    with pytest.raises(FileExistsError), whole_file(path, new=True) as file:
        file.write(b"two")
    assert path.read_bytes() == b"one"


def test_what_is_no_dataset_in_a_bucket_is_named(tiny: Run, bucket: str) -> None:
    assert "there are no descriptors in " in error_line(tiny("dedup", "-d", f"{bucket}/none"))
    line = error_line(tiny("embed", f"{bucket}/in", "-d", f"{bucket}/in"))
    assert line.startswith(f"{bucket}/in holds ")
    line = error_line(tiny("embed", f"{bucket}/in", "-d", "s3://no-such-bucket/d"))
    assert line.startswith("cannot write to s3://no-such-bucket/d: ")


def test_a_report_and_a_filtered_container_go_to_a_bucket(
    tiny: Run, tmp_path: Path, bucket: str
) -> None:
    servers.write_url(f"{bucket}/s.tar", packed(tmp_path, "tar"))
    report = f"{bucket}/reports/r.jsonl"
    assert tiny("dedup", f"{bucket}/s.tar", "-f", "jsonl", "-o", report).status == 0
    ran = tiny("filter", f"{bucket}/s.tar", "--remove", report, "-o", f"{bucket}/out/s.tar")
    assert ran.err == f"4 images: 1 removed, 3 kept and verified in {bucket}/out/s.tar\n"
    assert len(list(iter_images([f"{bucket}/out/s.tar"]))) == 3
    again = tiny("filter", f"{bucket}/s.tar", "--remove", report, "-o", f"{bucket}/out/s.tar")
    assert error_line(again).startswith(f"{bucket}/out/s.tar exists; ")


def test_keys_with_two_slashes_and_a_slash_at_the_end_of_the_folder_lose_no_image(
    tiny: Run, tmp_path: Path, bucket: str
) -> None:
    image = picture(tmp_path / "one.png", 1).read_bytes()
    keys = ("/b.png", "a.png", "sub//c.png", "sub/d//deep/e.png")
    client = pytest.importorskip("boto3").client("s3")
    name, _, base = bucket.removeprefix("s3://").partition("/")
    for key in (*keys, "", "empty//", "sub/"):
        body = image if key.endswith("png") else b""
        client.put_object(Bucket=name, Key=f"{base}/odd/{key}", Body=body)
    for number, folder in enumerate((f"{bucket}/odd", f"{bucket}/odd/")):
        ran = tiny("embed", folder, "-d", f"d{number}")
        assert "4 images: 1 embedded, 3 exact copies, 0 unreadable" in ran.err
        assert "not images" not in ran.err
        assert sorted(sscd_cli.read_descriptors(f"d{number}").ids) == list(keys)
        assert "4 unchanged" in tiny("embed", folder, "-d", f"d{number}").err


@pytest.mark.parametrize("places", ["there there", "there here", "here there"])
def test_a_folder_is_filtered_from_and_to_a_bucket(
    tiny: Run, tmp_path: Path, bucket: str, s3: Proxy, places: str
) -> None:
    servers.write_url(f"{bucket}/in/deep/note.txt", b"a note")
    for name, data in {**pictures(tmp_path), "deep/note.txt": b"a note"}.items():
        (tmp_path / "in/deep").mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(data)
    source, output = (
        f"{bucket}/{name}" if place == "there" else name
        for name, place in zip(("in", "out"), places.split(), strict=True)
    )
    assert tiny("dedup", source, "-f", "jsonl", "-o", "r.jsonl").status == 0
    s3.faults += [("500", "GET /photos"), ("503", "PUT /photos")]
    ran = tiny("filter", source, "--remove", "r.jsonl", "-o", output)
    assert ran.err == f"4 images: 1 removed, 3 kept and verified in {output}\n"
    folder = place(output)
    assert sorted(path.name for path in folder.iterdir()) == ["0.png", "1.png", "2.png", "deep"]
    assert (folder / "deep/note.txt").read_bytes() == b"a note"
    for name in ("0.png", "1.png", "2.png"):
        assert (folder / name).read_bytes() == pictures(tmp_path)[name]
    assert len(list(iter_images([source]))) == 4
    again = tiny("filter", source, "--remove", "r.jsonl", "-o", output)
    assert error_line(again).startswith(f"{output} exists; ")
    s3.faults.clear()


@pytest.mark.parametrize("name", ["in", "s.tar"])
def test_what_is_written_to_a_bucket_is_compared_and_withdrawn_if_it_differs(
    tiny: Run, tmp_path: Path, bucket: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers.write_url(f"{bucket}/s.tar", packed(tmp_path, "tar"))
    source, output = f"{bucket}/{name}", f"{bucket}/out-{name}"
    assert tiny("dedup", source, "-f", "jsonl", "-o", "r.jsonl").status == 0
    read = reading.read_bytes

    def spoilt(ref: Any, limit: int) -> Any:
        data, status = read(ref, limit)
        return (data[:-1] if "/out" in ref.path and ref.id == "2.png" else data), status

    monkeypatch.setattr("sscd_cli.commands.filter.read_bytes", spoilt)
    ran = tiny("filter", source, "--remove", "r.jsonl", "-o", output)
    assert "what was written differs" in error_line(ran)
    assert not servers.exists(output)


def test_what_another_run_uploaded_meanwhile_stays(
    tiny: Run, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tiny("dedup", f"{bucket}/in", "-f", "jsonl", "-o", "r.jsonl").status == 0
    put = servers.upload

    def overtaken(path: str, url: str) -> None:
        if url.endswith("1.png"):
            servers.write_url(url, b"of the other run")
        put(path, url)

    monkeypatch.setattr(servers, "upload", overtaken)
    ran = tiny("filter", f"{bucket}/in", "--remove", "r.jsonl", "-o", f"{bucket}/out")
    assert error_line(ran) == f"{bucket}/out exists; choose another place with -o"
    assert list(servers.list_folder(f"{bucket}/out")) == ["1.png"]


@pytest.mark.parametrize(
    ("source", "output"), [("in", "in/out"), ("s.tar", "other.zip"), ("in/0.png", "out")]
)
def test_what_cannot_be_filtered_on_a_server_is_refused(
    tiny: Run, tmp_path: Path, bucket: str, source: str, output: str
) -> None:
    servers.write_url(f"{bucket}/s.tar", packed(tmp_path, "tar"))
    Path("r").write_bytes(b"")
    words = ("filter", f"{bucket}/{source}", "--remove", "r", "-o")
    assert tiny(*words, f"{bucket}/{output}").status == 2
    assert not servers.exists(f"{bucket}/{output}")
    linked = error_line(tiny("filter", f"{bucket}/in", "--remove", "r", "-o", "x", "--link"))
    assert linked == "--link is for a folder here, copied here; leave it out"


@pytest.mark.parametrize("name", ["s.tar", "s.parquet"])
def test_a_container_is_fetched_once_to_be_embedded_and_once_to_be_filtered(
    tiny: Run, tmp_path: Path, bucket: str, s3: Proxy, name: str
) -> None:
    servers.write_url(f"{bucket}/{name}", packed(tmp_path, name[2:]))
    s3.asked.clear()
    assert tiny("dedup", f"{bucket}/{name}", "-f", "jsonl", "-o", "r.jsonl").status == 0
    assert tiny("filter", f"{bucket}/{name}", "--remove", "r.jsonl", "-o", f"o.{name}").status == 0
    assert len([line for line in s3.asked if line.startswith("GET") and name in line]) == 1


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


def test_tasks_share_a_dataset_in_a_bucket(tiny: Run, bucket: str) -> None:
    there, here = f"{bucket}/descriptors", "here"
    for folder in (there, here):
        for task in ("1/2", "2/2"):
            assert tiny("embed", f"{bucket}/in", "-d", folder, "--task", task).status == 0
        for task in ("1/2", "2/2"):
            ran = tiny("dedup", "-d", folder, "--task", task)
            assert ran.status == 0, ran.err
    assert tiny("dedup", "-d", there).out == tiny("dedup", "-d", here).out != b""


def test_what_a_command_writes_may_go_to_a_bucket_and_be_read_from_there(
    tiny: Run, tmp_path: Path, bucket: str, s3: Proxy
) -> None:
    there, photos = f"{bucket}/d", tmp_path / "photos"
    for number in range(12):
        picture(photos / f"{number}.png", number)
    assert tiny("embed", photos, "-d", there).status == 0
    s3.faults += [("500", "PUT /photos")]
    for words in (
        ["fit", there, "-o", f"{bucket}/post.safetensors"],
        ["models", "export", "sscd_mini", "-f", "safetensors", "-o", f"{bucket}/model"],
        ["dedup", "-d", there, "-f", "html", "-o", f"{bucket}/report.html"],
    ):
        ran = tiny(*words)
        assert ran.status == 0, ran.err
    assert not s3.faults
    post = ["--post", f"{bucket}/post.safetensors"]
    calibrate = [
        "calibrate",
        "-d",
        there,
        "--sample",
        "4",
        "--weights",
        "all=0,jpeg=1",
        "-p",
        "0.01",
    ]
    ran = tiny(*calibrate, *post, "-o", f"{bucket}/t.json")
    assert ran.status == 0, ran.err
    ran = tiny("dedup", "-d", there, *post, "-t", f"{bucket}/t.json", "-f", "jsonl")
    assert ran.status == 0, ran.err
    servers.write_url(f"{bucket}/truth.csv", b"left,right,label\n0.png,2.png,1\n0.png,1.png,0\n")
    ran = tiny("eval", "pairs", f"{bucket}/truth.csv", there, "-f", "json", "-o", f"{bucket}/e")
    assert ran.status == 0, ran.err
    assert json.loads(place(f"{bucket}/e").read_bytes())["pairs"] == 2
    assert place(f"{bucket}/report.html").read_bytes().startswith(b"<!")
    Path("model.safetensors").write_bytes(place(f"{bucket}/model").read_bytes())
    assert tiny("embed", photos, "-d", "e", "-m", "model.safetensors").status == 0
    assert not [name for name in names_in(tmp_path) if name.startswith("s3")]


@pytest.mark.parametrize("scheme", ["http://127.0.0.1:9", "hf://datasets/a/b"])
@pytest.mark.parametrize(
    "words",
    [
        *(["fit", "-o"], ["models", "export", "sscd_mini", "-o"], ["dedup", "-o"]),
        *(["calibrate", "-o"], ["filter", "photos", "--remove", "r", "-o"]),
    ],
    ids=["fit", "export", "dedup", "calibrate", "filter"],
)
def test_what_takes_no_files_is_refused_before_any_work(
    tiny: Run, tmp_path: Path, scheme: str, words: list[str]
) -> None:
    picture(tmp_path / "photos/a.png", 1)
    Path("r").write_bytes(b"")
    ran = tiny(*words, f"{scheme}/x")
    assert ran.status == 2
    refused = f"cannot write {scheme}/x: on servers, only s3:// and gs:// take files"
    assert error_line(ran) == f"{refused}; choose another place with -o"


def test_a_dataset_is_not_written_where_no_files_are_taken(tiny: Run, tmp_path: Path) -> None:
    picture(tmp_path / "photos/a.png", 1)
    line = error_line(tiny("embed", "photos", "-d", "hf://datasets/a/b"))
    refused = "cannot write to hf://datasets/a/b: on servers, only s3:// and gs:// take files"
    assert line == f"{refused}; choose another place with -d"


@pytest.mark.parametrize(
    ("words", "fix"),
    [
        (["train", "photos", "-o", "s3://bucket/x"], "name a file or folder here"),
        (["embed", "photos", "-m", "s3://bucket/x"], "copy it here and name that file"),
        (["eval", "disc", "s3://bucket/x"], "name a file or folder here"),
    ],
    ids=["train", "model", "benchmark"],
)
def test_what_must_be_here_is_refused_on_a_server(
    tiny: Run, tmp_path: Path, words: list[str], fix: str
) -> None:
    assert error_line(tiny(*words)) == f"s3://bucket/x is on a server; {fix}"
    assert names_in(tmp_path) == []
