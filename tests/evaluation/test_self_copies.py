"""The evaluation of self-made copies against a search done pair by pair."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from sscd_cli.edits.named import Edit, named
from sscd_cli.evaluation.copies_report import CopiesReport, Floats
from sscd_cli.evaluation.metrics import micro_average_precision
from sscd_cli.evaluation.self_copies import Embed, evaluate_copies

COPIES = (
    named("crop", "50 % of area"),
    named("flip", "left-right"),
    named("picture in picture", "50 % of area"),
    named("jpeg", "quality 10"),
    named("jpeg", "quality 60"),
)


def photographs(count: int, first: int = 0) -> list[Image.Image]:
    def photograph(seed: int) -> Image.Image:
        coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3)).astype(np.uint8)
        return Image.fromarray(coarse).resize((48, 48), Image.Resampling.BICUBIC)

    return [photograph(first + index) for index in range(count)]


def thumbnails(images: Sequence[Image.Image], side: int = 6) -> Floats:
    small = [np.asarray(image.convert("L").resize((side, side)), np.float32) for image in images]
    flat = np.stack(small).reshape(len(images), -1)
    flat -= flat.mean(axis=1, keepdims=True)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)


def bits(images: Sequence[Image.Image]) -> Floats:
    """A hash of 16 bits as a vector: many similarities are exactly equal."""
    return np.where(thumbnails(images, 4) > 0, 0.25, -0.25).astype(np.float32)


def identity(name: str = "same", strength: str = "", mild: bool = True) -> Edit:
    return Edit(name, strength, mild, lambda image, rng, other: image)


class Watch:
    """An embedding that remembers how many images it was given at a time."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, images: Sequence[Image.Image]) -> Floats:
        self.batches.append(len(images))
        return thumbnails(images)


def searched_one_by_one(
    query: Floats, references: Floats, original: int, borrowed: int | None, keep: int
) -> list[tuple[float, bool]]:
    """All references but the borrowed one, sorted, the original last among equals."""
    answers = [
        (float(query @ reference), index == original)
        for index, reference in enumerate(references)
        if index != borrowed
    ]
    return sorted(answers, key=lambda a: (-a[0], a[1]))[:keep]


def answers(report: CopiesReport, row: int) -> list[tuple[float, bool]]:
    return [
        (float(score), bool(match))
        for score, match in zip(report.scores[row], report.is_match[row], strict=True)
        if math.isfinite(score)
    ]


@pytest.mark.parametrize("embed", [thumbnails, bits])
@pytest.mark.parametrize("keep", [1, 3, 10, 100])
def test_every_query_keeps_what_a_search_pair_by_pair_finds(embed: Embed, keep: int) -> None:
    originals, distractors = photographs(6), photographs(9, first=50)
    lent: dict[tuple[int, int], int] = {}

    def spy(place: int, edit: Edit) -> Edit:
        def apply(image: Image.Image, rng: random.Random, other: Image.Image) -> Image.Image:
            lent[place, originals.index(image)] = originals.index(other)
            copy = edit.apply(image, rng, other)
            made.append((place, originals.index(image), copy))
            return copy

        return Edit(edit.name, edit.strength, edit.mild, apply, edit.borrows)

    made: list[tuple[int, int, Image.Image]] = []
    spies = tuple(spy(place, edit) for place, edit in enumerate(COPIES))
    report = evaluate_copies(embed, originals, distractors, edits=spies, keep=keep)
    references = embed(originals + distractors)
    assert report.references == 15
    assert len(made) == len(report.scores) == 30
    for row, (place, original, copy) in enumerate(made):
        borrowed = lent[place, original] if COPIES[place].borrows else None
        assert borrowed != original
        wanted = searched_one_by_one(embed([copy])[0], references, original, borrowed, keep)
        got = answers(report, row)
        assert report.edit_of[row] == place
        assert [match for _, match in got] == [match for _, match in wanted]
        assert [s for s, _ in got] == pytest.approx([s for s, _ in wanted], abs=1e-6)


def test_figures_follow_from_the_scores() -> None:
    report = evaluate_copies(thumbnails, photographs(12), edits=COPIES)
    pool = [pair for row in range(len(report.scores)) for pair in answers(report, row)]
    accepted = [match for score, match in pool if score >= report.threshold]
    assert sum(accepted) / len(accepted) >= 0.9
    assert report.recall == sum(accepted) / 60 == report.recall_at(report.threshold)
    assert report.total.recall == report.recall
    assert sum(row.recall * row.copies for row in report.rows) == pytest.approx(report.recall * 60)
    assert report.micro_ap == micro_average_precision(*zip(*pool, strict=True), 60)
    assert report.micro_ap == report.total.micro_ap
    for place, row in enumerate(report.rows):
        mine = [answers(report, i) for i in np.flatnonzero(report.edit_of == place)]
        assert row.copies == len(mine) == 12
        assert row.accuracy_at_1 == sum(a[0][1] for a in mine) / 12
        assert row.recall == sum(m and s >= report.threshold for a in mine for s, m in a) / 12
        pooled = [pair for one in mine for pair in one]
        assert row.micro_ap == micro_average_precision(*zip(*pooled, strict=True), 12)


def test_strengths_of_one_name_are_pooled() -> None:
    report = evaluate_copies(thumbnails, photographs(12), edits=COPIES)
    names = [row.edit for row in report.by_name]
    assert names == ["crop", "flip", "picture in picture", "jpeg"]
    jpeg = report.by_name[-1]
    assert (jpeg.copies, jpeg.strength, jpeg.mild) == (24, "", True)
    assert jpeg.recall == (report.rows[-1].recall + report.rows[-2].recall) / 2


def test_unchanged_copies_are_all_found() -> None:
    report = evaluate_copies(thumbnails, photographs(8), edits=[identity()])
    assert report.micro_ap == report.recall == report.rows[0].accuracy_at_1 == 1
    assert report.threshold == pytest.approx(1, abs=1e-5)


def test_a_detector_that_calls_everything_the_same_finds_nothing() -> None:
    def constant(images: Sequence[Image.Image]) -> Floats:
        return np.full((len(images), 4), 0.5, np.float32)

    report = evaluate_copies(constant, photographs(20), edits=[identity()])
    assert (report.micro_ap, report.recall, report.threshold) == (0, 0, math.inf)
    assert report.rows[0].accuracy_at_1 == report.rows[0].recall == 0


def test_a_copy_does_not_depend_on_what_else_is_made() -> None:
    all_of_them = evaluate_copies(thumbnails, photographs(5), edits=COPIES, seed=4)
    alone = evaluate_copies(thumbnails, photographs(5), edits=COPIES[:1], seed=4)
    assert np.allclose(all_of_them.scores[all_of_them.edit_of == 0], alone.scores, atol=1e-6)


def test_the_seed_decides() -> None:
    def scores(seed: int) -> Floats:
        return evaluate_copies(thumbnails, photographs(5), edits=COPIES, seed=seed).scores

    assert np.array_equal(scores(1), scores(1))
    assert not np.array_equal(scores(1), scores(2))


def test_distractors_only_make_it_harder() -> None:
    originals = photographs(10)
    alone = evaluate_copies(thumbnails, originals, edits=COPIES)
    among = evaluate_copies(thumbnails, originals, photographs(200, first=50), edits=COPIES)
    assert among.micro_ap < alone.micro_ap
    assert among.references == 210
    assert np.array_equal(among.originals, alone.originals)


def test_few_images_are_in_memory_at_a_time() -> None:
    watch, told = Watch(), []
    evaluate_copies(watch, photographs(90), edits=COPIES[:2], progress=told.append)
    assert max(watch.batches) <= 8
    assert sum(told) == sum(watch.batches) == 90 * 3


def test_copies_made_on_several_cores_score_the_same() -> None:
    arguments = thumbnails, photographs(12), photographs(5, first=50)
    told: list[int] = []
    alone = evaluate_copies(*arguments, edits=COPIES)
    with ThreadPoolExecutor(3) as pool:
        shared = evaluate_copies(*arguments, edits=COPIES, each=pool.map, progress=told.append)
    assert np.array_equal(shared.scores, alone.scores)
    assert np.array_equal(shared.is_match, alone.is_match)
    assert sum(told) == 12 * (1 + len(COPIES)) + 5


def test_false_pairs_are_counted_for_a_thousand_photographs() -> None:
    originals = photographs(30)
    report = evaluate_copies(bits, originals, edits=[identity()])
    vectors = bits(originals)
    for threshold in (0.0, 0.25, 0.5, 1.0):
        pairs = sum(
            float(vectors[i] @ vectors[j]) >= threshold for j in range(30) for i in range(j)
        )
        assert report.false_pairs_per_1000(threshold) == pytest.approx(pairs * 1000 / 30)


def test_false_pairs_are_the_same_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    report = evaluate_copies(bits, photographs(30), edits=[identity()])
    whole = report.false_pairs_per_1000(0.25)
    monkeypatch.setattr("sscd_cli.evaluation.copies_report._ROWS_AT_ONCE", 7)
    assert report.false_pairs_per_1000(0.25) == whole > 0


@pytest.mark.parametrize(
    ("count", "edits", "keep", "reason"),
    [(1, COPIES, 10, "1 originals"), (3, (), 10, "0 edits"), (3, COPIES, 0, "keep 0")],
)
def test_too_little_to_evaluate_is_refused(
    count: int, edits: tuple[Edit, ...], keep: int, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        evaluate_copies(thumbnails, photographs(count), edits=edits, keep=keep)


@pytest.mark.parametrize(
    ("vectors", "reason"),
    [
        (np.ones((3, 4), np.float32), "lengths 2 to 2"),
        (np.full((3, 4), np.nan, np.float32), "no unit vectors"),
        (np.ones((2, 1), np.float32), r"3 images became an array \(2, 1\)"),
    ],
)
def test_an_embedding_that_returns_no_unit_vectors_is_refused(vectors: Floats, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        evaluate_copies(lambda images: vectors, photographs(3), edits=COPIES)


def test_a_bias_lowers_every_score_of_its_query_and_every_pair_by_both_means() -> None:
    def bias(rows: Floats) -> Floats:
        return np.abs(rows[:, 0])

    originals = photographs(8)
    plain = evaluate_copies(thumbnails, originals, edits=COPIES)
    report = evaluate_copies(thumbnails, originals, edits=COPIES, bias=bias)
    draw = random.Random("0/0")
    other = originals[(0 + draw.randrange(1, 8)) % 8]
    for row, edit in enumerate(COPIES):  # the copies of the first original come first
        rng = random.Random(f"0/0/{edit.name}/{edit.strength}")
        copy = thumbnails([edit.apply(originals[0], rng, other)])
        wanted = plain.scores[row] - np.abs(copy[0, 0])
        assert report.scores[row] == pytest.approx(wanted, abs=1e-6)
    assert (report.is_match == plain.is_match).all()
    rows = thumbnails(originals)
    pairs = [
        float(rows[i] @ rows[j]) - (abs(rows[i, 0]) + abs(rows[j, 0])) / 2
        for i in range(8)
        for j in range(i + 1, 8)
    ]
    cut = float(np.median(pairs)) + 1e-4
    expected = 1000 * sum(pair >= cut for pair in pairs) / 8
    assert report.false_pairs_per_1000(cut) == pytest.approx(expected)
    assert plain.false_pairs_per_1000(cut) != pytest.approx(expected)
