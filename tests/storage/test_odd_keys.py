"""Keys of buckets that no disk has: nameless folders, and a file and a folder of one name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from buckets import pictures
from conftest import Run, error_line

from sscd_cli.images.sources import iter_images
from sscd_cli.storage import servers


def named(source: str) -> list[tuple[str, str]]:
    return [(ref.source, ref.id) for ref in iter_images([source])]


@pytest.fixture
def odd(bucket: str, tmp_path: Path) -> str:
    """Return a folder in the bucket with pictures in nameless folders."""
    data = pictures(tmp_path)["0.png"]
    for key in ("a.png", "/b.png", "/deep/c.png", "sub//d.png", "sub///e.png"):
        servers.write_url(f"{bucket}/odd/{key}", data)
    return f"{bucket}/odd"


@pytest.mark.parametrize("slashes", ["", "/", "//"])
def test_images_in_nameless_folders_are_listed(odd: str, slashes: str) -> None:
    keys = ["/b.png", "/deep/c.png", "a.png", "sub///e.png", "sub//d.png"]
    assert sorted(named(odd + slashes)) == [(odd, key) for key in keys]
    assert named(f"{odd}//deep") == [(f"{odd}//deep", "c.png")]


def test_what_is_hidden_in_nameless_folders_is_skipped_and_bins_are_counted(
    tiny: Run, odd: str
) -> None:
    for key in ("/.b.png", "/.hidden/b.png", "/deep/#recycle/b.png", "sub//@eaDir/b.png"):
        servers.write_url(f"{odd}/{key}", b"x")
    ran = tiny("embed", odd)
    assert "5 images: 1 embedded, 4 exact copies, 0 unreadable" in ran.err
    assert "skipped: 1 #recycle, 1 @eaDir" in ran.err


def test_a_nameless_folder_of_the_bucket_itself_is_listed(odd: str, tmp_path: Path) -> None:
    bucket, _, folder = odd.removeprefix("s3://").partition("/")
    place = f"s3://{bucket}//{folder}"
    data = pictures(tmp_path)["0.png"]
    for key in ("a.png", "deep/b.png"):
        servers.write_url(f"{place}/{key}", data)
    assert named(place) == [(place, "a.png"), (place, "deep/b.png")]
    assert (f"s3://{bucket}", f"/{folder}/deep/b.png") in named(f"s3://{bucket}")


@pytest.mark.parametrize(("size", "slash"), [(0, ""), (0, "/"), (9, "/")])
def test_a_folder_with_the_name_of_a_file_is_meant_by_a_slash_or_if_the_file_is_empty(
    bucket: str, size: int, slash: str
) -> None:
    servers.write_url(f"{bucket}/in", b"x" * size)
    names = ["0.png", "1.png", "2.png", "copy.png"]
    assert named(f"{bucket}/in{slash}") == [(f"{bucket}/in", name) for name in names]


def test_a_file_with_the_name_of_a_folder_is_meant_without_a_slash(bucket: str) -> None:
    for key, size in (("in", 9), ("alone", 0), ("alone/", 0)):
        servers.write_url(f"{bucket}/{key}", b"x" * size)
    assert named(f"{bucket}/in") == [("", f"{bucket}/in")]
    assert servers.look(f"{bucket}/alone").is_file


def test_a_rerun_knows_odd_keys_and_filter_keeps_them_on_a_server(tiny: Run, odd: str) -> None:
    assert "5 images: 1 embedded, 4 exact copies" in tiny("embed", f"{odd}/").err
    assert "5 unchanged" in tiny("embed", odd).err
    assert tiny("dedup", odd, "-f", "jsonl", "-o", "r.jsonl").status == 0
    (cluster,) = [json.loads(line) for line in Path("r.jsonl").read_text().splitlines()[1:-1]]
    (kept,) = [member["id"] for member in cluster["members"] if member["keep"]]
    ran = tiny("filter", odd, "--remove", "r.jsonl", "-o", f"{odd}-new")
    assert ran.err == f"5 images: 4 removed, 1 kept and verified in {odd}-new\n"
    assert named(f"{odd}-new") == [(f"{odd}-new", kept)]


@pytest.mark.parametrize("key", ["/b.png", "/{folder}/b.png", "/../../b.png", "sub//b.png"])
def test_no_key_of_a_bucket_leads_out_of_a_folder_here(
    tiny: Run, tmp_path: Path, bucket: str, key: str
) -> None:
    """A key may be /etc/…: joined to a folder here, that would be the file there."""
    files = pictures(tmp_path)
    for name in ("a.png", "c.png"):
        servers.write_url(f"{bucket}/odd/{name}", files["0.png"])
    assert tiny("dedup", f"{bucket}/odd", "-f", "jsonl", "-o", "r.jsonl").status == 0
    key = key.format(folder=tmp_path)
    servers.write_url(f"{bucket}/odd/{key}", files["1.png"])
    before = sorted(tmp_path.rglob("*"))
    error = error_line(tiny("filter", f"{bucket}/odd", "--remove", "r.jsonl", "-o", "out"))
    assert f"no file here can be called {key}: write to a server instead" in error
    assert sorted(tmp_path.rglob("*")) == before
    assert not Path("/b.png").exists()
