"""`sscd filter` writes archives, tables and lists anew; all else in them stays as it was."""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Run, names_in, records_of
from filtering import COPIES, folder_of, members, report, rewrite, summary, tar_of, zip_of

from sscd_cli.commands import filter as filtering


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


@pytest.mark.parametrize("kind", ["text", "struct", "lists"])
def test_a_table_of_paths_is_filtered_by_what_lies_there(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes], kind: str
) -> None:
    (tmp_path / "p").mkdir()
    for name, data in pictures.items():
        (tmp_path / "p" / name).write_bytes(data)
    paths = [f"p/{name}" for name in pictures]
    columns = {
        "text": pa.array(paths),
        "struct": pa.array([{"bytes": None, "path": path} for path in paths]),
        "lists": pa.array([[path] for path in paths]),
    }
    table = pa.table({"foto": columns[kind], "n": range(5)})
    pq.write_table(table, "t.parquet")
    assert tiny("dedup", "t.parquet", "-f", "csv", "-o", "report.csv").status == 0
    ran = tiny("filter", "t.parquet", "--remove", "report.csv", "-o", "o.parquet")
    assert ran.err == summary(5, 2, "o.parquet")
    assert pq.read_table("o.parquet").equals(table.take([0, 2, 4]))
    (tmp_path / "other").mkdir()
    ran = tiny("filter", "t.parquet", "--remove", "report.csv", "-o", "other/o.parquet")
    assert ran.status == 0, ran.err
    assert "3 relative names in other/o.parquet not found from its folder" in ran.err


def test_rows_that_name_no_image_stay(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes]
) -> None:
    folder_of(tmp_path, pictures)
    rows = [{"n": 0}, *[{"image": name} for name in pictures], {"image": None}]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    assert tiny("dedup", "a.json", "-f", "csv", "-o", "report.csv").status == 0
    ran = tiny("filter", "a.json", "--remove", "report.csv", "-o", "o.json")
    assert ran.status == 0, ran.err
    kept = json.loads((tmp_path / "o.json").read_text())
    assert kept == [row for row in rows if row.get("image") not in COPIES]


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
    read = filtering.read_held

    def noting(ref: Any, limit: int) -> Any:
        limits.append(limit)
        return read(ref, limit)

    monkeypatch.setattr(filtering, "read_held", noting)
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


def test_an_image_that_a_list_names_twice_counts_and_goes_twice(
    tiny: Run, tmp_path: Path, pictures: dict[str, bytes]
) -> None:
    folder_of(tmp_path / "set", pictures)
    names = [*pictures, "b.png", "a.png"]
    Path("set/l.csv").write_text("".join(f"{name}\n" for name in ["image", *names]))
    ran = tiny("filter", "set/l.csv", "--remove", report(tiny, "set/l.csv"), "-o", "set/new.csv")
    assert ran.err == summary(7, 3, "set/new.csv")
    assert Path("set/new.csv").read_text().split() == ["image", "a.png", "c.png", "e.png", "a.png"]
