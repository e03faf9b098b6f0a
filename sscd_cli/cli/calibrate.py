"""`sscd calibrate`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Literal

from sscd_cli.choices import MODEL
from sscd_cli.cli import terminal
from sscd_cli.cli.embed import summarise as summarise_embedding
from sscd_cli.cli.models import fetch_if_missing
from sscd_cli.errors import SscdError
from sscd_cli.options.calibrate import CalibrateOptions
from sscd_cli.options.embed import EmbedOptions
from sscd_cli.options.help import Argument, Help
from sscd_cli.text import counted

if TYPE_CHECKING:
    from sscd_cli.commands.calibrate import CalibrateResult
    from sscd_cli.evaluation.calibration import Interval

_EVERY, _LEAST_RECALL = 0.05, 0.0005  # of the lines of the table


def calibrate(
    *,
    sources: Annotated[
        tuple[str, ...],
        Argument(
            "Images, which are embedded first, or a descriptor dataset as with -d.", value="SOURCE"
        ),
    ] = (),
    options: CalibrateOptions,
    format: Annotated[Literal["text", "json"], Help("text or json.", "-f")] = "text",
) -> None:
    """Find the threshold of a wanted precision, from your own images.

    Example: sscd calibrate --wanted-precision 0.99

    Look-alikes are counted among the images themselves; copies are made by fifty edits. What is
    found is used by `sscd dedup --threshold auto`.
    """
    from sscd_cli.commands import calibrate as verb
    from sscd_cli.descriptors.shards import dataset_at

    embedding = None
    if len(sources) == 1 and (folder := dataset_at(sources[0])):
        options = replace(options, descriptors=folder)
    elif sources:
        options = replace(options, model=options.model or MODEL)
        embedding = EmbedOptions(sources=sources, **options.shared_with(EmbedOptions))
        fetch_if_missing(embedding.model)
    result = verb.run(options, embedding)
    if result.embedded:
        summarise_embedding(result.embedded)
    lines = [_json(result)] if format == "json" else _table(result)
    terminal.print_lines(lines)
    _conclude(result, options)


def _table(result: CalibrateResult) -> Iterator[str]:
    found = result.calibration
    curve = found.curve
    yield "threshold   precision              recall                   copies look-alikes"
    steps = round(_EVERY / (curve.threshold[1] - curve.threshold[0]))
    first = round(curve.threshold[0] / _EVERY * steps)
    for place, threshold in enumerate(curve.threshold):
        precision, recall = curve.at(place)
        if place != found.place and ((first + place) % steps or recall.value < _LEAST_RECALL):
            continue
        mark = "→" if place == found.place else " "
        yield (
            f"{mark}  {threshold:>6.3f}   {_text(precision)}   {_text(recall)}   "
            f"{_count(curve.copies[place])}  {_count(curve.look_alikes[place])}"
        )


def _text(figure: Interval) -> str:
    return f"{figure.value:.3f} ({figure.low:.3f}–{figure.high:.3f})"


def _count(pairs: float) -> str:
    """Return an expected number of pairs, which may be a fraction, in nine columns."""
    return f"{pairs:>9,.0f}" if pairs >= 100 else f"{pairs:>9.2g}"


def _conclude(result: CalibrateResult, options: CalibrateOptions) -> None:
    """Say what the table rests on, and what it cannot promise."""
    found = result.calibration
    per_image = found.copies_per_image
    scale = terminal.scale_note(result.scale)
    terminal.note(
        f"{counted(result.images, 'images')} of {result.model}{scale}; "
        f"{counted(result.copies, 'copies')} of "
        f"{result.sampled:,} of them"
    )
    estimated = f"estimated, {per_image.low:.3g} to {per_image.high:.3g}"
    how = estimated if options.copies_per_image is None else "given"
    terminal.note(
        f"for {counted(found.images, 'images')} with {per_image.value:.3g} copies an image "
        f"({how}); intervals: 95 %"
    )
    if found.place is None:
        raise SscdError(
            f"no threshold is expected to reach {found.wanted:g} precision",
            "lower --wanted-precision, or calibrate on more images",
        )
    _say_what_is_sure(result)
    name = "auto" if options.output is None else result.output
    terminal.note(f"wrote {result.output}; use it with --threshold {name}")


def _say_what_is_sure(result: CalibrateResult) -> None:
    found = result.calibration
    assert found.place is not None
    enough = found.enough_images
    few = enough is not None and result.images < enough
    if found.promised == found.place and not few:
        return
    what = f"{found.wanted:g} precision is expected, not sure"
    if few:
        what = f"{result.images:,} images are too few to promise {found.wanted:g} precision"
        what += f"; some {float(f'{enough:.2g}'):,.0f} like these would do (rule of three)"
    if found.promised is not None:
        threshold = found.curve.threshold[found.promised]
        recall = found.curve.recall[0, found.promised]
        what += f"; it is sure from {threshold:.3f} on, where recall is {recall:.2f}"
    terminal.warn(what)


def _json(result: CalibrateResult) -> str:
    found = result.calibration
    return json.dumps(
        {
            "model": result.model,
            "scale": result.scale,
            "images": result.images,
            "sampled": result.sampled,
            "copies": result.copies,
            "wanted_precision": found.wanted,
            "threshold": _threshold(result, found.place),
            "sure_threshold": _threshold(result, found.promised),
            "enough_images": found.enough_images,
            "compared_images": found.images,
            "copies_per_image": asdict(found.copies_per_image),
            "curve": list(_points(result)),
        }
    )


def _threshold(result: CalibrateResult, place: int | None) -> float | None:
    return None if place is None else float(result.calibration.curve.threshold[place])


def _points(result: CalibrateResult) -> Iterator[dict[str, object]]:
    curve = result.calibration.curve
    for place, threshold in enumerate(curve.threshold[:-1].tolist()):  # the last is above all
        precision, recall = curve.at(place)
        yield {
            "threshold": threshold,
            "precision": asdict(precision),
            "recall": asdict(recall),
            "copies": float(curve.copies[place]),
            "look_alikes": float(curve.look_alikes[place]),
        }
