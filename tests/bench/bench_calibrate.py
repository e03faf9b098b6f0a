"""Is the precision that `sscd calibrate` promises kept on other images of the same kind?

    python tests/bench/bench_calibrate.py SOURCE... [--exclude NAME...] [--splits 20] [--copies 0.1]

Copies of every image by every edit of `sscd eval self` are embedded once. Then the images are
split into halves, many times, at random. A share of each half gets a copy that nobody marks, by
any of the edits. The first half is calibrated as the command does it, the number of copies being
estimated; at the threshold found, the second half is measured in two ways: `pairs` counts the
right ones among its pairs, with its own few copies; `precision` weighs the wrong pairs among its
originals with the recall of all copies of its images, at the share of copies that was planted.
Prints Markdown: how often either lies in the interval promised from the first half.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sscd_cli.commands.evaluate.self_copies import LazyImages
from sscd_cli.edits.named import EDITS
from sscd_cli.evaluation.calibration import Assumed, Calibration, Similarities, calibrate
from sscd_cli.evaluation.self_copies import copy_similarities
from sscd_cli.images.sources import iter_images
from sscd_cli.machines.hardware import keep_large_allocations
from sscd_cli.models.load import load_model

WANTED = (0.8, 0.9, 0.95, 0.99)
SAMPLE = 100  # images of which copies are made, as the command does
KEPT = ("precision kept", "pairs kept", "recall kept")

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Embedded:
    """originals (N, D), their copies (N, E, D) and the similarity of each to its original."""

    originals: Floats
    copies: Floats
    similarity: Floats

    def half(self, rows: NDArray[np.int64], copied: NDArray[np.int64], seed: int) -> Half:
        edits = np.random.default_rng(seed).integers(0, len(EDITS), len(copied))
        descriptors = np.concatenate([self.originals[rows], self.copies[copied, edits]])
        owner = np.concatenate([rows, copied])
        left, right = np.triu_indices(len(descriptors), 1)
        similarity = (descriptors @ descriptors.T)[left, right]
        return Half(rows, left, right, similarity, owner[left] == owner[right])


@dataclass(frozen=True)
class Half:
    """Some images (by their rows) and a few copies: all pairs, and which of them are copies."""

    rows: NDArray[np.int64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    similarity: Floats
    is_copy: NDArray[np.bool_]


def embed(sources: Sequence[str], exclude: Sequence[str], model_name: str) -> Embedded:
    keep_large_allocations()
    model = load_model(model_name)
    refs = [r for r in iter_images(sources) if Path(r.id).name not in exclude]
    images = LazyImages(refs)
    originals = np.concatenate([model.embed([image]) for image in images])
    copies: list[Floats] = []

    def remember(batch: Sequence[object]) -> Floats:
        copies.append(model.embed(batch))  # type: ignore[arg-type]
        return copies[-1]

    similarity = copy_similarities(remember, images, originals)
    return Embedded(
        originals, np.concatenate(copies).reshape(len(refs), len(EDITS), -1), similarity
    )


@dataclass
class Score:
    """What became of the promises of one wanted precision."""

    thresholds: list[float]
    pairs: list[bool]
    precision: list[bool]
    recall: list[bool]
    measured: list[float]
    widths: list[float]
    none: int = 0

    @classmethod
    def empty(cls) -> Score:
        return cls([], [], [], [], [], [])

    def add(self, found: Calibration, half: Half, data: Embedded, share: float) -> None:
        if found.place is None:
            self.none += 1
            return
        threshold = float(found.curve.threshold[found.place])
        precision, recall = found.curve.at(found.place)
        reported = half.similarity >= threshold
        right = int((reported & half.is_copy).sum())
        pairs = right / reported.sum() if reported.any() else 1.0
        true_recall = float((data.similarity[half.rows] >= threshold).mean())
        originals = half.right < len(half.rows)
        wrong = int((reported & originals & ~half.is_copy).sum())
        copies = share * len(half.rows) * true_recall
        measured = copies / (copies + wrong)
        self.thresholds.append(threshold)
        self.pairs.append(bool(precision.low <= pairs <= precision.high))
        self.precision.append(bool(precision.low <= measured <= precision.high))
        self.recall.append(bool(recall.low <= true_recall <= recall.high))
        self.measured.append(measured)
        self.widths.append(precision.high - precision.low)


def run(data: Embedded, splits: int, share: float) -> dict[float, Score]:
    scores = {wanted: Score.empty() for wanted in WANTED}
    count = len(data.originals)
    for split in range(splits):
        rng = np.random.default_rng(split)
        rows = rng.permutation(count)
        halves = [
            data.half(part, part[rng.random(len(part)) < share], split)
            for part in (rows[: count // 2], rows[count // 2 :])
        ]
        first = halves[0]
        known = Similarities(
            images=int(first.right.max()) + 1,
            pairs=len(first.similarity),
            similarity=first.similarity,
            left=first.left,
            right=first.right,
            copies=data.similarity[first.rows[:SAMPLE]],
            weights=np.ones(len(EDITS)),
        )
        for wanted, score in scores.items():
            found = calibrate(known, wanted, Assumed(), seed=split)
            score.add(found, halves[1], data, share)
    return scores


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--exclude", nargs="*", default=())
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--copies", type=float, default=0.1)
    parser.add_argument("--model", default="sscd_mini")
    options = parser.parse_args()
    data = embed(options.sources, options.exclude, options.model)
    print(
        f"{len(data.originals)} images, {options.splits} splits in halves, {options.copies:g} "
        f"copies an image, {options.model}; {platform.machine()}, {os.cpu_count()} cores, "
        f"{datetime.date.today()}\n"
    )
    columns = (
        "wanted precision",
        "median threshold",
        "mean precision",
        *KEPT,
        "mean width",
        "none",
    )
    print(f"| {' | '.join(columns)} |\n|{'---:|' * len(columns)}")
    for wanted, score in run(data, options.splits, options.copies).items():
        tried = len(score.thresholds)
        if not tried:
            print(f"| {wanted:g} | none in {score.none} splits |")
            continue
        print(
            f"| {wanted:g} | {np.median(score.thresholds):.3f} | {np.mean(score.measured):.3f} "
            f"| {sum(score.precision)} of {tried} | {sum(score.pairs)} of {tried} "
            f"| {sum(score.recall)} of {tried} | {np.mean(score.widths):.2f} | {score.none} |"
        )


if __name__ == "__main__":
    main()
