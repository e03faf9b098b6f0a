"""What post-processing and score normalisation change: `sscd eval self` on several scales at once.

    sscd embed SAMPLE... -d sample
    python tests/bench/bench_post.py FOLDER --sample sample [--exclude NAME...]
        [--distractors SOURCE...]

Copies of every photograph in FOLDER by every edit are embedded once, and searched on every scale.
The sample should be other images than those of FOLDER. Prints Markdown.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shlex
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import sscd_cli
from sscd_cli.commands.evaluate.self_copies import LazyImages
from sscd_cli.descriptors.read import stream_comparable
from sscd_cli.embedding.provenance import provenance_of
from sscd_cli.evaluation.copies_report import CopiesReport
from sscd_cli.evaluation.self_copies import evaluate_copies
from sscd_cli.images.read import hash_bytes
from sscd_cli.images.refs import ImageRef
from sscd_cli.images.sources import iter_images
from sscd_cli.models.load import Model, load_model
from sscd_cli.options.evaluate import EvalSelfOptions
from sscd_cli.scoring.post import PostProcessing
from sscd_cli.scoring.scale import COSINE, Scale
from sscd_cli.scoring.score_norm import ScoreNorm

NORM = ScoreNorm(1.0, 0, 2)


class Once:
    """A model that embeds each image only once, however often it is made again."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._rows: dict[bytes, Any] = {}

    def __call__(self, images: Sequence[Any]) -> Any:
        keys = [hash_bytes(image.tobytes()) for image in images]
        new = [image for key, image in zip(keys, images, strict=True) if key not in self._rows]
        if new:
            fresh = [key for key in keys if key not in self._rows]
            self._rows |= dict(zip(fresh, self._model.embed(new), strict=True))
        return np.stack([self._rows[key] for key in keys])


def scales(sample: Path) -> dict[str, Scale]:
    """Return each scale by its row in the table: as it is, and normalised."""
    dimensions = stream_comparable(sample)[0].dimensions
    found = {"none | ": COSINE}
    wanted = [("none", None), ("center", None)]
    wanted += [(how, kept) for how in ("pca", "whiten") for kept in (dimensions, dimensions // 2)]
    for transform, kept in wanted:
        provenance, blocks = stream_comparable(sample)
        post = PostProcessing.fit(blocks, provenance, transform=transform, dimensions=kept)
        for norm in (None, NORM):
            found[f"{post.name} | {norm or ''}"] = Scale(post, norm)
    for background in (1000, 100):
        provenance, blocks = stream_comparable(sample)
        post = PostProcessing.fit(blocks, provenance, transform="none", background=background)
        found[f"none | {NORM}, background of {background}"] = Scale(post, NORM)
    return found


def photographs(sources: Sequence[str], exclude: Sequence[str]) -> LazyImages:
    refs: list[ImageRef] = list(iter_images(sources))
    return LazyImages([ref for ref in refs if Path(ref.id).name not in exclude])


def scaled(scale: Scale, embed: Once, images: Sequence[Any]) -> Any:
    return scale.apply(embed(images))


def evaluate(options: argparse.Namespace) -> tuple[dict[str, CopiesReport], Model]:
    model = load_model(options.model, device="cpu")
    by_row = scales(options.sample)
    for scale in by_row.values():
        scale.provenance(provenance_of(model, exif=True, dtype="float32"))
    embed = Once(model)
    originals = photographs([options.folder], options.exclude)
    distractors = photographs(options.distractors, ())
    reports = {}
    for row, scale in by_row.items():
        way = partial(scaled, scale, embed)
        reports[row] = evaluate_copies(way, originals, distractors, bias=scale.bias)
    return reports, model


def table(reports: dict[str, CopiesReport]) -> Iterator[str]:
    yield "| post-processing | score normalisation | µAP | recall@P90 | at threshold | accuracy@1 |"
    yield "| --- | --- | ---: | ---: | ---: | ---: |"
    for row, report in reports.items():
        figures = (report.micro_ap, report.recall, report.threshold, report.total.accuracy_at_1)
        yield f"| {row} | " + " | ".join(f"{figure:.3f}" for figure in figures) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder")
    parser.add_argument("--sample", type=Path, required=True, help="descriptors to learn from")
    parser.add_argument("--exclude", nargs="*", default=(), metavar="NAME")
    parser.add_argument("--distractors", nargs="*", default=(), metavar="SOURCE")
    parser.add_argument("--model", default=EvalSelfOptions(sources=()).model)
    options = parser.parse_args()
    reports, model = evaluate(options)
    first = next(iter(reports.values()))
    rows = sum(map(len, stream_comparable(options.sample)[1]))
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
        f"{datetime.date.today()}, sscd {sscd_cli.__version__}; {model.spec.name} in "
        f"{model.runtime.precision}; {len(first.originals):,} photographs, "
        f"{first.references - len(first.originals):,} distractors, {len(first.scores):,} copies; "
        f"sample of {rows:,} images: `python {shlex.join(sys.argv)}`\n"
    )
    print("\n".join(table(reports)))


if __name__ == "__main__":
    main()
