"""Every format, byte for byte, on the shipped gallery with known similarities; and odd names.

The golden files under data/golden hold what `sscd dedup` prints for `gallery_dataset`, with the
folder of the test written as /here.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import DATA, Run, Store, csv_rows_of, picture, records_of
from PIL import Image

from sscd_cli.reports.formats import csv_lines, path_lines
from sscd_cli.text import bytes_text

SIMILARITIES = {
    "alps-brighter.jpg": 0.96875,
    "balloons-rotated.jpg": 0.8125,
    "canyon-flipped.jpg": 0.78125,
    "canyon-gray.jpg": 0.9375,
    "harbour-cropped.jpg": 0.765625,
    "harbour-half.jpg": 0.984375,
    "harbour-low-quality.jpg": 0.953125,
    "marbles-again.jpg": 1.0,
    "planet.png": 0.9990234375,
    "reef-blurred.jpg": 0.875,
    "skyline-captioned.jpg": 0.84375,
    "vase-framed.jpg": 0.75,
}


@pytest.fixture
def gallery_dataset(
    gallery: Path, truth: dict[str, str], tmp_path: Path, store: Store
) -> dict[str, Any]:
    """Embed the gallery by a model that knows the truth: a copy is as similar as we say."""
    names = sorted(path.name for path in gallery.iterdir() if path.suffix != ".txt")
    axes = {name: axis for axis, name in enumerate(names)}
    vectors: dict[str, Any] = {}
    for name in names:
        original = truth.get(name, name)
        similarity = SIMILARITIES.get(name, 1.0)
        vector = np.zeros(len(names))
        vector[axes[name]] = (1 - similarity**2) ** 0.5
        vector[axes[original]] = similarity
        vectors[name] = "torn" if name == "torn.jpg" else vector
    store(tmp_path / "descriptors", {gallery / n: v for n, v in vectors.items()}, root=gallery)
    return vectors


def golden(format: str, folder: Path) -> bytes:
    """Return what `sscd dedup` prints in a folder, as the next test but one sees to."""
    text = (DATA / "golden" / f"dedup.{format}").read_text()
    return text.replace("/here", str(folder)).encode()


def test_the_similarities_cover_the_truth(truth: dict[str, str]) -> None:
    assert SIMILARITIES.keys() == truth.keys()


@pytest.mark.parametrize("format", ["text", "jsonl", "csv", "paths"])
def test_a_format_is_what_it_was_byte_for_byte(
    sscd: Run, gallery_dataset: dict[str, Any], format: str, tmp_path: Path
) -> None:
    ran = sscd("dedup", "-f", format)
    assert ran.status == 0
    assert ran.out == golden(format, tmp_path)


def test_all_formats_say_the_same(
    sscd: Run, gallery_dataset: dict[str, Any], tmp_path: Path
) -> None:
    objects = records_of(golden("jsonl", tmp_path))
    flat = [
        {
            "cluster": one["cluster"],
            "weakest_link": one["weakest_link"],
            **member,
            "scale": "cosine",
        }
        for one in objects
        for member in one["members"]
    ]
    rows = csv_rows_of(golden("csv", tmp_path))
    assert rows == [
        {
            k: "" if v is None else str(v).lower() if isinstance(v, bool) else str(v)
            for k, v in row.items()
        }
        for row in flat
    ]
    (tmp_path / "report.parquet").write_bytes(sscd("dedup", "-f", "parquet").out)
    assert pq.read_table(tmp_path / "report.parquet").to_pylist() == flat
    removable = [row["path"] for row in flat if not row["keep"]]
    assert golden("paths", tmp_path).decode().splitlines() == removable
    assert sscd("dedup", "-f", "paths", "-0").out.split(b"\0") == [
        *(path.encode() for path in removable),
        b"",
    ]


def test_the_report_is_true(
    gallery_dataset: dict[str, Any], truth: dict[str, str], tmp_path: Path
) -> None:
    """Each similarity is the product of the two descriptors, each cluster one original."""
    families = []
    for record in records_of(golden("jsonl", tmp_path)):
        members = record["members"]
        families.append({truth.get(m["id"], m["id"]) for m in members})
        for member in members:
            keeper = Path(member["keeper"]).name
            similarity = float(gallery_dataset[member["id"]] @ gallery_dataset[keeper])
            expected = 1.0 if member["keep"] else similarity
            assert member["similarity"] == pytest.approx(expected, abs=1e-6)
            assert similarity >= 0.75 - 1e-6
    assert sorted(map(sorted, families)) == sorted([name] for name in set(truth.values()))


def test_names_of_any_bytes_survive_in_every_format(
    sscd: Run, tmp_path: Path, store: Store
) -> None:
    odd = [
        os.fsdecode(name)
        for name in (
            b"-rf.png",
            b"caf\xe9.png",
            b"new\nline.png",
            b"with space'\".png",
            "é,.png".encode(),
        )
    ]
    keeper = picture(tmp_path / "keeper.png", 2)
    os.utime(keeper, (1, 1))
    names = {path: [1.0, 0.0] for path in (keeper, *(picture(tmp_path / n, 2) for n in odd))}
    store(tmp_path / "descriptors", names, root=tmp_path)
    shown = sorted("./-rf.png" if name == "-rf.png" else name for name in odd)

    nul = sscd("dedup", "-f", "paths", "-0").out.split(b"\0")
    assert sorted(map(os.fsdecode, nul[:-1])) == shown
    assert all((tmp_path / os.fsdecode(name)).exists() for name in nul[:-1])

    (record,) = records_of(sscd("dedup", "-f", "jsonl").out)
    members = record["members"]
    assert sorted(m["path"] for m in members if not m["keep"]) == shown
    assert sorted(m["id"] for m in members if not m["keep"]) == sorted(odd)

    rows = csv_rows_of(sscd("dedup", "-f", "csv").out)
    assert sorted(row["path"] for row in rows if row["keep"] == "false") == shown

    text = sscd("dedup").out.decode()
    assert "caf\\xe9.png" in text
    assert "new\\nline.png" in text

    (tmp_path / "r.parquet").write_bytes(sscd("dedup", "-f", "parquet").out)
    records = pq.read_table(tmp_path / "r.parquet").to_pylist()
    assert b"caf\xe9.png" in [record["path_bytes"] for record in records]


def test_paths_are_checked_before_the_first_is_written() -> None:
    assert list(path_lines(["a", "b\nc"], null=True)) == ["a\0", "b\nc\0"]
    assert "".join(path_lines(["a", "b c"], null=False)) == "a\nb c\n"
    with pytest.raises(Exception, match="holds a line break"):
        next(path_lines(["a", "b\nc"], null=False))


def test_search_and_pair_reports(tiny: Run, tmp_path: Path) -> None:
    for seed, name in enumerate(("a.png", "b.png", "-c.png")):
        picture(tmp_path / "photos" / name, seed)
    # 16 numbers in float16 are no unit vector to four digits
    assert tiny("embed", "photos", "--dtype", "float32").status == 0
    ran = tiny("search", "photos/a.png", "-k", "1")
    query, hit = ran.lines
    similarity, path = hit.split()
    assert (query, path) == ("photos/a.png", "photos/a.png")
    assert float(similarity) == pytest.approx(1, abs=2e-3)  # stored in float16
    assert ran.err == "1 query in 3 images by an exact search\n"
    assert tiny("index").err == "descriptors/index.faiss: 3 images, Flat, built\n"
    ran = tiny("search", "photos/a.png", "photos/b.png", "-f", "jsonl")
    hits = [json.loads(line) for line in ran.lines]
    assert [hit["rank"] for hit in hits] == [1, 2, 3] * 2
    assert [hit["path"] for hit in hits if hit["rank"] == 1] == ["photos/a.png", "photos/b.png"]
    assert ran.err == "2 queries in 3 images by its index\n"
    ran = tiny("search", "photos/a.png", "-k", "1", "-f", "csv")
    assert ran.lines[0] == "query,rank,similarity,path,id,source,scale"

    ran = tiny("pair", "photos/a.png", "photos/a.png", "--exit-code")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out == b"similarity 1.0000  distance 0.0000  copy at threshold 1\n"
    ran = tiny("pair", "photos/a.png", "photos/b.png", "-f", "json", "--exit-code")
    assert ran.status == 1
    told = json.loads(ran.out)
    assert told["distance"] == pytest.approx((2 - 2 * told["similarity"]) ** 0.5, rel=1e-3)
    assert told["is_copy"] is False
    assert tiny("pair", "photos/a.png", "photos/b.png").status == 0


def test_pair_compares_animations_and_pages_in_all_that_they_show(
    sscd: Run, tmp_path: Path, gallery: Path
) -> None:
    def frame(name: str, side: int = 240) -> Image.Image:
        with Image.open(gallery / f"{name}.jpg") as image:
            return image.convert("RGB").resize((side, side))

    def told(*names: str) -> Any:
        return json.loads(sscd("pair", *names, "-f", "json").out)

    alps, leaf, reef = (frame(name) for name in ("alps", "leaf", "reef"))
    files: dict[str, list[Image.Image]] = {
        "a.gif": [Image.new("RGB", (240, 240)), alps, leaf],
        "same.webp": [Image.new("RGB", (240, 240), (2, 2, 2)), alps, leaf],
        "other.gif": [Image.new("RGB", (240, 240)), alps, reef],
        "cover.tif": [alps, leaf],
        "cover2.tif": [frame("alps", 200), frame("reef", 200)],
        "still.png": [alps],
    }
    for name, (first, *rest) in files.items():
        how = {"save_all": True, "append_images": rest} if rest else {}
        first.save(tmp_path / name, **how)
    assert told("a.gif", "same.webp")["similarity"] > 0.95
    for name in ("other.gif", "still.png"):
        assert told("a.gif", name)["similarity"] < 0.5
        assert not told(name, "a.gif")["is_copy"]
    assert told("cover.tif", "cover2.tif")["frames"] == [2, 2]
    text = sscd("pair", "cover.tif", "cover2.tif", "--explain").out.decode()
    assert "no copy at threshold" in text
    assert ", least of 2 and 2 frames\nno single edit explains it" in text
    assert "frames" not in sscd("pair", "still.png", "still.png").out.decode()


@pytest.mark.parametrize(
    ("count", "text"),
    [
        *((0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (9_949, "9.9 kB"), (99_500, "100 kB")),
        *((999_499, "999 kB"), (999_500, "1.0 MB"), (12 * 10**14, "1200 TB")),
    ],
)
def test_sizes_for_people(count: int, text: str) -> None:
    assert bytes_text(count) == text


def test_csv_quotes_every_line_break() -> None:
    rows = [{"a": "x\ry", "b": "p\nq"}, {"a": "\r\n", "b": 1}]
    text = "".join(csv_lines(["a", "b"], rows))
    assert text == 'a,b\n"x\ry","p\nq"\n"\r\n",1\n'


def test_csv_of_no_rows_is_a_header() -> None:
    assert "".join(csv_lines(["a", "b"], [])) == "a,b\n"
