"""Lists of image files: CSV, TSV, JSON Lines, COCO; odd rows, hostile names."""

from __future__ import annotations

import base64
import bz2
import csv
import gzip
import io
import json
import lzma
import os
import random
import shlex
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from conftest import Run, error_line, picture

from sscd_cli.descriptors.read import read_descriptors
from sscd_cli.errors import SscdError, UsageError
from sscd_cli.images.containers.kinds import rewriter, suffix
from sscd_cli.images.containers.listing import iter_records
from sscd_cli.images.containers.relisting import rewrite_listing
from sscd_cli.images.refs import Columns, ImageRef, Survey
from sscd_cli.images.sources import iter_images
from sscd_cli.images.status import stored_ref

COCO = {
    "images": [{"id": 7, "file_name": "b/2.jpg"}, {"id": 9, "file_name": "1.jpg"}],
    "annotations": [{"id": 1, "image_id": 9}],
}
LISTS = {
    "a.csv": "label,file_name\ncat,b/2.jpg\ndog,1.jpg\n",
    "bom.csv": "\ufefffile_name,label\r\nb/2.jpg,cat\r\n1.jpg,dog\r\n",
    "quoted.csv": 'note,image\n"two\nlines, and ""quotes""",b/2.jpg\n,1.jpg',
    "a.tsv": "path\tlabel\nb/2.jpg\ta,b\n1.jpg\t\n",
    "a.jsonl": '{"n": 1, "file_name": "b/2.jpg"}\n\n{"n": 2, "file_name": "1.jpg"}',
    "a.json": json.dumps(COCO),
}


def listed(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def refs(path: Path, column: str = "") -> list[ImageRef]:
    return list(iter_images([str(path)], columns=Columns(image=column)))


@pytest.mark.parametrize("name", LISTS)
def test_a_list_names_images_in_its_folder(tmp_path: Path, name: str) -> None:
    images = refs(listed(tmp_path / name, LISTS[name]))
    folder = str(tmp_path)
    assert images == [
        ImageRef("b/2.jpg", folder, f"{folder}/b/2.jpg"),
        ImageRef("1.jpg", folder, f"{folder}/1.jpg"),
    ]
    assert [stored_ref(ref.source, ref.id) for ref in images] == images


@pytest.mark.parametrize("name", [name for name in LISTS if name != "a.json"])
def test_the_rows_of_a_list_are_its_bytes(tmp_path: Path, name: str) -> None:
    path = listed(tmp_path / name, LISTS[name])
    assert "".join(record.text for record in iter_records(str(path), "")) == LISTS[name]


def test_names_may_be_absolute_or_lead_out_of_the_folder(tmp_path: Path) -> None:
    path = listed(tmp_path / "a.csv", "image\n/x/1.jpg\n../2.jpg\n./b//3.jpg\n")
    assert [(ref.id, ref.source) for ref in refs(path)] == [
        ("/x/1.jpg", ""), ("../2.jpg", str(tmp_path)), ("b/3.jpg", str(tmp_path))
    ]  # fmt: skip


def test_every_byte_of_a_name_survives(tmp_path: Path) -> None:
    path = listed(tmp_path / "a.csv", b"image\n\xff\xfe.jpg\n")
    assert [os.fsencode(ref.id) for ref in refs(path)] == [b"\xff\xfe.jpg"]


def test_the_column_of_names_is_found_or_chosen(tmp_path: Path) -> None:
    path = listed(tmp_path / "a.csv", "left,right,key\n1.jpg,2.jpg,scan\n")
    with pytest.raises(UsageError) as caught:
        refs(path)
    assert str(caught.value) == (
        f"{path} has several columns with images; choose one with --image-column (left, right)"
    )
    assert [ref.id for ref in refs(path, "right")] == ["2.jpg"]
    assert [ref.id for ref in refs(path, "key")] == ["scan"]
    with pytest.raises(UsageError, match=r"has no column x; .* \(left, right\)"):
        refs(path, "x")
    with pytest.raises(UsageError, match=r"has no column with images; .* \(a, b\)"):
        refs(listed(tmp_path / "b.csv", "a,b\n1,2\n"))


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.csv", "n,image\n1,a.jpg\n2,\n"), ("a.csv", "n,image\n1,a.jpg\n2\n"),
     ("a.jsonl", '{"image": "a.jpg"}\n{"n": 2}\n'),
     ("a.jsonl", '{"image": "a.jpg"}\n{"image": 5}\n')],
)  # fmt: skip
def test_a_row_without_a_name_is_an_error_and_no_silent_skip(
    tmp_path: Path, name: str, text: str
) -> None:
    with pytest.raises(SscdError, match=r"row [23] of .* names no image; fill it in, or drop it"):
        refs(listed(tmp_path / name, text))


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.csv", "n,image\n1,\n2,a.jpg\n\n3,\n4,b.jpg\n"),
     ("a.jsonl", '{"n": 0}\n{"image": "a.jpg"}\n{"image": null}\n{"image": "b.jpg"}\n'),
     ("a.json", '[{"n": 0}, {"image": "a.jpg"}, {"n": 1}, {"image": "b.jpg"}]')],
)  # fmt: skip
def test_rows_without_a_name_cost_no_others(tmp_path: Path, name: str, text: str) -> None:
    found = list(iter_images([str(listed(tmp_path / name, text))], survey=Survey()))
    assert [ref.id for ref in found[:-1]] == ["a.jpg", "b.jpg"]
    (fault,) = [ref.fault for ref in found if ref.fault]
    first = 2 if name == "a.csv" else 1
    assert fault.reason == (f"2 rows of {tmp_path / name} name no image, the first is row {first}")


def test_a_json_array_is_a_list_of_its_rows(tmp_path: Path) -> None:
    rows = [
        {"id": 7, "image": "a.jpg", "é": 1},
        {"id": 8, "image": ["b.jpg", "c.jpg"]},
        {"id": 9, "image": ["d.jpg"]},
        {"id": 10, "image": "e.jpg"},
    ]
    path = listed(tmp_path / "a.json", json.dumps(rows))
    assert [ref.id for ref in refs(path)] == ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"]
    rewrite_listing(str(path), str(tmp_path / "b.json"), {"c.jpg", "d.jpg", "e.jpg"})
    kept = json.loads((tmp_path / "b.json").read_text())
    assert kept == [rows[0], {"id": 8, "image": ["b.jpg"]}]
    assert [ref.id for ref in refs(listed(tmp_path / "c.json", '["a.jpg", "b.jpg"]'))] == [
        "a.jpg",
        "b.jpg",
    ]


@pytest.mark.parametrize("text", ["", "image\n", "image"])
def test_a_list_without_rows_names_no_images(tmp_path: Path, text: str) -> None:
    assert refs(listed(tmp_path / "a.csv", text)) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.csv", 'image\n"a.jpg'), ("a.csv", 'image\n"a"b.jpg\n'), ("a.jsonl", "[1]\n"),
     ("a.jsonl", '{"image": \n'), ("a.json", "{"), ("a.json", b"\xff{}")],
)  # fmt: skip
def test_a_damaged_list_is_named(tmp_path: Path, name: str, text: str | bytes) -> None:
    with pytest.raises(SscdError, match=r"cannot read the list .*; fetch or make it again"):
        refs(listed(tmp_path / name, text))


@pytest.mark.parametrize("text", ["[]", "{}", '{"images": 1}', '{"images": [{"id": 1}]}'])
def test_json_that_is_no_coco_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SscdError, match="is no COCO file"):
        refs(listed(tmp_path / "a.json", text))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pandas.csv", ",filename,label\n0,b/2.jpg,a\n1,1.jpg,b\n"),
        ("bare.csv", "b/2.jpg,a\n1.jpg,b\n"),
        ("bare-bom.csv", '\ufeff"b/2.jpg","1"\r\n"1.jpg","2"\r\n'),
        ("quoted-bom.csv", '\ufeff"a, or b","file"\n"x","b/2.jpg"\n"y","1.jpg"\n'),
        ("semicolons.csv", "label;file\na,b;b/2.jpg\nc;1.jpg\n"),
        ("bare-semicolons.csv", "b/2.jpg;a\n1.jpg;b\n"),
        ("pipes.csv", "file|label\nb/2.jpg|a,b\n1.jpg|c\n"),
        ("tabs.csv", "file\tlabel\nb/2.jpg\ta,b\n1.jpg\tc\n"),
        ("blank-lines.csv", "\nfile,label\n\nb/2.jpg,a\n\n\n1.jpg,b\n\n"),
        ("long.csv", f'filename,rle\nb/2.jpg,"{"7" * 200_000}"\n1.jpg,1\n'),
        ("bom.jsonl", '\ufeff{"file_name": "b/2.jpg"}\n{"file_name": "1.jpg"}\n'),
        ("several.jsonl", '{"images": ["b/2.jpg", "1.jpg"]}\n{"images": []}\n'),
        ("records.jsonl", '{"images": [{"path": "b/2.jpg"}, {"path": "1.jpg"}]}\n'),
        ("names.txt", "b/2.jpg\r\n\r\n1.jpg\r\n"),
        ("bom.txt", "\ufeffb/2.jpg\n1.jpg"),
        ("bare.jsonl", '"b/2.jpg"\n"1.jpg"\n'),
        ("labels.txt", "b/2.jpg 65\n1.jpg 970\r\n"),  # as of ImageNet and Caffe
        ("scores.txt", "\ufeffb/2.jpg\t-1.5  0\n1.jpg\t.25  1"),
    ],
)
def test_lists_are_read_as_people_have_them(tmp_path: Path, name: str, text: str) -> None:
    picture(tmp_path / "b" / "2.jpg", 1)
    path = listed(tmp_path / name, text)
    assert [ref.id for ref in refs(path)] == ["b/2.jpg", "1.jpg"]
    assert "".join(record.text for record in iter_records(str(path), "")) == text


def test_a_name_that_ends_in_a_number_is_whole_where_a_file_has_it(tmp_path: Path) -> None:
    (tmp_path / "b.jpg 5").touch()
    path = listed(tmp_path / "a.txt", "b.jpg 5\nc.jpg 6\n")
    assert [ref.id for ref in refs(path)] == ["b.jpg 5", "c.jpg 6"]
    path = listed(tmp_path / "a.txt", "a.jpg 5\nsome notes 6\n7\nc 2.jpg 6 7\n")
    assert [ref.id for ref in refs(path)] == ["a.jpg", "some notes 6", "7", "c 2.jpg"]


def test_labels_stay_with_the_names_of_a_list_that_is_written_again(tmp_path: Path) -> None:
    path = listed(tmp_path / "a.txt", "a.jpg 0\nb.jpg 1\r\nc.jpg 2")
    rewrite_listing(str(path), str(tmp_path / "b.txt"), {"a.jpg"})
    assert (tmp_path / "b.txt").read_bytes() == b"b.jpg 1\r\nc.jpg 2"


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # of the one-liner
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.json"])
@pytest.mark.parametrize("column", ["", "image"])
@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
def test_images_in_base64_are_called_that_with_what_makes_them_readable(
    *,
    tiny: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    column: str,
    prefix: str,
) -> None:
    images = [picture(tmp_path / f"{n}.png", n, (400, 300)).read_bytes() for n in range(2)]
    texts = [prefix + base64.b64encode(image).decode() for image in images]
    rows = [{"note": f"two\nlines {n}", "image": text} for n, text in enumerate(texts)]
    with (tmp_path / name).open("w", newline="") as file:
        if name.endswith("sv"):
            csv.writer(file, delimiter="," if name == "a.csv" else "\t").writerows(
                [["note", "image"], *(list(row.values()) for row in rows)]
            )
        else:
            lines = "".join(f"{json.dumps(row)}\n" for row in rows)
            file.write(lines if name == "a.jsonl" else json.dumps(rows))
    error = error_line(tiny("embed", name, *(["--image-column", column] if column else [])))
    assert error.startswith(f"column image of {tmp_path / name} holds images in base64")
    program = shlex.split(error.partition("; write it as Parquet: ")[2])
    assert program[:2] == ["python", "-c"]
    monkeypatch.setattr(sys, "argv", program[1:2] + program[3:])
    exec(program[2], {"__name__": "__main__"})
    assert "2 images: 2 embedded" in tiny("embed", f"{name}.parquet").err
    sizes = read_descriptors(tmp_path / "descriptors").columns["file_bytes"]
    assert sizes.tolist() == list(map(len, images))


PACK = {
    ".gz": gzip.compress,
    ".bz2": lambda data: bz2.compress(data, 1),  # blocks of 100 kB, of which a list has several
    ".xz": lzma.compress,
    ".zst": lambda data: pa.compress(data, "zstd", asbytes=True),
}
UNPACK = {
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    ".xz": lzma.decompress,
    ".zst": lambda data: pa.CompressedInputStream(pa.BufferReader(data), "zstd").read(),
}


@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize("name", [*LISTS, "a.txt", "array.json"])
def test_a_packed_list_is_read_and_written_as_it_is(
    tmp_path: Path, packing: str, name: str
) -> None:
    texts = LISTS | {"a.txt": "b/2.jpg\n1.jpg\n", "array.json": '["b/2.jpg", "1.jpg"]'}
    plain, path = tmp_path / name, tmp_path / f"{name}{packing}"
    plain.write_text(texts[name], newline="")
    path.write_bytes(PACK[packing](plain.read_bytes()))
    assert [ref.id for ref in refs(path)] == ["b/2.jpg", "1.jpg"]
    assert rewriter(str(path)) is not None
    assert suffix(path.name) == plain.suffix + packing
    for source in (plain, path):
        rewrite_listing(str(source), str(tmp_path / f"new-{source.name}"), {"1.jpg"})
    new = UNPACK[packing]((tmp_path / f"new-{path.name}").read_bytes())
    assert new == (tmp_path / f"new-{name}").read_bytes()


def test_a_column_of_a_packed_list_is_chosen(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"left,right\n1.jpg,2.jpg\n"))
    assert [ref.id for ref in iter_images([f"{path}#image=right"])] == ["2.jpg"]


@pytest.mark.parametrize("packing", PACK)
def test_a_packed_list_that_was_cut_off_keeps_rows_and_is_named(
    tmp_path: Path, packing: str
) -> None:
    drawn = random.Random(0)
    names = [f"{drawn.random()}.jpg" for _ in range(20_000)]
    data = PACK[packing]("\n".join(names).encode())
    (tmp_path / f"a.txt{packing}").write_bytes(data[:-100])
    *images, last = iter_images([str(tmp_path / f"a.txt{packing}")], survey=Survey())
    assert last.fault is not None
    assert [ref.id for ref in images] == names[: len(images)]
    assert packing == ".zst" or images


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "b/2.jpg\r\n日本.jpg\r\n"),
        ("a.csv", "file,label\r\nb/2.jpg,cat\r\n日本.jpg,dog\r\n"),
        ("a.jsonl", '{"file": "b/2.jpg"}\r\n{"file": "日本.jpg"}\r\n'),
        ("a.json", '{"images": [{"file_name": "b/2.jpg"}, {"file_name": "日本.jpg"}]}'),
    ],
)
def test_lists_in_utf_16_are_read_as_those_in_utf_8(
    tmp_path: Path, encoding: str, name: str, text: str
) -> None:
    picture(tmp_path / "b" / "2.jpg", 1)
    path = listed(tmp_path / name, ("\ufeff" + text).encode(encoding))
    assert [ref.id for ref in refs(path)] == ["b/2.jpg", "日本.jpg"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_a_mark_at_the_start_of_stdin_tells_how_names_are_encoded(encoding: str) -> None:
    stdin = io.BytesIO("\ufeffa.jpg\r\n日本.jpg\r\n".encode(encoding))
    assert [ref.id for ref in iter_images(["-"], stdin=stdin)] == ["a.jpg", "日本.jpg"]


def test_a_text_that_is_no_list_is_called_that(tmp_path: Path) -> None:
    path = listed(tmp_path / "notes.txt", "Dear all,\nplease find a.jpg attached.\n")
    with pytest.raises(SscdError, match="is no list of images: its first line names none"):
        refs(path)


def test_a_line_or_cell_that_would_fill_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sscd_cli.images.containers.listing.MOST_CHARACTERS", 1000)
    monkeypatch.setattr("sscd_cli.images.containers.listing.MOST_LINES", 10)
    long = listed(tmp_path / "a.jsonl", '{"file_name": "1.jpg"}\n{"x": "' + "y" * 2000 + '"}\n')
    with pytest.raises(SscdError, match="line 2 is longer than"):
        refs(long)
    quoted = listed(tmp_path / "a.csv", 'image,n\n"1.jpg,1\n' + "2.jpg,2\n" * 20)
    with pytest.raises(SscdError, match="a quote is left open"):
        refs(quoted)


def test_a_list_without_some_images_of_a_row_keeps_the_others(tmp_path: Path) -> None:
    text = '{"images": ["1.jpg", "2.jpg"], "n": 1}\n{"images": ["3.jpg"]}\n'
    path = listed(tmp_path / "a.jsonl", text)
    rewrite_listing(str(path), str(tmp_path / "b.jsonl"), {"1.jpg", "3.jpg"})
    assert (tmp_path / "b.jsonl").read_text() == '{"images": ["2.jpg"], "n": 1}\n'


def test_a_carriage_return_ends_a_name_on_stdin_unless_it_is_part_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b.jpg\r").touch()
    stdin = io.BytesIO(b"a.jpg\r\nb.jpg\r\n")
    assert [ref.id for ref in iter_images(["-"], stdin=stdin)] == ["a.jpg", "b.jpg\r"]
