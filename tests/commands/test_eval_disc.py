"""The DISC benchmark against its definition, worked out pair by pair on a small one."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmark_sets import DIMENSIONS, projected, save_vectors, unit, unit_rows
from conftest import Run, error_line, picture

from sscd_cli.commands.evaluate.disc import _offsets
from sscd_cli.evaluation.disc import Truth, judge
from sscd_cli.scoring.score_norm import ScoreNorm

QUERIES, REFERENCES, TRAINING = 40, 90, 120


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Forty queries, thirty of them copies of references, some hard to find."""
    folder = tmp_path_factory.mktemp("disc")
    random = np.random.default_rng(0)
    references, training = unit_rows(REFERENCES, 1), unit_rows(TRAINING, 2)
    noise = np.linspace(0.02, 0.5, QUERIES)[:, None] * random.normal(size=(QUERIES, DIMENSIONS))
    queries = unit(references[:QUERIES] + noise)
    queries[30:] = unit_rows(10, 3)
    matches = [(f"Q{i:05d}", f"R{i:06d}") for i in range(30)]
    names = [f"R{i:06d}.jpg" for i in range(REFERENCES)]
    shuffled = random.permutation(REFERENCES)
    save_vectors(folder / "val_ref", {names[i]: references[i] for i in shuffled})
    save_vectors(folder / "val_query", {f"Q{i:05d}.jpg": queries[i] for i in range(QUERIES)})
    save_vectors(folder / "training", {f"T{i:06d}.jpg": training[i] for i in range(TRAINING)})
    lines = ["query_id,reference_id", *(f"{q},{r}" for q, r in matches), "Q00035,"]
    (folder / "val_groundtruth_matches.csv").write_text("\n".join(lines) + "\n")
    return {
        "folder": folder,
        "queries": queries,
        "references": references,
        "training": training,
        "matches": set(matches),
    }


Predictions = list[tuple[str, str, float]]


def predicted(
    benchmark: dict[str, Any], codec: str, norm: str, k: int, overall: bool
) -> Predictions:
    """Score every pair; keep the k best of each query, or as many overall."""
    training, queries, references = projected(
        codec, benchmark["training"], benchmark["queries"], benchmark["references"]
    )
    scores = queries.astype(np.float64) @ references.T.astype(np.float64)
    if norm != "None":
        parsed = ScoreNorm.parse(norm)
        near = -np.sort(-(queries @ training.T), axis=1)
        mean = near[:, parsed.first : parsed.last + 1].mean(axis=1, keepdims=True)
        scores -= parsed.weight * mean
    pairs = [
        (f"Q{q:05d}", f"R{r:06d}", float(scores[q, r]))
        for q in range(QUERIES)
        for r in (range(REFERENCES) if overall else np.argsort(-scores[q])[:k])
    ]
    return sorted(pairs, key=lambda pair: -pair[2])[: k * QUERIES]


def judged(predictions: Predictions, matches: set[tuple[str, str]]) -> list[float]:
    """µAP, accuracy@1 and recall at 90 % precision, counted down the list."""
    found, area, best = 0, 0.0, 0.0
    for seen, (query, reference, _) in enumerate(predictions, 1):
        if (query, reference) in matches:
            found += 1
            area += found / seen / len(matches)
        if found / seen >= 0.9:
            best = max(best, found / len(matches))
    first = {}
    for query, reference, _ in predictions:
        first.setdefault(query, reference)
    accuracy = sum((item in matches) for item in first.items()) / len(matches)
    return [area, accuracy, best]


CODECS = ("Flat", "PCAW16,L2norm,Flat", "PCA16,L2norm,Flat", "PCAW9,L2norm,Flat")
NORMS = ("1.00[0,2]", "0.50[1,1]")


@pytest.mark.parametrize("overall", [False, True])
@pytest.mark.parametrize("k", [1, 7])
def test_every_row_is_what_its_definition_gives(
    sscd: Run, benchmark: dict[str, Any], k: int, overall: bool
) -> None:
    words = ["--codecs", ";".join(CODECS), "--score-norm", "1.0[0,2];0.5[1]", "-k", str(k)]
    ran = sscd(
        "eval",
        "disc",
        benchmark["folder"],
        *words,
        "-f",
        "csv",
        *(["--global-candidates"] if overall else []),
    )
    assert ran.status == 0, ran.err
    rows = list(csv.reader(io.StringIO(ran.out.decode())))[1:]
    assert [row[:2] for row in rows] == [[c, n] for n in ("None", *NORMS) for c in CODECS]
    for codec, norm, *figures in rows:
        wanted = judged(predicted(benchmark, codec, norm, k, overall), benchmark["matches"])
        assert [float(figure) for figure in figures] == pytest.approx(wanted, abs=1e-9)
        assert 0.1 < wanted[0] < 1


def test_the_file_has_the_form_of_the_references(
    sscd: Run, benchmark: dict[str, Any], tmp_path: Path
) -> None:
    """As `docs/Evaluation.md` of the reference shows it, written by pandas."""
    ran = sscd("eval", "disc", benchmark["folder"], "-f", "csv", "-o", "disc_metrics.csv")
    assert (ran.status, ran.out) == (0, b"")
    number = r"(?:0\.\d+|1\.0)"
    lines = [
        "codec,score_norm,uAP,accuracy-at-1,recall-at-p90",
        rf"Flat,None,{number},{number},{number}",
        rf'"PCAW16,L2norm,Flat",None,{number},{number},{number}',
        rf'Flat,"1\.00\[0,2\]",{number},{number},{number}',
        rf'"PCAW16,L2norm,Flat","1\.00\[0,2\]",{number},{number},{number}',
    ]
    assert re.fullmatch("\n".join(lines) + "\n", (tmp_path / "disc_metrics.csv").read_text())
    ran = sscd("eval", "disc", benchmark["folder"], "-f", "csv", "--metadata", "a, b")
    head, *rows = ran.out.decode().splitlines()
    assert head == f"{lines[0]},metadata"
    assert [row.endswith(',"a, b"') for row in rows] == [True] * 4


def test_json_and_text_tell_the_same_figures(sscd: Run, benchmark: dict[str, Any]) -> None:
    words = ("eval", "disc", benchmark["folder"])
    told = json.loads(sscd(*words, "-f", "json").out)
    counts = (told["queries"], told["references"], told["training"], told["positives"])
    assert counts == (QUERIES, REFERENCES, TRAINING, 30)
    assert (told["model"], told["absent"], told["unreadable"]) == ("drawn", 0, 0)
    lines = sscd(*words).lines
    assert lines[0] == "drawn: 40 queries, 90 references, 120 training images, 30 matches"
    for line, row in zip(lines[2:6], told["rows"], strict=True):
        shown = [f"{row['figures'][name]:.4f}" for name in row["figures"]]
        assert line.split() == [row["codec"], row["score_norm"].lower(), *shown]


def test_a_perfect_list_of_the_challenges_4991_matches_scores_1_and_half_of_it_one_half() -> None:
    """The first half of the ISC2021 ground truth has 4,991 matches."""
    random = np.random.default_rng(1)
    query, reference = random.permutation(25_000)[:4991], random.permutation(1_000_000)[:4991]
    truth = Truth(query, reference, 4991)
    score = random.random(4991)
    order = random.permutation(4991)
    perfect = judge(query[order], reference[order], score, truth)
    figures = dataclasses.astuple(perfect)
    assert figures == pytest.approx((1.0, 1.0, 1.0, score.min()), abs=1e-12)
    half = judge(query[order[::2]], reference[order[::2]], score[::2], truth)
    assert half.micro_ap == half.recall_at_p90 == pytest.approx(2496 / 4991, abs=1e-12)
    wrong = judge(query, np.roll(reference, 1), score, truth)
    assert (wrong.micro_ap, wrong.accuracy_at_1, wrong.threshold) == (0, 0, None)


def test_one_search_serves_every_score_normalisation(benchmark: dict[str, Any]) -> None:
    norms = [ScoreNorm.parse(text) for text in ("1.0[0,2]", "0.3[4,9]", "2[1]")]
    queries, training = benchmark["queries"], benchmark["training"]
    for norm, offset in zip(norms, _offsets(queries, training, norms), strict=True):
        assert offset == pytest.approx(-norm.bias(queries, training), abs=1e-6)


def test_a_set_without_training_images_serves_what_learns_nothing(
    sscd: Run, benchmark: dict[str, Any], tmp_path: Path
) -> None:
    words = ("eval", "disc", benchmark["folder"], "--training", tmp_path / "none")
    ran = sscd(*words, "--codecs", "Flat", "--score-norm", "", "-f", "csv")
    assert (ran.status, len(ran.lines)) == (0, 2)
    for option in (("--codecs", "Flat"), ("--score-norm", "")):
        ran = sscd(*words, *option)
        assert error_line(ran) == (
            f"there is no {tmp_path / 'none'}; "
            "name it with --training, or the folder of the benchmark as PATH"
        )


def test_a_training_set_of_which_nothing_is_readable_normalises_nothing(
    sscd: Run, benchmark: dict[str, Any], tmp_path: Path
) -> None:
    save_vectors(tmp_path / "torn", {"torn.jpg": "truncated"}, dimensions=16)
    words = ("eval", "disc", benchmark["folder"], "--training", tmp_path / "torn")
    assert error_line(sscd(*words, "--codecs", "Flat")) == (
        f"nothing of {tmp_path / 'torn'} can be read: 1 image; "
        "run sscd embed on images, or name another dataset"
    )


def test_a_match_whose_image_is_not_there_counts_as_missed(
    sscd: Run, benchmark: dict[str, Any], tmp_path: Path
) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_text("Q00000,R000000\nQ00001,R000001\nQ99999,R000002\nQ00002,R999999\n")
    words = ("eval", "disc", benchmark["folder"], "--truth", truth, "--score-norm", "")
    ran = sscd(*words, "--codecs", "Flat", "-f", "json")
    figures = json.loads(ran.out)["rows"][0]["figures"]
    assert figures["accuracy_at_1"] == figures["recall_at_p90"] == 0.5
    assert ran.err == (
        "sscd: warning: counted as missed, for an image is not there: 2 of 4 matches\n"
    )


def test_images_are_embedded_once_and_torn_ones_left_out(tiny: Run, tmp_path: Path) -> None:
    for seed in range(6):
        picture(tmp_path / "disc" / "val_ref" / f"R{seed:06d}.png", seed)
    for seed in range(3):
        picture(tmp_path / "disc" / "val_query" / f"Q{seed:05d}.png", seed)
    (tmp_path / "disc" / "val_query" / "Q00007.png").write_bytes(b"torn")
    (tmp_path / "disc" / "val_groundtruth_matches.csv").write_text(
        "".join(f"Q{seed:05d},R{seed:06d}\n" for seed in range(3))
    )
    words = ("eval", "disc", "disc", "--codecs", "Flat", "--score-norm", "", "-d", "mine")
    first = tiny(*words, "-f", "csv")
    assert first.lines[1] == "Flat,None,1.0,1.0,1.0"
    assert first.err == "sscd: warning: left out 1 unreadable image\n"
    shards = {path: path.stat().st_mtime_ns for path in tmp_path.glob("mine/*/*.parquet")}
    assert {path.parent.name for path in shards} == {"disc-queries", "disc-references"}
    assert tiny(*words, "-f", "csv").out == first.out
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("mine/*/*.parquet")} == shards


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-f", "xml"], "unknown format 'xml'; use one of text, json, csv"),
        (["-k", "0"], "-k 0 is too small; use 1 to 1,048,576"),
        (
            ["--codecs", "Flat;OPQ4,PQ4"],
            "--codecs 'OPQ4,PQ4' is unknown; "
            "use Flat, PCAW<D>,L2norm,Flat or PCA<D>,L2norm,Flat, with ';' between several",
        ),
        (
            ["--codecs", "PCAW17,L2norm,Flat"],
            "--codecs PCAW17,L2norm,Flat asks for more than 16 dimensions; "
            "ask for as many or fewer",
        ),
        (
            ["--score-norm", "1.0"],
            "--score-norm '1.0' is no score normalisation; "
            "write WEIGHT[FIRST,LAST], such as 1.0[0,2] for the three nearest neighbours",
        ),
        (
            ["--score-norm", "1.0[0,120]"],
            "score normalisation needs 121 training images, and there are 120; "
            "give more, or --score-norm ''",
        ),
        (
            ["--truth", "no.csv"],
            "cannot read the ground truth FOLDER/no.csv: No such file or directory; "
            "name a CSV file with --truth",
        ),
        (
            ["--queries", "val_ref", "--references", "val_query"],
            "the ground truth names none of the images, such as Q00000 and R000000; "
            "give the folders and the ground truth of one benchmark",
        ),
    ],
)
def test_what_cannot_be_run_is_one_line(
    sscd: Run, benchmark: dict[str, Any], words: list[str], message: str
) -> None:
    ran = sscd("eval", "disc", benchmark["folder"], *words)
    assert ran.status in (2, 3)
    assert error_line(ran) == message.replace("FOLDER", str(benchmark["folder"]))


def test_descriptors_of_two_models_are_refused(
    sscd: Run, benchmark: dict[str, Any], tmp_path: Path
) -> None:
    save_vectors(tmp_path / "other", {"R000000.jpg": unit_rows(1, 1)[0]}, weights="1" * 64)
    ran = sscd("eval", "disc", benchmark["folder"], "--references", tmp_path / "other")
    assert "cannot be compared: drawn (weights 000000000000) against" in error_line(ran)


def test_a_training_set_too_small_to_whiten_is_refused_before_the_search(
    sscd: Run, benchmark: dict[str, Any], tmp_path: Path
) -> None:
    save_vectors(tmp_path / "few", {f"T{i}.jpg": row for i, row in enumerate(unit_rows(9, 1))})
    ran = sscd("eval", "disc", benchmark["folder"], "--training", tmp_path / "few")
    assert (ran.status, ran.out) == (3, b"")
    assert error_line(ran) == (
        "PCAW16,L2norm,Flat: the sample is too small or too alike: 9 images vary in 8 dimensions, "
        "and whiten needs 16; give a larger training set, or use --codecs Flat"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Q1,R1,R2\n", "line 1 of TRUTH is no pair of a query and a reference"),
        ("query_id,reference_id\n\n,R1\n", "line 3 of TRUTH is no pair of a query and a reference"),
        ('Q1,"R\n1"\nQ1,R1,R2\n', "line 3 of TRUTH is no pair of a query and a reference"),
        ("query_id,reference_id\nQ1,\n", "TRUTH names no match"),
        ("", "TRUTH names no match"),
    ],
)
def test_a_ground_truth_that_is_none_names_its_line(
    sscd: Run, benchmark: dict[str, Any], tmp_path: Path, text: str, message: str
) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_text(text)
    ran = sscd("eval", "disc", benchmark["folder"], "--truth", truth)
    assert error_line(ran).startswith(message.replace("TRUTH", str(truth)))


def test_two_images_of_one_name_are_refused(
    sscd: Run, benchmark: dict[str, Any], tmp_path: Path
) -> None:
    rows = unit_rows(2, 1)
    save_vectors(tmp_path / "twice", {"a/R000000.jpg": rows[0], "b/R000000.png": rows[1]})
    ran = sscd("eval", "disc", benchmark["folder"], "--references", tmp_path / "twice")
    assert error_line(ran) == (
        f"{tmp_path / 'twice'} holds two images named R000000; leave one of them out"
    )
