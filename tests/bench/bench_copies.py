"""How many copies of photographs are found: the bundled network and others beside PDQ and pHash.

    python tests/bench/bench_copies.py FOLDER [--model M...] [--exclude NAME...]
        [--distractors SOURCE]

Copies of every photograph in FOLDER by every edit of `sscd eval self`, the same for each method,
are searched among the photographs (and the distractors). Prints Markdown. Needs the group
`bench`: pip install --group bench.
"""

from __future__ import annotations

import argparse
import io
import shlex
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import pdqhash
from bench_header import header
from PIL import Image

from sscd_cli.edits.named import EDITS
from sscd_cli.evaluation.copies_report import CopiesReport, EditScore, Floats
from sscd_cli.evaluation.metrics import micro_average_precision
from sscd_cli.evaluation.self_copies import Embed, evaluate_copies

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


class Photos(Sequence[Image.Image]):
    """The photographs of a folder or an uncompressed tar file, read when asked for."""

    def __init__(self, source: Path, limit: int | None = None, exclude: Sequence[str] = ()) -> None:
        self.tar = None if source.is_dir() else tarfile.open(source)  # noqa: SIM115
        names = [m.name for m in self.tar] if self.tar else map(str, source.rglob("*"))
        wanted = (n for n in names if Path(n).suffix.lower() in SUFFIXES)
        self.names = sorted(n for n in wanted if Path(n).name not in exclude)[:limit]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: Any) -> Any:
        stream = self.tar.extractfile(self.names[index]) if self.tar else None
        data = stream.read() if stream else Path(self.names[index]).read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            return image.convert("RGB")


class Timed:
    """An embedding that knows how long it took."""

    def __init__(self, embed: Embed) -> None:
        self.embed, self.seconds, self.images = embed, 0.0, 0

    def __call__(self, images: Sequence[Image.Image]) -> Floats:
        start = time.perf_counter()
        vectors = self.embed(images)
        self.seconds += time.perf_counter() - start
        self.images += len(images)
        return vectors


def as_vectors(hash_one: Callable[[Image.Image], np.ndarray]) -> Embed:
    """Turn a hash of bits into unit vectors: cosine 1 - 2·(bits that differ)/(bits)."""

    def embed(images: Sequence[Image.Image]) -> Floats:
        bits = np.stack([hash_one(image).ravel() for image in images]).astype(np.float32)
        return (2 * bits - 1) / np.float32(np.sqrt(bits.shape[1]))

    return embed


def methods(models: Sequence[str]) -> tuple[dict[str, Timed], list[str]]:
    """Return what is compared, by name, the networks first, and what each of these is."""
    hashes = {
        "PDQ": Timed(as_vectors(lambda image: pdqhash.compute(np.asarray(image))[0])),
        "pHash": Timed(as_vectors(lambda image: imagehash.phash(image, hash_size=8).hash)),
    }
    from sscd_cli.models.load import load_model

    networks = [load_model(model, device="cpu") for model in models]
    stories = [
        f"{spec.name}: {spec.trunk}, {spec.dimensions} dimensions, {spec.recipe.name}, "
        f"{network.runtime.precision}, sha256 {spec.weights_sha256[:16]}"
        for network in networks
        for spec in [network.spec]
    ]
    return {network.spec.name: Timed(network.embed) for network in networks} | hashes, stories


def metadata(originals: Photos, networks: list[str], report: CopiesReport) -> Iterator[str]:
    yield header(("torch", "numpy", "pillow", "pdqhash", "imagehash"))
    yield from networks
    yield f"`python {shlex.join(sys.argv)}`"
    yield (
        f"{len(originals)} photographs, {report.references - len(originals)} distractors, "
        f"{len(report.edits)} edits: {len(report.scores)} copies. Recall at each method's own "
        f"threshold of {report.precision:.0%} precision; * marks the mild edits."
    )


def table(reports: dict[str, CopiesReport], timed: dict[str, Timed]) -> Iterator[str]:
    yield "| edit | " + " | ".join(reports) + " |"
    yield "|---|" + "---:|" * len(reports)
    for rows in zip(*(report.rows for report in reports.values()), strict=True):
        yield line(label(rows[0]), [f"{row.recall:.3f}" for row in rows])
    each = reports.values()
    yield line("**recall, all**", [f"**{r.recall:.3f}**" for r in each])
    yield line("**µAP, all**", [f"**{r.micro_ap:.3f}**" for r in each])
    yield line("accuracy@1, all", [f"{r.total.accuracy_at_1:.3f}" for r in each])
    yield line("threshold (cosine)", [f"{r.threshold:.3f}" for r in each])
    pairs = [f"{r.false_pairs_per_1000(r.threshold):.1f}" for r in each]
    yield line("false pairs per 1,000 photographs", pairs)
    speeds = [f"{1000 * t.seconds / t.images:.1f}" for t in timed.values()]
    yield line("ms from decoded image to descriptor", speeds)


def micro_ap_table(reports: dict[str, CopiesReport]) -> Iterator[str]:
    yield "| µAP | " + " | ".join(reports) + " |"
    yield "|---|" + "---:|" * len(reports)
    for rows in zip(*(report.by_name for report in reports.values()), strict=True):
        yield line(label(rows[0]), [f"{row.micro_ap:.3f}" for row in rows])


def line(name: str, cells: Sequence[str]) -> str:
    return f"| {name} | " + " | ".join(cells) + " |"


def label(row: EditScore) -> str:
    return f"{row.edit} {row.strength}".strip() + (" *" if row.mild else "")


def headline(network: CopiesReport, pdq: CopiesReport) -> Iterator[str]:
    """Yield the three ratios that the bundled network is to reach, each with its aim."""
    cut = 1 - (1 - network.micro_ap) / (1 - pdq.micro_ap)
    yield f"- Of what PDQ leaves undone (1 - µAP) {cut:.1%} is done (aim: 66.7 %)."
    hard = [place for place, row in enumerate(pdq.rows) if row.recall < 0.5]
    if hard:
        mine, theirs = micro_ap_over(hard, network), micro_ap_over(hard, pdq)
        yield (
            f"- Over the {len(hard)} edits of which PDQ finds fewer than half, µAP {mine:.3f} "
            f"against {theirs:.3f}: {mine / theirs:.1f} times (aim: 3)."
        )
    worst = min((row for row in network.rows if row.mild), key=lambda row: row.recall)
    yield f"- Lowest recall over mild edits: {worst.recall:.3f}, {label(worst)} (aim: 0.98)."


def micro_ap_over(places: Sequence[int], report: CopiesReport) -> float:
    """Return µAP over the copies that some of the edits made."""
    made = np.isin(report.edit_of, places)
    scores, is_match = report.scores[made], report.is_match[made]
    real = np.isfinite(scores)
    return micro_average_precision(scores[real], is_match[real], len(scores))


def show_progress(total: int) -> Callable[[int], None]:
    done, start = 0, time.monotonic()

    def advance(images: int) -> None:
        nonlocal done
        done += images
        left = (time.monotonic() - start) * (total - done) / done
        if sys.stderr.isatty():
            print(f"\r{done}/{total} images, {left:.0f} s left ", end="", file=sys.stderr)

    return advance


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", nargs="+", default=["sscd_mini"], help="registry names or files")
    parser.add_argument("--hashes-only", action="store_true", help="the baselines alone")
    parser.add_argument("--limit", type=int, help="the first photographs only")
    parser.add_argument(
        "--exclude", nargs="*", default=(), metavar="NAME", help="such as duplicates of others"
    )
    parser.add_argument("--distractors", type=Path, help="folder or tar of other photographs")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    options = arguments()

    originals = Photos(options.folder, options.limit, options.exclude)
    distractors = Photos(options.distractors) if options.distractors else ()
    timed, networks = methods(() if options.hashes_only else options.model)
    total = len(originals) * (1 + len(EDITS)) + len(distractors)
    how = {"seed": options.seed, "progress": show_progress(total * len(timed))}
    reports = {
        name: evaluate_copies(way, originals, distractors, **how) for name, way in timed.items()
    }
    first = next(iter(reports.values()))
    blocks = [metadata(originals, networks, first), table(reports, timed), micro_ap_table(reports)]
    if not options.hashes_only:
        blocks.append(headline(first, reports["PDQ"]))
    print("\n\n".join("\n".join(block) for block in blocks))


if __name__ == "__main__":
    main()
