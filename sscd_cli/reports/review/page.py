"""The page, put together: one document, one script, no network.

Everything that comes from files is JSON in a block that no browser runs, and the page's policy
lets it run nothing but its own script.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from html import escape
from importlib.resources import files
from itertools import groupby, islice
from pathlib import PurePosixPath
from string import Template
from typing import Any

from sscd_cli.choices import PREVIEW_SIDE, PREVIEWS
from sscd_cli.images.containers.kinds import is_container
from sscd_cli.machines.stages import each
from sscd_cli.reports.reported import (
    Decide,
    Decided,
    ReportedCluster,
    ReportedImage,
    ReportedMatch,
    undecided,
)
from sscd_cli.storage.servers import is_url
from sscd_cli.text import bytes_text, counted

_SCRIPTS = ("report.js", "state.js", "align.js", "picture.js", "lists.js", "app.js")
# what could end the block or begin another, were it not escaped
_SAFE = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


def page(
    header: Mapping[str, Any],
    clusters: Iterable[ReportedCluster],
    *,
    decide: Decide = undecided,
    side: int = PREVIEW_SIDE,
    most: int = PREVIEWS,
) -> Iterator[str]:
    """Yield the page piece by piece, with previews of the first images within it.

    Memory: all clusters, and a few previews. Images without a preview are linked where they are
    files.

    Args: decide: what was decided before. side: longer edge of the previews in pixels. most: how
        many there are at most.
    """
    # the other formats load no Pillow
    from sscd_cli.reports.review.previews import previews

    ordered = in_order(clusters)
    yield _head(header)
    yield from _data_block(header, ordered, decide)
    every = (image for cluster in ordered for image in cluster.images)
    shown = min(most, sum(len(cluster.images) for cluster in ordered))
    made_previews = each(previews(islice(every, most), side), "previews", shown)
    for place, made in enumerate(made_previews):
        yield _preview_block(place, made)
    yield _tail()


def served_page(
    header: Mapping[str, Any], clusters: Iterable[ReportedCluster], decide: Decide
) -> Iterator[str]:
    """Yield the page without previews, cluster by cluster, for a server that makes them.

    clusters: can be gone through twice.
    """
    yield _head(header)
    yield from _data_block(header, clusters, decide)
    yield _tail()


def _head(header: Mapping[str, Any]) -> str:
    """Return the page up to its data."""
    script, style = _script(), _text("page.css")
    names = {
        "title": escape(title_of(header)),
        "style": style,
        "script_hash": _source_hash(script),
    }
    return Template(_text("page.html").partition("<!-- data -->")[0]).substitute(names)


def title_of(header: Mapping[str, Any]) -> str:
    """Say in a line what a report found."""
    if header.get("report") == "matches":
        images = counted(header["leaked"], "images")
        return f"sscd review: {images} with a copy in the other data set"
    clusters, size = counted(header["clusters"], "clusters"), bytes_text(header["removable_bytes"])
    return f"sscd review: {clusters}, {header['removable']:,} removable ({size})"


def _tail() -> str:
    """Return the page from its data to its end."""
    rest = _text("page.html").partition("<!-- data -->")[2]
    return Template(rest).substitute(script=_script())


def _data_block(
    header: Mapping[str, Any], clusters: Iterable[ReportedCluster], decide: Decide
) -> Iterator[str]:
    """Yield the block of data, cluster by cluster: a JSON array of the header, the clusters and
    the digest of all."""
    digest = Digest()
    decided = decide(image.hashes for cluster in clusters for image in cluster.images)
    yield f'<script type="application/json" id="report">[{_json(header)}'
    for cluster in clusters:
        digest.add(cluster)
        yield f",\n{_json(_row(cluster, decided))}"
    yield f",\n{_json(str(digest))}]</script>\n"


def _preview_block(place: int, preview: bytes | str) -> str:
    """Return the preview of the image of this number, or the reason why there is none."""
    if isinstance(preview, str):
        return f'<template id="p{place}" data-reason="{escape(preview)}"></template>\n'
    return f'<template id="p{place}">{base64.b64encode(preview).decode()}</template>\n'


def _row(cluster: ReportedCluster, decided: Decided) -> list[Any]:
    keepers = cluster.keepers()
    images = [
        [
            *(image.path, keeper, image.similarity, image.width, image.height, image.file_bytes),
            *(kind(image), image.mtime_ns // 1_000_000, image.content_hash),
            *(image.pixel_hash, image.band, image.verdict, image.reason, image.explanation),
            *(int(image.fixed), int(is_shown_by_browser(image))),
            *_decision(image, cluster.images[keeper], decided),
        ]
        for image, keeper in zip(cluster.images, keepers, strict=True)
    ]
    return [cluster.name, cluster.weakest_link, images]


def _decision(image: ReportedImage, keeper: ReportedImage, decided: Decided) -> tuple[str, ...]:
    """Return what was decided of an image and its keeper: the verdict and what stays."""
    if image is keeper or not decided:
        return ()
    low, high = sorted((image.content_hash, keeper.content_hash))
    return decided.get((low, high), ())


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":")).translate(_SAFE)


def _script() -> str:
    inner = "".join(_text(name) for name in _SCRIPTS)
    return f'"use strict";\n{inner}'


def _source_hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _text(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def kind(image: ReportedImage) -> str:
    """Return the file format, which a report without it leaves to the name."""
    return image.format or PurePosixPath(image.path).suffix[1:].upper()


def is_shown_by_browser(image: ReportedImage) -> bool:
    """Say whether a browser may find an image as a file of its own."""
    return not is_url(image.path) and not (image.source and is_container(image.source))


def clusters_of_matches(matches: Iterable[ReportedMatch]) -> Iterator[ReportedCluster]:
    """Yield each image with its copies in another dataset, which all stay.

    The most similar copy stands for the image: it is what the image is compared with.
    """
    for _, group in groupby(matches, key=lambda match: match.image.key):
        first, *more = group
        doubt = "" if first.checked else "not on this machine, so not checked"
        ours = replace(first.image, reason=doubt)
        others = (match.other for match in more)
        yield ReportedCluster("", ours.similarity, [first.other, ours, *others])


class Digest:
    """What names a report by its contents, so that a page finds again what was decided on it."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)

    def add(self, cluster: ReportedCluster) -> None:
        """Add the next cluster."""
        for image in cluster.images:
            text = f"{cluster.name} {image.content_hash} {image.keep}\n{image.path}\0"
            self._hash.update(text.encode("utf-8", "surrogatepass"))

    def __str__(self) -> str:
        return self._hash.hexdigest()


def in_order(clusters: Iterable[ReportedCluster]) -> list[ReportedCluster]:
    """Return clusters as they are looked at: the largest last, else the weakest link first."""
    return sorted(clusters, key=lambda cluster: (len(cluster.images), cluster.weakest_link))
