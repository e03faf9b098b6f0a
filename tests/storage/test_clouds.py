"""Google's storage and the Hugging Face Hub, spoken to by their own clients, with faults."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from archives import tarred
from clouds import GoogleStorage, Hub
from conftest import Run, error_line, names_in, picture, records_of
from servers import running

from sscd_cli.descriptors.read import read_descriptors
from sscd_cli.storage import servers
from sscd_cli.storage.places import place

NAMES = ["0.png", "1.png", "2.png", "copy.png"]


@pytest.fixture
def pictures(tmp_path: Path) -> dict[str, bytes]:
    files = {f"{n}.png": picture(tmp_path / f"made/{n}.png", n).read_bytes() for n in range(3)}
    return {**files, "copy.png": files["0.png"]}


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[GoogleStorage]:
    """Return an empty bucket, gs://photos, which gcsfs finds by the variable of its emulators."""
    gcsfs = pytest.importorskip("gcsfs")
    gcsfs.GCSFileSystem.clear_instance_cache()

    async def at_once(seconds: float) -> None:
        pass

    monkeypatch.setattr("gcsfs.retry.asyncio", SimpleNamespace(sleep=at_once))
    monkeypatch.setattr(servers, "PAUSE", 0.01)
    with running(GoogleStorage()) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        yield server  # type: ignore[misc]
    gcsfs.GCSFileSystem.clear_instance_cache()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Return a hub with one empty data set, someone/photos."""
    pytest.importorskip("huggingface_hub")
    from huggingface_hub import HfFileSystem, constants

    HfFileSystem.clear_instance_cache()
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with running(Hub()) as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + template)
        yield server  # type: ignore[misc]
    HfFileSystem.clear_instance_cache()


def parquet_of(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table({"image": list(files.values()), "key": list(files)}), stream)
    return stream.getvalue()


def test_a_bucket_of_google_goes_through_and_back_out(
    tiny: Run, google: GoogleStorage, pictures: dict[str, bytes]
) -> None:
    google.objects = {f"in/{name}": data for name, data in pictures.items()}
    there = "gs://photos/descriptors"
    google.faults += [("503", "GET /download"), ("drop", "POST /upload"), ("drop", "GET /download")]
    google.faults += [("cut", "GET /download"), ("503", "POST /upload")]
    ran = tiny("embed", "gs://photos/in", "-d", there, "--shard-rows", "2")
    assert ran.status == 0, ran.err
    assert "4 images: 3 embedded, 1 exact copy, 0 unreadable" in ran.err
    assert not google.faults
    assert "4 unchanged" in tiny("embed", "gs://photos/in", "-d", there).err
    stored = read_descriptors(place(there))
    assert list(stored.ids) == NAMES
    assert set(stored.sources) == {"gs://photos/in"}
    assert tiny("index", "-d", there).status == 0
    report = "gs://photos/report.jsonl"
    assert tiny("dedup", "-d", there, "-f", "jsonl", "-o", report).status == 0
    google.faults += [("drop", "POST /upload"), ("503", "POST /upload")]
    ran = tiny("filter", "gs://photos/in", "--remove", report, "-o", "gs://photos/out")
    assert ran.err == "4 images: 1 removed, 3 kept and verified in gs://photos/out\n"
    assert not google.faults
    kept = {f"out/{name}": pictures[name] for name in NAMES[:3]}
    assert {n: data for n, data in google.objects.items() if n.startswith("out/")} == kept
    again = tiny("filter", "gs://photos/in", "--remove", report, "-o", "gs://photos/out")
    assert error_line(again).startswith("gs://photos/out exists; ")


def test_shards_in_a_bucket_of_google_are_named_by_a_pattern(
    tiny: Run, google: GoogleStorage, pictures: dict[str, bytes]
) -> None:
    google.objects = {f"s-{n}.tar": tarred({f"{n}.png": pictures[f"{n}.png"]}) for n in range(3)}
    google.objects["s-3.tar"] = tarred({"copy.png": pictures["copy.png"]})
    ran = tiny("dedup", "gs://photos/s-*.tar", "-f", "jsonl", "-o", "r.jsonl")
    assert ran.status == 0, ran.err
    assert list(read_descriptors(Path("descriptors")).ids) == NAMES
    ran = tiny("filter", "gs://photos/s-{0..3}.tar", "--remove", "r.jsonl", "-o", "gs://photos/o")
    assert ran.err == "4 images in 4 files: 1 removed, 3 kept and verified in gs://photos/o\n"
    assert sorted(n for n in google.objects if n.startswith("o/")) == [
        f"o/s-{n}.tar" for n in range(4)
    ]


def test_no_run_replaces_what_another_wrote_to_google(google: GoogleStorage) -> None:
    servers.write_url("gs://photos/a", b"one", new=True)
    with pytest.raises(FileExistsError):
        servers.write_url("gs://photos/a", b"two", new=True)
    assert google.objects == {"a": b"one"}
    assert servers.look("gs://photos/a").mtime_ns == 1_767_323_045 * 10**9


@pytest.mark.parametrize("url", ["gs://photos/none", "gs://none/a"])
def test_what_is_not_at_google_is_named(tiny: Run, google: GoogleStorage, url: str) -> None:
    line = error_line(tiny("embed", url))
    assert line == f"cannot read the source {url}: No such file or directory; check the path"


@pytest.mark.parametrize("kind", ["in", "s.tar", "data/*.parquet"])
def test_a_data_set_of_the_hub_goes_through_and_is_filtered(
    tiny: Run, hub: Hub, pictures: dict[str, bytes], kind: str
) -> None:
    packed = {"s.tar": tarred(pictures), "data/train-0.parquet": parquet_of(pictures)}
    hub.objects = {"README.md": b"", **packed, **{f"in/{n}": d for n, d in pictures.items()}}
    source = f"hf://datasets/someone/photos/{kind}"
    hub.faults += [("503", "GET /datasets"), ("drop", "GET /datasets"), ("cut", "GET /datasets")]
    hub.faults += [("503", "/tree/main")]
    key = ["--id-column", "key"] if "parquet" in kind else []
    ran = tiny("dedup", source, *key, "-f", "jsonl", "-o", "r.jsonl")
    assert ran.status == 0, ran.err
    assert not hub.faults
    stored = read_descriptors(Path("descriptors"))
    assert list(stored.ids) == NAMES
    assert "4 unchanged" in tiny("embed", source, *key).err
    suffix = Path(kind).suffix
    ran = tiny("filter", source, "--remove", "r.jsonl", "-o", f"out{suffix}")
    assert ran.err == f"4 images: 1 removed, 3 kept and verified in out{suffix}\n"
    (cluster,) = records_of(Path("r.jsonl").read_text())
    assert [member["id"] for member in cluster["members"]] == ["0.png", "copy.png"]


def test_an_image_of_the_hub_that_changed_is_embedded_again(
    tiny: Run, hub: Hub, pictures: dict[str, bytes]
) -> None:
    from huggingface_hub import HfFileSystem

    hub.objects = {f"in/{name}": data for name, data in pictures.items()}
    assert tiny("embed", "hf://datasets/someone/photos/in").status == 0
    hub.objects["in/2.png"] = pictures["2.png"][:-1] + b"x"  # as many bytes
    HfFileSystem.clear_instance_cache()  # another run is another process
    ran = tiny("embed", "hf://datasets/someone/photos/in")
    assert "3 unchanged" in ran.err


@pytest.mark.parametrize("url", ["datasets/someone/photos/none", "datasets/nobody/x/a.png"])
def test_what_is_not_on_the_hub_is_named(tiny: Run, tmp_path: Path, hub: Hub, url: str) -> None:
    hub.objects = {"a.png": b"x"}
    line = error_line(tiny("embed", f"hf://{url}"))
    assert line.startswith(f"cannot read the source hf://{url}: ")
    assert names_in(tmp_path) == []
