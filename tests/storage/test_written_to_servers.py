"""Datasets, reports and filtered sources that are written to servers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from buckets import packed, pictures
from conftest import Run, error_line, names_in, picture
from servers import Proxy

import sscd_cli
from sscd_cli.images import read as reading
from sscd_cli.images.sources import iter_images
from sscd_cli.storage import servers
from sscd_cli.storage.files import whole_file
from sscd_cli.storage.places import place


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
    read = reading.read_held

    def spoilt(ref: Any, limit: int) -> Any:
        data, name = read(ref, limit)
        return (data[:-1] if "/out" in ref.path and ref.id == "2.png" else data), name

    monkeypatch.setattr("sscd_cli.commands.filter.read_held", spoilt)
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
