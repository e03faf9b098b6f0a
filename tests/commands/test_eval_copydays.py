"""The Copydays benchmark against its definition, worked out query by query on a small one."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmark_sets import Floats, projected, save_vectors, unit, unit_rows
from conftest import Run, error_line, picture

from sscd_cli.evaluation.copydays import BLOCKS

ORIGINALS, DISTRACTORS = 20, 60
BLOCKS_HERE = ("original", "strong", "jpegqual/3", "crops/80")


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Twenty originals, four folders of copies of them, and two strong edits of some."""
    folder = tmp_path_factory.mktemp("copydays")
    random = np.random.default_rng(0)
    originals = unit_rows(ORIGINALS, 1)
    vectors: dict[str, Floats] = {}
    for place, block in enumerate(BLOCKS_HERE):
        for number, original in enumerate(originals):
            for take in range(1 + (block == "strong" and number % 3 == 0)):
                noise = 0.25 * place * random.normal(size=16)
                name = f"{block}/{2000 + number}{place + take:02d}.jpg"
                vectors[f"copydays/{name}"] = unit(original + noise)
    names = list(vectors)
    random.shuffle(names)
    sets = {"distractors": unit_rows(DISTRACTORS, 3), "training": unit_rows(100, 4)}
    save_vectors(folder / "copydays", {name: vectors[name] for name in names})
    for name, rows in sets.items():
        save_vectors(folder / name, {f"{i}.jpg": row for i, row in enumerate(rows)})
    return {"folder": folder, "vectors": vectors, **sets}


def defined(benchmark: dict[str, Any], codec: str, k: int) -> tuple[float, float]:
    """Return mAP on the strong subset and µAP, both as areas of trapezoids."""
    names = sorted(benchmark["vectors"])
    rows = np.stack([benchmark["vectors"][name] for name in names])
    _, rows, others = projected(codec, benchmark["training"], rows, benchmark["distractors"])
    places = [i for i, name in enumerate(names) if "/original/" in name]
    references = np.concatenate([rows[places], others]).astype(np.float64)
    lists: list[list[tuple[float, bool]]] = []
    for name, row in zip(names, rows, strict=True):
        right = [Path(names[place]).name[:4] == Path(name).name[:4] for place in places]
        answers = zip(references @ row, [*right, *[False] * DISTRACTORS], strict=True)
        lists.append(sorted(answers, key=lambda answer: -answer[0])[:k])
    strong = [
        area(found, 1) for name, found in zip(names, lists, strict=True) if "/strong/" in name
    ]
    pooled = sorted((answer for found in lists for answer in found), key=lambda a: -a[0])
    return sum(strong) / len(strong), area(pooled, len(names))


def area(ranked: list[tuple[float, bool]], positives: int) -> float:
    total, found = 0.0, 0
    for seen, (_, match) in enumerate(ranked):
        if match:
            total += ((found / seen if seen else 1) + (found + 1) / (seen + 1)) / 2 / positives
            found += 1
    return total


def command(benchmark: dict[str, Any]) -> list[Any]:
    folder = benchmark["folder"]
    words = ["eval", "copydays", folder / "copydays", "--distractors", folder / "distractors"]
    return [*words, "--training", folder / "training"]


@pytest.mark.parametrize("k", [3, 100])
def test_every_row_is_what_its_definition_gives(
    sscd: Run, benchmark: dict[str, Any], k: int
) -> None:
    codecs = ["Flat", "PCAW16,L2norm,Flat", "PCA16,L2norm,Flat"]
    ran = sscd(*command(benchmark), "--codecs", ";".join(codecs), "-k", str(k), "-f", "csv")
    rows = list(csv.reader(io.StringIO(ran.out.decode())))[1:]
    assert [row[0] for row in rows] == codecs
    for codec, *figures in rows:
        wanted = defined(benchmark, codec, k)
        assert [float(figure) for figure in figures] == pytest.approx(wanted, abs=1e-9)
        assert 0.2 < min(wanted) < max(wanted) < 1


def test_the_file_has_the_form_of_the_references(sscd: Run, benchmark: dict[str, Any]) -> None:
    codecs = "PCAW16,L2norm,Flat;PCA16,L2norm,Flat"
    ran = sscd(*command(benchmark), "--codecs", codecs, "-f", "csv")
    lines = (
        "codec,strong_mAP,overall_uAP\n"
        r'"PCAW16,L2norm,Flat",0\.\d+,0\.\d+' + "\n"
        r'"PCA16,L2norm,Flat",0\.\d+,0\.\d+' + "\n"
    )
    assert re.fullmatch(lines, ran.out.decode())


def test_text_shows_every_folder_and_json_counts_the_images(
    sscd: Run, benchmark: dict[str, Any]
) -> None:
    lines = sscd(*command(benchmark)).lines
    assert lines[0] == "drawn: 87 queries, 20 originals, 60 distractors, 100 training images"
    assert [line.split()[0] for line in lines[-4:]] == list(BLOCKS_HERE)
    told = json.loads(sscd(*command(benchmark), "-f", "json").out)
    assert (told["queries"], told["originals"], told["distractors"]) == (87, 20, 60)
    assert list(told["rows"][0]["figures"]["block_map"]) == list(BLOCKS_HERE)
    assert told["rows"][0]["figures"]["block_map"]["original"] == 1


def test_the_folders_are_those_of_the_benchmark() -> None:
    assert len(BLOCKS) == 20
    assert {"original", "strong", "jpegqual/3", "jpegqual/75", "crops/10", "crops/80"} < {*BLOCKS}


def test_images_are_embedded_and_found(tiny: Run, tmp_path: Path) -> None:
    for block in ("original", "strong", "crops/10"):
        for seed in range(3):
            picture(tmp_path / "photos" / block / f"20{seed:02d}00.png", seed)
    picture(tmp_path / "others" / "a.png", 9)
    ran = tiny("eval", "copydays", "photos", "--distractors", "others", "-f", "csv")
    assert ran.lines == ["codec,strong_mAP,overall_uAP", "Flat,1.0,1.0"]
    assert {path.name for path in (tmp_path / "eval-descriptors").iterdir()} == {
        "copydays",
        "copydays-distractors",
    }


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["elsewhere/2000.jpg"], "elsewhere/2000.jpg is in no folder of Copydays"),
        (["original/200000.jpg"], "there are no images in strong"),
        (["strong/200000.jpg"], "there are no images in original"),
        (
            ["original/200000.jpg", "strong/200100.jpg"],
            "strong/200100.jpg has no original",
        ),
        (
            ["original/200000.jpg", "original/200001.jpg", "strong/200000.jpg"],
            "two originals begin with 2000",
        ),
    ],
)
def test_a_folder_that_is_not_copydays_is_refused(
    sscd: Run, tmp_path: Path, names: list[str], message: str
) -> None:
    save_vectors(tmp_path / "set", dict(zip(names, unit_rows(len(names), 1), strict=True)))
    assert error_line(sscd("eval", "copydays", "set")).startswith(message)


def test_what_cannot_be_run_is_one_line(sscd: Run, benchmark: dict[str, Any]) -> None:
    path = benchmark["folder"] / "copydays"
    for words, message in (
        (["--codecs", ""], "--codecs names none; use --codecs Flat"),
        (
            ["--codecs", "PCAW16,L2norm,Flat"],
            "a codec that is learned needs a training set; "
            "name one with --training, or use --codecs Flat",
        ),
        (["--distractors", "no"], "there is no no; name another with --distractors"),
    ):
        assert error_line(sscd("eval", "copydays", path, *words)) == message
