"""A source written again: what goes, what stays, byte for byte; reports that do not fit."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Run, csv_rows_of, error_line, names_in, picture, records_of

from sscd_cli.commands import filter as filtering
from sscd_cli.descriptors.read import read_descriptors

COPIES = {"b.png": "a.png", "d.png": "c.png"}  # what is removable in `pictures`


@pytest.fixture
def pictures(tmp_path: Path) -> dict[str, bytes]:
    """Return five pictures, two of which are exact copies of others."""
    images = {
        name: picture(tmp_path / "made" / name, seed, (40, 30)).read_bytes()
        for name, seed in {"a.png": 1, "c.png": 2, "e.png": 3}.items()
    }
    return dict(sorted({**images, **{new: images[old] for new, old in COPIES.items()}}.items()))


def folder_of(path: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def tar_of(path: Path, files: Mapping[str, bytes], **options: Any) -> Path:
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w", **options) as archive:
        for number, (name, data) in enumerate(files.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = len(data), 1000 + number, 0o600 + number
            archive.addfile(member, io.BytesIO(data))
    return path


def zip_of(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.comment = b"a comment"
        for number, (name, data) in enumerate(files.items()):
            info = zipfile.ZipInfo(name, (2001, 2, 3, 4, 5, 2 * number))
            info.compress_type = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)[number % 2]
            info.external_attr, info.comment = 0o640 << 16, b"member"
            archive.writestr(info, data)
    return path


def report(tiny: Run, source: str | Path, format: str = "jsonl") -> Path:
    """Write what `sscd dedup` says of a source."""
    path = Path(f"report.{format}")
    assert tiny("dedup", source, "-f", format, "-o", path).status == 0
    return path


def summary(images: int, removed: int, output: str, along: str = "") -> str:
    kept = f"{images - removed} kept and verified in {output}"
    return f"{images} images: {removed} removed{along}, {kept}\n"


@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet"])
def test_a_folder_is_copied_without_what_any_report_calls_removable(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes], format: str
) -> None:
    files = {f"in/{name}": data for name, data in pictures.items()}
    others = {"in/a.txt": b"a caption", "in/b.txt": b"another", ".hidden/x.png": b"x", "notes": b""}
    folder_of(tmp_path / "photos", {**files, **others})
    before = report(tiny, "photos", format)
    ran = tiny("filter", "photos", "--remove", before, "-o", "out")
    assert ran.status == 0, ran.err
    assert ran.err == summary(5, 2, "out", " with 1 caption or annotation")
    others.pop("in/b.txt")
    kept = {f"in/{name}" for name in pictures if name not in COPIES} | others.keys()
    assert {str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.*")} | {
        "notes"
    } == kept | {".hidden"}
    for name in kept:
        new, old = (tmp_path / root / name for root in ("out", "photos"))
        assert new.read_bytes() == old.read_bytes()
        assert new.stat().st_mtime_ns == old.stat().st_mtime_ns
        assert new.stat().st_ino != old.stat().st_ino
    assert len(list((tmp_path / "photos" / "in").iterdir())) == 7


def test_hard_links_take_no_space(tiny: Run, tmp_path: Path, pictures: dict[str, bytes]) -> None:
    folder_of(tmp_path / "photos", pictures)
    assert (
        tiny("filter", "photos", "--remove", report(tiny, "photos"), "-o", "out", "--link").status
        == 0
    )
    for name in ("a.png", "c.png", "e.png"):
        assert (tmp_path / "out" / name).samefile(tmp_path / "photos" / name)


def test_links_are_copied_as_what_they_lead_to(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes]
) -> None:
    folder_of(tmp_path / "photos/in", pictures)
    (tmp_path / "photos/also").symlink_to(tmp_path / "made")
    (tmp_path / "photos/broken.png").symlink_to("nowhere")
    ran = tiny("filter", "photos", "--remove", report(tiny, "photos"), "-o", "out")
    assert ran.status == 0, ran.err
    unread = "1 image that cannot be read stayed, not verified\n"
    assert ran.err.endswith(unread + "9 images: 5 removed, 3 kept and verified in out\n")
    assert not (tmp_path / "out/also").is_symlink()
    assert (tmp_path / "out/broken.png").readlink() == Path("nowhere")


def members(path: Path) -> list[tuple[str, bytes, dict[str, Any]]]:
    with tarfile.open(path) as tar:
        return [
            (m.name, file.read() if (file := tar.extractfile(m)) else b"", m.get_info())
            for m in tar.getmembers()
        ]


@pytest.mark.parametrize("name", ["s.tar", "s.tar.gz"])
def test_a_webdataset_loses_whole_samples_and_nothing_else(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes], name: str
) -> None:
    samples = {}
    for image, data in pictures.items():
        key = Path(image).stem
        samples |= {f"./{key}.png": data, f"./{key}.json": b"{}", f"./{key}.cls.txt": b"7"}
    samples["long/" + "x" * 150 + ".png"] = b"torn"
    source = tar_of(tmp_path / name, samples, pax_headers={"comment": "of all"})
    digest = hashlib.sha256(source.read_bytes()).digest()
    ran = tiny("filter", name, "--remove", report(tiny, name), "-o", f"out-{name}")
    assert ran.status == 0, ran.err
    assert ran.err == summary(6, 2, f"out-{name}", " with 4 captions or annotations")
    gone = {f"./{Path(i).stem}{e}" for i in COPIES for e in (".png", ".json", ".cls.txt")}
    expected = [member for member in members(source) if member[0] not in gone]
    assert members(tmp_path / f"out-{name}") == expected
    assert hashlib.sha256(source.read_bytes()).digest() == digest
    with tarfile.open(tmp_path / f"out-{name}") as tar:
        assert tar.next() and tar.pax_headers == {"comment": "of all"}


def test_a_tar_from_which_nothing_goes_keeps_every_byte(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes]
) -> None:
    one = {name: pictures[name] for name in ("a.png", "c.png", "e.png")}
    tar_of(tmp_path / "a.tar", one)
    assert tiny("filter", "a.tar", "--remove", report(tiny, "a.tar"), "-o", "b.tar").status == 0
    assert Path("b.tar").read_bytes() == Path("a.tar").read_bytes()


def test_a_sample_with_another_image_stays_but_for_the_removed_one(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes]
) -> None:
    a, e = pictures["a.png"], pictures["e.png"]
    tar_of(tmp_path / "s.tar", {"0.png": a, "1.left.png": a, "1.right.png": e, "1.txt": b"t"})
    assert tiny("filter", "s.tar", "--remove", report(tiny, "s.tar"), "-o", "o.tar").status == 0
    assert [name for name, _, _ in members(tmp_path / "o.tar")] == ["0.png", "1.right.png", "1.txt"]


def with_links(path: Path, links: Mapping[str, tuple[bytes, str]]) -> Path:
    """Append links to a tar archive: name, kind and what they lead to."""
    options = {"format": tarfile.PAX_FORMAT, "encoding": "utf-8"}
    with tarfile.open(path, "a", **options) as tar:  # type: ignore[call-overload]
        for name, (kind, target) in links.items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname, link.mtime = kind, target, 7
            tar.addfile(link)
    return path


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE])
@pytest.mark.parametrize("name", ["s.tar", "s.tar.gz"])
def test_a_link_that_stays_becomes_the_file_that_goes(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes], kind: bytes, name: str
) -> None:
    deep = f"../{'deep/' * 40}b.png" if kind == tarfile.SYMTYPE else f"{'deep/' * 40}b.png"
    files = {"a.png": pictures["a.png"], f"{'deep/' * 40}b.png": pictures["e.png"]}
    path = with_links(
        tar_of(tmp_path / "s.tar", files),
        {"links/long.png": (kind, deep), "links/none.txt": (tarfile.SYMTYPE, "nowhere")},
    )
    if name != path.name:
        (tmp_path / name).write_bytes(gzip.compress(path.read_bytes()))
    ran = tiny("dedup", name, "-f", "jsonl", "--keep", "oldest", "-o", "r.jsonl")
    assert ran.status == 0, ran.err
    (cluster,) = records_of(Path("r.jsonl").read_bytes())
    keep, gone = cluster["members"]
    swapped = [
        {**member, "keep": member is gone, "keeper": gone["path"]} for member in (gone, keep)
    ]
    for round, members_now in enumerate((cluster["members"], swapped)):
        kept = {m["id"] for m in members_now if m["keep"]}
        rewrite(Path("r.jsonl"), {**cluster, "members": members_now})
        ran = tiny("filter", name, "--remove", "r.jsonl", "-o", f"{round}-{name}")
        assert ran.err == summary(3, 1, f"{round}-{name}")
        with tarfile.open(f"{round}-{name}") as tar:
            assert tar.getmember("links/none.txt").linkname == "nowhere"
            for image, data in {"a.png": pictures["a.png"], kept.pop(): pictures["e.png"]}.items():
                file = tar.extractfile(tar.getmember(image))
                assert file is not None and file.read() == data
            assert len(tar.getmembers()) == 3


def test_links_to_what_goes_along_with_a_sample_become_files(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes]
) -> None:
    files = {**pictures, "b.txt": b"the caption", "b.json": b"{}"}
    hard, soft = tarfile.LNKTYPE, tarfile.SYMTYPE
    links = {"a.txt": (soft, "b.txt"), "c.txt": (hard, "b.txt"), "e.txt": (soft, "a.txt")}
    with_links(tar_of(tmp_path / "s.tar", files), links)
    ran = tiny("filter", "s.tar", "--remove", report(tiny, "s.tar"), "-o", "o.tar")
    assert ran.err == summary(5, 2, "o.tar", " with 2 captions or annotations")
    with tarfile.open("o.tar") as tar:
        kinds = {m.name: m.type for m in tar.getmembers() if m.name.endswith("txt")}
        assert kinds == dict.fromkeys(("a.txt", "c.txt", "e.txt"), tarfile.REGTYPE)
        for name in kinds:
            member = tar.extractfile(name)
            assert member is not None and member.read() == b"the caption"


def test_a_zip_keeps_its_members_as_they_were(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes]
) -> None:
    source = zip_of(tmp_path / "s.zip", {"d/": b"", **pictures, "d/note.txt": b"x"})
    ran = tiny("filter", "s.zip", "--remove", report(tiny, "s.zip"), "-o", "o.zip")
    assert ran.err == summary(5, 2, "o.zip")
    with zipfile.ZipFile(source) as old, zipfile.ZipFile("o.zip") as new:
        assert new.comment == old.comment
        kept = [info for info in old.infolist() if info.filename not in COPIES]
        assert [i.filename for i in new.infolist()] == [i.filename for i in kept]
        for ours, theirs in zip(new.infolist(), kept, strict=True):
            assert new.read(ours) == old.read(theirs)
            for fact in ("date_time", "compress_type", "comment", "external_attr", "CRC"):
                assert getattr(ours, fact) == getattr(theirs, fact)


@pytest.mark.parametrize("options", [[], ["--id-column", "key"]])
def test_a_parquet_dataset_keeps_order_columns_and_features(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes], options: list[str]
) -> None:
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    columns = {
        "image": pa.array([{"bytes": data, "path": n} for n, data in pictures.items()], kind),
        "label": pa.array([3, None, 1, 0, 2], pa.int32()),
        "tags": [["x"], [], None, ["y", "z"], ["w"]],
        "key": [f"k{number}" for number in range(5)],
    }
    features = {b"huggingface": json.dumps({"info": {"features": {"image": {"_type": "Image"}}}})}
    table = pa.table(columns).replace_schema_metadata(features)
    pq.write_table(table, "t.parquet", row_group_size=2, compression="zstd")
    assert tiny("dedup", "t.parquet", *options, "-f", "csv", "-o", "report.csv").status == 0
    ran = tiny("filter", "t.parquet", "--remove", "report.csv", "-o", "o.parquet", *options)
    assert ran.status == 0, ran.err
    assert ran.err == summary(5, 2, "o.parquet")
    new = pq.read_table("o.parquet")
    assert new.equals(table.take([0, 2, 4]))
    assert new.schema.metadata == table.schema.metadata
    file = pq.ParquetFile("o.parquet")
    assert file.num_row_groups == 3
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_the_report_says_which_columns_were_chosen(
    tiny: Run, pictures: dict[str, bytes], format: str
) -> None:
    columns = {"p": list(pictures.values()), "q": [b"x"] * 5, "my/key": [f"k/{n}" for n in "abcde"]}
    pq.write_table(pa.table(columns), "t.parquet")
    chosen = ["--image-column", "p", "--id-column", "my/key"]
    assert tiny("dedup", "t.parquet", *chosen, "-f", format, "-o", "r").status == 0
    ran = tiny("filter", "t.parquet", "--remove", "r", "-o", "o.parquet")
    assert ran.err == summary(5, 2, "o.parquet")
    assert pq.read_table("o.parquet")["my/key"].to_pylist() == ["k/a", "k/c", "k/e"]


def test_csv_and_json_lines_keep_the_bytes_of_their_rows(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes]
) -> None:
    folder_of(tmp_path / "set", pictures)
    rows = [f'{name},"two\r\nlines, {name}"\r\n' for name in pictures]
    Path("set/l.csv").write_bytes("\ufefffile_name,note\r\n".encode() + "".join(rows).encode())
    objects = [f'{{"n": 1.0e2,  "file_name":"{name}"}}\n' for name in pictures]
    Path("set/l.jsonl").write_text("".join(objects))
    for name, header, lines in (
        ("l.csv", "\ufefffile_name,note\r\n", rows),
        ("l.jsonl", "", objects),
    ):
        before = report(tiny, f"set/{name}")
        ran = tiny("filter", f"set/{name}", "--remove", before, "-o", f"set/new-{name}")
        assert ran.err == summary(5, 2, f"set/new-{name}")
        kept = [line for key, line in zip(pictures, lines, strict=True) if key not in COPIES]
        assert Path(f"set/new-{name}").read_bytes() == (header + "".join(kept)).encode()


def test_relative_names_that_lead_nowhere_from_another_folder_are_counted(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes]
) -> None:
    folder_of(tmp_path / "set", pictures)
    folder_of(tmp_path / "other", {"c.png": pictures["c.png"]})
    Path("set/l.csv").write_text("\n".join(["image", *pictures, f"{tmp_path}/made/e.png", ""]))
    before = report(tiny, "set/l.csv")
    assert tiny("filter", "set/l.csv", "--remove", before, "-o", "set/new.csv").err.count("\n") == 1
    ran = tiny("filter", "set/l.csv", "--remove", before, "-o", "other/new.csv")
    kept = Path("other/new.csv").read_text().splitlines()[1:]
    lost = sum(not Path("other", name).exists() for name in kept)
    assert lost == 2
    assert "2 relative names in other/new.csv not found from its folder; write it" in ran.err


def test_an_image_above_the_limit_of_embed_is_compared(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    zip_of(tmp_path / "s.zip", pictures)
    before = report(tiny, "s.zip")
    limits = []
    read = filtering.read_bytes

    def noting(ref: Any, limit: int) -> Any:
        limits.append(limit)
        return read(ref, limit)

    monkeypatch.setattr(filtering, "read_bytes", noting)
    assert tiny("filter", "s.zip", "--remove", before, "-o", "o.zip").status == 0
    assert min(limits) > 1 << 60


def test_coco_loses_annotations_of_removed_images_and_keeps_all_ids(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes]
) -> None:
    folder_of(tmp_path / "set", pictures)
    images = [{"id": 10 * n, "file_name": name} for n, name in enumerate(pictures)]
    marks = [{"id": n, "image_id": 10 * (n % 5), "bbox": [0.1, 1e-7, 3, 4]} for n in range(10)]
    coco = {"info": {"é": 1}, "images": images, "annotations": marks, "categories": [{"id": 9}]}
    Path("set/coco.json").write_text(json.dumps(coco))
    before = report(tiny, "set/coco.json")
    assert tiny("filter", "set/coco.json", "--remove", before, "-o", "set/new.json").status == 0
    new = json.loads(Path("set/new.json").read_text())
    assert [image["id"] for image in new["images"]] == [0, 20, 40]
    assert new["annotations"] == [mark for mark in marks if mark["image_id"] in {0, 20, 40}]
    assert list(new) == list(coco)
    assert (new["info"], new["categories"]) == (coco["info"], coco["categories"])


def test_shards_named_by_a_pattern_become_files_of_the_same_names(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes]
) -> None:
    items = list(pictures.items())
    for number in range(3):
        tar_of(tmp_path / f"s-{number}.tar", dict(items[number * 2 : number * 2 + 2]))
    before = report(tiny, "s-{0..2}.tar")
    ran = tiny("filter", "s-{0..2}.tar", "--remove", before, "-o", "out")
    assert ran.err == ("5 images in 3 files: 2 removed, 3 kept and verified in out\n"), ran.err
    assert names_in(tmp_path / "out") == ["s-0.tar", "s-1.tar", "s-2.tar"]
    assert "3 images" in tiny("embed", "out/s-*.tar", "-d", "again").err


@pytest.mark.parametrize("policy", ["test", "photos/test/*", "b.*", "*test*"])
def test_a_split_can_be_spared(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes], policy: str
) -> None:
    for name, data in pictures.items():
        folder_of(tmp_path / "photos", {f"{'test' if name == 'b.png' else 'train'}/{name}": data})
    before = report(tiny, "photos")
    if records_of(before.read_bytes())[0]["members"][0]["id"] == "test/b.png":
        pytest.fail("the image of the test split is not removable here")
    ran = tiny("filter", "photos", "--remove", before, "-o", "out", "--never-remove", policy)
    assert ran.err == ("1 removable image spared by --never-remove\n" + summary(5, 1, "out")), (
        ran.err
    )
    assert (tmp_path / "out/test/b.png").exists()


def test_a_report_of_two_sources_filters_each(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes]
) -> None:
    tar_of(tmp_path / "one.tar", {"a.png": pictures["a.png"], "c.png": pictures["c.png"]})
    folder_of(tmp_path / "two", {name: pictures[name] for name in ("b.png", "d.png", "e.png")})
    assert tiny("dedup", "one.tar", "two", "-f", "jsonl", "-o", "r.jsonl").status == 0
    ran = tiny("filter", "two", "--remove", "r.jsonl", "-o", "out")
    assert ran.err == summary(3, 2, "out")
    error = error_line(tiny("filter", "one.tar", "--remove", "r.jsonl", "-o", "o.tar"))
    assert error.startswith("one.tar holds none of the 2 removable images of the report; name the")


def refusals(tmp_path: Path) -> dict[str, tuple[list[str], str]]:
    return {
        "exists": (["photos", "-o", "photos"], "photos exists; choose another place with -o"),
        "inside": (["photos", "-o", "photos/out"], f"photos/out lies in {tmp_path}/photos; choose"),
        "kind": (
            ["photos/a.png", "-o", "out"],
            "a.png is neither a folder, a container",
        ),
        "name": (["s.tar", "-o", "o.zip"], "o.zip is not named as s.tar is; use *.tar"),
        "missing": (["none.tar", "-o", "o.tar"], "cannot read the source"),
        "empty": (["empty", "-o", "out"], "no images in empty; name what sscd embed was given"),
    }


@pytest.mark.parametrize("case", ["exists", "inside", "kind", "name", "missing", "empty"])
def test_what_cannot_be_done_is_refused_and_leaves_nothing(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes], case: str
) -> None:
    folder_of(tmp_path / "photos", pictures)
    (tmp_path / "empty").mkdir()
    tar_of(tmp_path / "s.tar", pictures)
    before = report(tiny, "photos")
    there = names_in(tmp_path)
    words, what = refusals(tmp_path)[case]
    ran = tiny("filter", *words, "--remove", before)
    assert ran.status in (2, 3)
    assert what in error_line(ran)
    assert names_in(tmp_path) == there


def rewrite(path: Path, *clusters: dict[str, Any]) -> bytes:
    """Put other clusters between the first and the last record of a report."""
    first, *_, last = path.read_bytes().removesuffix(b"\n").split(b"\n")
    lines = [first, *(json.dumps(cluster).encode() for cluster in clusters), last]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path.read_bytes()


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


def test_a_report_of_matches_is_refused(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes]
) -> None:
    folder_of(tmp_path / "photos", pictures)
    assert tiny("embed", "photos", "-d", "other").status == 0
    for format in ("jsonl", "csv", "parquet"):
        found = tiny("dedup", "photos", "--against", "other", "-f", format).out
        assert refused(tiny, found) == (
            "r is no whole report of sscd dedup: its records are matches"
        )


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
    assert why == "r is no report of sscd dedup: nested too deeply"


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


def test_what_lies_beside_an_image_goes_with_it_unless_another_needs_it(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes]
) -> None:
    beside = ["b.txt", "b.png.json", "b.XMP", "b.html", "a.txt", "d.txt", "d.png.xmp", "bb.txt"]
    files = {**pictures, "d.tif.png": pictures["e.png"], "d.webp": b"torn"}
    folder_of(tmp_path / "photos", {**files, **dict.fromkeys(beside, b"x")})
    ran = tiny("filter", "photos", "--remove", report(tiny, "photos"), "-o", "out")
    assert "3 removed with 4 captions or annotations" in ran.err
    stayed = set(names_in(tmp_path / "out")) & set(beside)
    assert stayed == {"b.html", "a.txt", "d.txt", "bb.txt"}


@pytest.mark.parametrize("name", ["s.tar", "s.zip", "photos"])
def test_what_reads_back_otherwise_is_not_published(
    tiny: Run,
    tmp_path: Path,
    pictures: dict[str, bytes],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tar_of(tmp_path / "s.tar", pictures)
    zip_of(tmp_path / "s.zip", pictures)
    folder_of(tmp_path / "photos", pictures)
    before = report(tiny, name)
    read = filtering.read_bytes

    def spoilt(ref: Any, limit: int) -> Any:
        data, status = read(ref, limit)
        return (data[:-1] if ".part/" in ref.path and ref.id == "e.png" else data), status

    monkeypatch.setattr(filtering, "read_bytes", spoilt)
    output = f"out{Path(name).suffix}"
    error = error_line(tiny("filter", name, "--remove", before, "-o", output))
    assert "what was written differs from what should stay; nothing was written" in error
    assert not [name for name in names_in(tmp_path) if "out" in name]


def test_a_full_disk_leaves_nothing(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_of(tmp_path / "photos", pictures)
    before = report(tiny, "photos")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copy2", full)
    ran = tiny("filter", "photos", "--remove", before, "-o", "out")
    assert ran.status == 3
    assert "No space left on device" in error_line(ran)
    assert not [name for name in names_in(tmp_path) if "out" in name]


@pytest.mark.parametrize("name", ["s.tar", "photos", "s-*.tar"])
def test_what_another_run_wrote_meanwhile_stays(
    tiny: Run,
    tmp_path: Path,
    pictures: dict[str, bytes],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for shard in ("s.tar", "s-1.tar", "s-2.tar"):
        tar_of(tmp_path / shard, pictures)
    folder_of(tmp_path / "photos", pictures)
    before = report(tiny, name)
    output = Path("out.tar" if name == "s.tar" else "out")
    theirs = output if name == "s.tar" else output / "x"

    def appear(descriptor: int) -> None:
        theirs.parent.mkdir(exist_ok=True)
        theirs.write_bytes(b"of the other run")

    monkeypatch.setattr("os.fsync", appear)
    ran = tiny("filter", name, "--remove", before, "-o", output)
    assert error_line(ran) == f"{output} exists; choose another place with -o"
    assert theirs.read_bytes() == b"of the other run"
    assert [n for n in names_in(tmp_path) if "out" in n and "x" not in n] == [output.name]


@pytest.mark.parametrize("linked", [True, False])
def test_only_what_filter_made_is_removed_and_anyone_may_read_what_it_wrote(
    tiny: Run,
    tmp_path: Path,
    pictures: dict[str, bytes],
    linked: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for shard in ("s-1.tar", "s-2.tar"):
        tar_of(tmp_path / shard, pictures)
    folder_of(tmp_path, {".out.part/mine": b"precious", ".o.tar.part": b"precious"})
    before = report(tiny, "s-*.tar")
    if not linked:

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr("os.link", refuse)
    assert tiny("filter", "s-*.tar", "--remove", before, "-o", "out").status == 0
    assert tiny("filter", "s-2.tar", "--remove", before, "-o", "o.tar").status == 0
    for mine in (".out.part/mine", ".o.tar.part"):
        assert Path(mine).read_bytes() == b"precious"
    (tmp_path / "new").mkdir()
    assert Path("out").stat().st_mode == Path("new").stat().st_mode
    assert Path("o.tar").stat().st_mode == before.stat().st_mode
    assert len(members(Path("o.tar"))) == 0


def test_a_folder_of_copies_alone_becomes_an_empty_one(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes]
) -> None:
    folder_of(tmp_path / "one", {name: pictures[name] for name in ("a.png", "c.png")})
    folder_of(tmp_path / "two", {name: pictures[name] for name in ("b.png", "d.png")})
    assert tiny("dedup", "one", "two", "-f", "jsonl", "-o", "r.jsonl").status == 0
    ran = tiny("filter", "two", "--remove", "r.jsonl", "-o", "out")
    assert ran.err == summary(2, 2, "out")
    assert names_in(tmp_path / "out") == []


def test_the_report_itself_is_the_oracle_of_what_goes(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes]
) -> None:
    folder_of(tmp_path / "photos", pictures)
    before = report(tiny, "photos", "csv")
    kept = {row["id"] for row in csv_rows_of(before.read_bytes()) if row["keep"] == "true"}
    assert tiny("filter", "photos", "--remove", before, "-o", "out").status == 0
    assert names_in(tmp_path / "out") == sorted(kept | {"e.png"})
    assert tiny("dedup", "out", "-d", "again", "-f", "paths").out == b""


def test_an_image_that_a_list_names_twice_counts_and_goes_twice(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes]
) -> None:
    folder_of(tmp_path / "set", pictures)
    names = [*pictures, "b.png", "a.png"]
    Path("set/l.csv").write_text("".join(f"{name}\n" for name in ["image", *names]))
    ran = tiny("filter", "set/l.csv", "--remove", report(tiny, "set/l.csv"), "-o", "set/new.csv")
    assert ran.err == summary(7, 3, "set/new.csv")
    assert Path("set/new.csv").read_text().split() == ["image", "a.png", "c.png", "e.png", "a.png"]


@pytest.mark.parametrize("name", ["s.tar", "t.parquet"])
def test_ids_are_the_same_all_the_way_through_and_back_out(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes], name: str
) -> None:
    key = ["--id-column", "key"] if name == "t.parquet" else []
    captions = {f"{Path(image).stem}.txt": b"a caption" for image in pictures}
    tar_of(tmp_path / "s.tar", dict(sorted({**pictures, **captions}.items())))
    pq.write_table(pa.table({"image": list(pictures.values()), "key": list(pictures)}), "t.parquet")
    folder_of(tmp_path / "query", {"q.png": pictures["e.png"]})
    assert tiny("embed", name, *key).status == 0
    assert tiny("index").status == 0
    hit = json.loads(tiny("search", "query/q.png", "-f", "jsonl").lines[0])
    assert hit["id"] == "e.png"
    before = report(tiny, name if not key else f"{name}#id=key")
    assert tiny("filter", name, *key, "--remove", before, "-o", f"out-{name}").status == 0
    assert tiny("embed", f"out-{name}", *key, "-d", "again").status == 0
    assert list(read_descriptors(Path("again")).ids) == ["a.png", "c.png", "e.png"]
