"""Known pairs against their definition, worked out threshold by threshold and pair by pair."""

from __future__ import annotations

import csv
import io
import json
import sys
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from benchmark_sets import Floats, save_vectors, unit, unit_rows
from conftest import Run, error_line
from PIL import Image

from sscd_cli.commands.evaluate import pairs as eval_pairs
from sscd_cli.descriptors.read import read_descriptors
from sscd_cli.matching.join import similarities
from sscd_cli.scoring.scale import Scale
from sscd_cli.scoring.threshold import CalibratedThreshold

IMAGES = 40
Scored = list[tuple[float, bool, str]]


@pytest.fixture
def vectors(tmp_path: Path) -> dict[str, Floats]:
    """Forty images a/0.jpg …, the odd ones copies of the even ones, some hard to find."""
    rows, random = unit_rows(IMAGES, 1), np.random.default_rng(2)
    noise = np.linspace(0.01, 0.6, IMAGES // 2)[:, None] * random.normal(size=(IMAGES // 2, 16))
    rows[1::2] = unit(rows[::2] + noise)
    named = {f"a/{place}.jpg": row for place, row in enumerate(rows)}
    save_vectors(tmp_path / "descriptors", named)
    return named


def labelled_table(path: Path) -> list[tuple[str, str, bool, str]]:
    pairs = [
        (f"a/{i}.jpg", f"a/{i + 1}.jpg", True, "easy" if i < 20 else "hard")
        for i in range(0, IMAGES, 2)
    ]
    pairs += [(f"a/{i}.jpg", f"a/{(i + 5) % IMAGES}.jpg", False, "easy") for i in range(IMAGES)]
    lines = [f"{left},{right},{int(same)},{group}" for left, right, same, group in pairs]
    path.write_text("\n".join(["left,right,label,group", *lines]) + "\n")
    return pairs


def point(scored: Scored, copies: int, threshold: float) -> dict[str, Any]:
    taken = [same for score, same, _ in scored if score >= threshold]
    precision = sum(taken) / len(taken) if taken else None
    recall = sum(taken) / copies
    f1 = None
    if precision is not None:
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0
    return {"accepted": len(taken), "precision": precision, "recall": recall, "f1": f1}


def check_figures(told: dict[str, Any], scored: Scored, copies: int) -> None:
    """Compare a JSON report with what every threshold there is gives."""
    every = {score: point(scored, copies, score) for score, _, _ in scored}
    assert told["pairs"] == len(scored)
    assert told["copies"] == copies
    for name, precision in (("90%", 0.9), ("95%", 0.95), ("99%", 0.99)):
        reached = [p["recall"] for p in every.values() if p["precision"] >= precision]
        got = told["operating_points"][f"{name} precision"]
        assert (got and got["recall"]) == (max(reached) if any(reached) else None)
    best = told["operating_points"]["best F1"]
    assert best["f1"] == max(p["f1"] for p in every.values())
    assert {**best} == {"threshold": best["threshold"], **every[best["threshold"]]}
    assert len(told["thresholds"]) > 3
    for got in (*told["thresholds"], {k: v for k, v in told["chosen"].items() if k != "by"}):
        threshold = got.pop("threshold")
        assert got == point(scored, copies, threshold)


def scores_of(vectors: dict[str, Floats], pairs: list[tuple[str, str]]) -> list[float]:
    """Score pairs as the tool does to the last bit, so that thresholds fall where it puts them."""
    left, right = (np.stack([vectors[pair[side]] for pair in pairs]) for side in (0, 1))
    rows = np.arange(len(pairs))
    return [float(score) for score in similarities(left, rows, right, rows)]


def run_json(sscd: Run, *words: Any) -> dict[str, Any]:
    ran = sscd("eval", "pairs", *words, "-f", "json")
    assert ran.status == 0, ran.err
    told: dict[str, Any] = json.loads(ran.out)
    return told


def test_labelled_pairs_are_all_that_counts(
    sscd: Run, vectors: dict[str, Floats], tmp_path: Path
) -> None:
    table = labelled_table(tmp_path / "truth.csv")
    scores = scores_of(vectors, [(left, right) for left, right, _, _ in table])
    scored = [(score, same, g) for score, (_, _, same, g) in zip(scores, table, strict=True)]
    told = run_json(sscd, "truth.csv", "-t", "0.7")
    assert told["chosen"].pop("by") == "given"
    check_figures(told, scored, 20)
    assert [group["group"] for group in told["groups"]] == ["easy", "hard"]
    for group in told["groups"]:
        mine = [item for item in scored if item[2] == group["group"]]
        copies = sum(same for _, same, _ in mine)
        assert (group["pairs"], group["copies"]) == (len(mine), copies)
        assert group["point"] == {"threshold": 0.7, **point(mine, copies, 0.7)}


def test_without_labels_every_other_pair_of_the_dataset_is_no_copy(
    sscd: Run, vectors: dict[str, Floats], tmp_path: Path
) -> None:
    """The listed pairs form triples, whose third pair is implied and counts neither way."""
    names = list(vectors)
    listed = [(names[i], names[i + 1]) for i in range(0, 30, 3)]
    listed += [(names[i + 2], names[i + 1]) for i in range(0, 30, 3)]
    lines = [f"{left},{right},{place % 2}" for place, (left, right) in enumerate(listed)]
    (tmp_path / "truth.csv").write_text("\n".join(["left,right,group", *lines]) + "\n")
    copies = {frozenset(pair) for pair in listed}
    implied = {frozenset((names[i], names[i + 2])) for i in range(0, 30, 3)}
    pairs = [pair for pair in combinations(names, 2) if frozenset(pair) not in implied]
    scores = scores_of(vectors, pairs)
    scored = [(s, frozenset(pair) in copies, "") for s, pair in zip(scores, pairs, strict=True)]
    told = run_json(sscd, "truth.csv")
    assert told["chosen"].pop("by") == "of drawn"
    check_figures(told, scored, 20)
    assert told["chosen"]["threshold"] == 0.75
    for group in told["groups"]:
        mine = {frozenset(pair) for pair in listed[int(group["group"]) :: 2]}
        found = [s >= 0.75 for s, pair in zip(scores, pairs, strict=True) if {*pair} in mine]
        assert (group["pairs"], group["copies"]) == (10, 10)
        assert (group["point"]["recall"], group["point"]["precision"]) == (sum(found) / 10, None)


def test_copies_below_the_most_similar_pairs_count_as_missed(
    sscd: Run, vectors: dict[str, Floats], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eval_pairs, "MOST_PAIRS", 50)
    pairs = [(f"a/{i}.jpg", f"a/{i + 1}.jpg") for i in range(0, IMAGES, 2)]
    text = "".join(f"{left},{right}\n" for left, right in pairs)
    (tmp_path / "truth.csv").write_text(f"left,right\n{text}")
    told = run_json(sscd, "truth.csv")
    lowest = sorted(scores_of(vectors, list(combinations(vectors, 2))))[-50]
    found = sum(score >= lowest for score in scores_of(vectors, pairs))
    assert (told["pairs"], told["copies"]) == (50, 20)
    assert max(p["recall"] for p in told["thresholds"]) == found / 20 < 1


@pytest.mark.parametrize("labels", ["", ",1"])
def test_normalised_scores_lose_the_mean_of_both_images_biases(
    sscd: Run, vectors: dict[str, Floats], tmp_path: Path, labels: str
) -> None:
    save_vectors(tmp_path / "others", {f"{i}.jpg": r for i, r in enumerate(unit_rows(60, 7))})
    assert sscd("fit", "others", "-o", "post").status == 0
    (tmp_path / "truth.csv").write_text(
        f"left,right{',label' if labels else ''}\na/0.jpg,a/1.jpg{labels}\n"
    )
    told = run_json(sscd, "truth.csv", "--post", "post", "--score-norm", "1.0[0,2]")
    scale = Scale.load(tmp_path / "post", "1.0[0,2]")
    rows = scale.apply(np.stack([vectors["a/0.jpg"], vectors["a/1.jpg"]]))
    bias = scale.bias(rows)
    assert bias is not None
    wanted = float(rows[0] @ rows[1]) - float(bias.mean())
    assert told["chosen"]["by"] == "best F1"
    assert told["chosen"]["threshold"] == pytest.approx(wanted, abs=1e-6)
    assert told["scale"] == str(scale) != "cosine"


def test_the_threshold_may_be_a_calibrated_one(
    sscd: Run, vectors: dict[str, Floats], tmp_path: Path
) -> None:
    labelled_table(tmp_path / "truth.csv")
    found = CalibratedThreshold(
        threshold=0.61,
        provenance=read_descriptors(tmp_path / "descriptors").provenance,
        scale="cosine",
        wanted_precision=0.99,
        precision=(0.99, 0.98, 1.0),
        recall=(0.9, 0.8, 1.0),
        images=IMAGES,
        copies_per_image=(1.0, 1.0, 1.0),
        date="2026-11-22",
    )
    found.save(tmp_path / "descriptors" / "threshold.json")
    chosen = run_json(sscd, "truth.csv", "-t", "auto")["chosen"]
    assert (chosen["by"], chosen["threshold"]) == ("calibrated", 0.61)


def test_the_csv_holds_the_curve_at_each_score_of_a_copy(
    sscd: Run, vectors: dict[str, Floats], tmp_path: Path
) -> None:
    table = labelled_table(tmp_path / "truth.csv")
    scores = scores_of(vectors, [(left, right) for left, right, _, _ in table])
    scored = [(score, same, g) for score, (_, _, same, g) in zip(scores, table, strict=True)]
    ran = sscd("eval", "pairs", "truth.csv", "-f", "csv", "-o", "curve.csv")
    assert (ran.status, ran.out) == (0, b"")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "curve.csv").read_text())))
    at = sorted({score for score, same, _ in scored if same}, reverse=True)
    assert [float(row["threshold"]) for row in rows] == at
    for row, threshold in zip(rows, at, strict=True):
        wanted = point(scored, 20, threshold)
        assert {k: float(v) for k, v in row.items()} == {"threshold": threshold, **wanted}


def test_text_names_the_operating_points(
    sscd: Run, vectors: dict[str, Floats], tmp_path: Path
) -> None:
    labelled_table(tmp_path / "truth.csv")
    lines = sscd("eval", "pairs", "truth.csv").lines
    assert lines[0].startswith("drawn: 60 pairs of 40 images, 20 copies, µAP 0.")
    starts = ["of drawn", "90% precision", "95% precision", "99% precision", "best F1"]
    assert [line[:20].strip() for line in lines[3:8]] == starts
    assert lines[3].split()[2] == "0.7500"
    assert [line.split()[0] for line in lines[-2:]] == ["easy", "hard"]


@pytest.mark.parametrize("name", ["a/0.jpg", "./a/../a/0.jpg", "/photos/a/0.jpg", "0.jpg"])
def test_an_image_goes_by_its_id_its_path_or_an_end_of_it(
    sscd: Run, vectors: dict[str, Floats], tmp_path: Path, name: str
) -> None:
    (tmp_path / "truth.csv").write_text(f"Left, Right ,label,group\n{name},a/1.jpg,copy,x\n")
    assert run_json(sscd, "truth.csv")["copies"] == 1


def test_an_image_goes_by_its_path_from_here(sscd: Run, tmp_path: Path) -> None:
    rows = unit_rows(3, 1)
    named = {"x.jpg": rows[0], "y.jpg": rows[1]}
    save_vectors(tmp_path / "descriptors", named, source=str(tmp_path / "photos"))
    (tmp_path / "truth.csv").write_text("left,right\nphotos/x.jpg,./photos/y.jpg\n")
    assert run_json(sscd, "truth.csv")["copies"] == 1


def test_a_name_of_several_images_is_refused(sscd: Run, tmp_path: Path) -> None:
    rows = unit_rows(3, 1)
    named = {"a/x.jpg": rows[0], "b/x.jpg": rows[1], "y.jpg": rows[2]}
    save_vectors(tmp_path / "descriptors", named)
    (tmp_path / "truth.csv").write_text("left,right\nx.jpg,y.jpg\n")
    assert error_line(sscd("eval", "pairs", "truth.csv")) == (
        "x.jpg names 2 images, such as /photos/a/x.jpg and /photos/b/x.jpg; write more of its path"
    )


def test_pairs_with_unreadable_images_are_left_out_loudly(sscd: Run, tmp_path: Path) -> None:
    rows = unit_rows(3, 1)
    named = {"x.jpg": rows[0], "y.jpg": rows[1], "torn.jpg": "truncated"}
    save_vectors(tmp_path / "descriptors", named)
    table = tmp_path / "truth.csv"
    table.write_text("left,right,label\nx.jpg,torn.jpg,1\nx.jpg,y.jpg,1\ny.jpg,x.jpg,1\n")
    ran = sscd("eval", "pairs", "truth.csv", "-q", "-f", "json")
    told = json.loads(ran.out)
    assert (told["pairs"], told["copies"], told["left_out"]) == (1, 1, 1)
    assert ran.err == "sscd: warning: left out 1 pair with an unreadable image\n"
    table.write_text("left,right\nx.jpg,torn.jpg\n")
    assert error_line(sscd("eval", "pairs", "truth.csv")) == (
        "no copies of truth.csv are readable; embed them again"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "truth.csv has no column left"),
        ("left;right\na/0.jpg;a/1.jpg\n", "truth.csv has no column left"),
        (
            "left,right,is_copy\na/0.jpg,a/1.jpg,0\n",
            "column 'is_copy' of truth.csv is none of left, right, label, group",
        ),
        ("left,right,right\na/0.jpg,a/1.jpg,a/2.jpg\n", "truth.csv has several columns right"),
        ("left,right\n", "truth.csv names no copies"),
        ("left,right,label\na/0.jpg,a/1.jpg,0\n", "truth.csv names no copies"),
        ("left,right\na/0.jpg,\n", "line 2 of truth.csv names no two images"),
        ("left,right\na/0.jpg\n", "line 2 of truth.csv has 1 of 2 values"),
        ("left,right,label\na/0.jpg,a/1.jpg\n", "line 2 of truth.csv has 2 of 3 values"),
        ("left,right,label\na/0.jpg,a/1.jpg,2\n", "line 2 of truth.csv has the label '2'"),
        (
            'left,right,group\na/0.jpg,a/1.jpg,"two\nlines"\na/0.jpg,\n',
            "line 4 of truth.csv has 2 of 3 values",
        ),
        ("left,right\n\na/0.jpg,0.jpg\n", "line 3 pairs a/0.jpg with itself"),
        (
            "left,right\nno.jpg,a/0.jpg\nnor.jpg,a/1.jpg\n",
            "descriptors holds no image no.jpg (line 2) and 1 more",
        ),
        (
            "left,right,label\na/0.jpg,a/1.jpg,1\na/1.jpg,a/0.jpg,0\n",
            "line 3 of truth.csv labels a/1.jpg and a/0.jpg again",
        ),
    ],
)
def test_a_table_that_is_none_says_where(
    sscd: Run, vectors: dict[str, Floats], tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "truth.csv").write_text(text)
    ran = sscd("eval", "pairs", "truth.csv")
    assert (ran.status, ran.out) == (3, b"")
    assert error_line(ran).startswith(f"{message}; ")


def test_what_cannot_be_run_is_one_line(sscd: Run, vectors: dict[str, Floats]) -> None:
    for words, message in (
        (["no.csv"], "cannot read no.csv: No such file or directory; name a CSV file"),
        (["no.csv", "-f", "xml"], "unknown format 'xml'; use one of text, json, csv"),
        (["no.csv", "--plot", "a.gif"], "--plot cannot draw '.gif'; use .png or .svg"),
        (["no.csv", "--plot", "a"], "--plot cannot draw a file without suffix; use .png or .svg"),
        (["no.csv", "-t", "2"], "--threshold 2 is no cosine similarity; use a number from -1 to 1"),
    ):
        assert error_line(sscd("eval", "pairs", *words)) == message


def test_the_curve_is_drawn_as_png_and_svg(
    sscd: Run, vectors: dict[str, Floats], tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    labelled_table(tmp_path / "truth.csv")
    words = ("eval", "pairs", "truth.csv", "--plot", "a.png", "--plot", "a.svg")
    assert sscd(*words).status == 0
    drawn = [(tmp_path / name).read_bytes() for name in ("a.png", "a.svg")]
    with Image.open(io.BytesIO(drawn[0])) as image:
        assert (image.format, image.size) == ("PNG", (1650, 750))
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 24) or ()}
    assert {(0x1D, 0x6F, 0xB8), (0x2F, 0x9E, 0x63), (0xD6, 0x45, 0x45)} < colours
    assert ElementTree.fromstring(drawn[1]).tag.endswith("svg")
    assert sscd(*words).status == 0
    assert [(tmp_path / name).read_bytes() for name in ("a.png", "a.svg")] == drawn


def test_without_matplotlib_nothing_is_computed(
    sscd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    ran = sscd("eval", "pairs", "no.csv", "--plot", "a.png")
    assert error_line(ran) == "a plot needs matplotlib; pip install 'sscd-cli[plot]'"
