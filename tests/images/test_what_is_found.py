"""The table of what is read and what is named in `sscd help sources`, each line of it tried."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from archives import tarred, zipped
from conftest import Run, picture
from pyarrow import feather

import sscd_cli

PAGE = (Path(sscd_cli.__file__).parent / "docs" / "sources.md").read_text()
TABLE = PAGE.partition("| found | what becomes of it |\n| --- | --- |\n")[2].partition("\n\n")[0]
LINES = dict(line.strip("| ").split(" | ") for line in TABLE.splitlines())

Files = dict[str, bytes]
IMAGES = ("a.png", "b.png")
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda data: bytes(pa.compress(data, "zstd", asbytes=True)),
}


def locked(images: Files) -> bytes:
    data = bytearray(zipped(images))
    for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        for match in re.finditer(re.escape(mark), bytes(data)):
            data[match.start() + at] |= 1
    return bytes(data)


def table(column: list[object], write: Callable[[pa.Table, io.BytesIO], object]) -> bytes:
    stream = io.BytesIO()
    write(pa.table({"image": column}), stream)
    return stream.getvalue()


def arrow(rows: pa.Table, stream: io.BytesIO) -> None:
    with pa.ipc.new_stream(stream, rows.schema) as writer:
        writer.write_table(rows, max_chunksize=1)


def lists() -> Files:
    rows = [{"image": name, "n": 1} for name in IMAGES]
    return {
        "l.csv": b"image,n\na.png,1\nb.png,2\n",
        "l.tsv": b"image\tn\na.png\t1\nb.png\t2\n",
        "l.jsonl": "".join(f"{json.dumps(row)}\n" for row in rows).encode(),
        "l.json": json.dumps(rows).encode(),
        "coco.json": json.dumps({"images": [{"file_name": name} for name in IMAGES]}).encode(),
        "l.txt": b"a.png\nb.png\n",
        "labels.txt": b"a.png 5\nb.png 6\n",
    }


def in_base64(texts: list[str]) -> Files:
    rows = [{"image": text} for text in texts]
    return {
        "b.csv": "\n".join(["image", *texts]).encode(),
        "b.tsv": "\n".join(["n\timage", *(f"1\t{text}" for text in texts)]).encode(),
        "b.json": json.dumps(rows).encode(),
        "b.jsonl": "\n".join(map(json.dumps, rows)).encode(),
    }


def tables(images: Files, texts: list[str]) -> Files:
    whole = list(images.values())
    columns: dict[str, list[object]] = {
        "bytes": [*whole],
        "base64": [*texts],
        "paths": [*IMAGES],
        "several": [whole],
    }
    writers: dict[str, Callable[[pa.Table, io.BytesIO], object]] = {
        "parquet": pq.write_table,
        "arrow": arrow,
        "feather": feather.write_feather,
    }
    return {
        f"{kind}.{end}": table(column, write)
        for kind, column in columns.items()
        for end, write in writers.items()
    }


def cut(images: Files) -> Files:
    names = "\n".join(f"{n}.png" for n in range(20_000))
    return {
        "c.tar": tarred(images)[:-12_000],
        "c.zip": zipped(images)[:-60],
        "c.arrow": table([*images.values()], arrow)[: -len(images["b.png"]) // 2],
        "c.jsonl": b'"a.png"\n"b.pn',
        "c.txt.gz": gzip.compress(f"a.png\n{names}".encode())[:-100],
    }


def database(folder: Path) -> bytes:
    with sqlite3.connect(folder / "made.sqlite") as made:
        made.execute("create table images (data blob)")
    made.close()
    return (folder / "made.sqlite").read_bytes()


def array() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.zeros((4, 8, 8, 3), np.uint8))
    return stream.getvalue()


def found(folder: Path) -> Iterator[Files]:
    """Yield the files of each line of the table, in its order."""
    images = {
        name: picture(folder / name, n, (200, 150)).read_bytes() for n, name in enumerate(IMAGES)
    }
    texts = [base64.b64encode(data).decode() for data in images.values()]
    linked = tarred(images, {"link.png": "a.png"})
    yield {"s.tar": linked, "s.cbt": linked}
    yield {f"s.tar.{kind}": pack(linked) for kind, pack in PACK.items()}
    yield {"s.zip": zipped(images), "s.cbz": zipped(images)}
    yield tables(images, texts)
    yield lists()
    yield {f"{n}.{kind}": pack(data) for n, data in lists().items() for kind, pack in PACK.items()}
    yield {"folder": b""}
    yield cut(images)
    yield in_base64(texts)
    yield {"p.zip": locked(images)}
    yield {"o.tar": tarred({}, {"link.png": "/srv/a.png"})}
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{1:064}\nsize 9\n".encode()
    yield dict.fromkeys(("g.png", "g.tar", "g.parquet", "g.csv"), pointer)
    yield {"v.feather": b"FEA1" + bytes(60)}
    yield {"r.rar": b"Rar!\x1a\x07\x01\0", "r.7z": b"7z\xbc\xaf\x27\x1c", "r.docx": zipped(images),
           "r.npz": zipped({"a.npy": array()}), "r.png.gz": gzip.compress(images["a.png"]),
           "r.lz4": b"\x04\x22\x4d\x18", "r.bz2": bz2.compress(b"x"), "r.xz": lzma.compress(b"x"),
           "r.zst": PACK["zst"](b"x")}  # fmt: skip
    yield {"n.mp4": b"\0\0\0\x20ftypisom", "n.mkv": b"\x1a\x45\xdf\xa3", "n.html": b"<html>",
           "n.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>", "n.eps": b"%!PS-Adobe",
           "n.xcf": b"gimp xcf v011", "n.exr": b"v/1\x01", "n.hdr": b"#?RADIANCE\n",
           "n.dcm": bytes(128) + b"DICM", "n.fits": b"SIMPLE  =       T"}  # fmt: skip
    yield {"d.npy": array(), "d.h5": b"\x89HDF\r\n\x1a\n", "d.sqlite": database(folder)}
    yield {"u.tfrecord": bytes(12) + images["a.png"], "data.mdb": bytes(16) + b"\xde\xc0\xef\xbe",
           "u.rec": b"\x0a\x23\xd7\xce"}  # fmt: skip


@pytest.mark.parametrize("number", range(len(LINES)), ids=list(LINES))
def test_what_becomes_of_what_is_found_is_as_the_table_says(
    tiny: Run, tmp_path: Path, number: int
) -> None:
    files = list(found(tmp_path))
    assert len(files) == len(LINES)
    for name, data in files[number].items():
        path = tmp_path / name
        if name == "folder":
            path.mkdir()
            (path / "s.tar").write_bytes(files[0]["s.tar"])
            (path / "s.zip").write_bytes(files[2]["s.zip"])
        else:
            path.write_bytes(data)
        ran = tiny("embed", name, "-d", f"{name}.d", "--strict")
        told = list(LINES.values())[number]
        quoted = re.findall('"(.*?)"', told)
        assert all(words in ran.err for words in quoted), (name, ran.err)
        images = re.search(r"(\d+) images?: (\d+) embedded, (\d+) exact", ran.err)
        read = sum(map(int, images.groups()[1:])) if images else 0
        if told == "read":
            assert (ran.status, read > 1) == (0, True), (name, ran.err)
        elif told.startswith("read as far"):
            assert (ran.status, read > 0) == (4, True), (name, ran.err)
        else:
            assert (ran.status in (2, 3, 4), read) == (True, 0), (name, ran.err)
