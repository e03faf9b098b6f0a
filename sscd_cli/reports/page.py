"""Clusters and matches as one HTML page to look through: no other file, no script, no network.

A person looks where a mistake is likeliest: the page begins with the weakest links. It shows so
many clusters as can be looked through, and says how many there are.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote

from sscd_cli.errors import SscdError, printable
from sscd_cli.machine import core_count

MOST_CARDS = 1000
MOST_PICTURES = 24  # of a card
_SIDE = 224  # pixels


@dataclass(frozen=True, slots=True)
class Picture:
    """One image on the page. source, id: its key; path: for people, and to open it if a file.

    verdict: "keep", "remove" or "look at", each in a colour. lines: what else is said of it.
    """

    source: str
    id: str
    path: str
    verdict: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Card:
    """Images that belong together. link: the similarity by which cards are sorted."""

    title: str
    link: float
    pictures: Sequence[Picture]


def page(cards: Sequence[Card], summary: str) -> Iterator[str]:
    """Yield the page piece by piece, the pictures of one card after those of another.

    Memory: all cards, and the pictures of a few.
    """
    shown = sorted(cards, key=lambda card: card.link)[:MOST_CARDS]
    style = Path(__file__).with_name("page.css").read_text()
    yield (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>sscd: {escape(summary)}</title>\n<style>\n{style}</style>\n"
        f"<header><h1>{escape(summary)}</h1>\n<p>{_extent(len(shown), len(cards))}</p></header>\n"
    )
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(core_count()) as pool:
        for card in shown:
            figures = pool.map(_figure, card.pictures[:MOST_PICTURES])
            yield f"<section>\n<h2>{escape(card.title)}</h2>\n<div>\n"
            yield from figures
            yield f"</div>\n{_more(len(card.pictures) - MOST_PICTURES)}</section>\n"
    yield "</html>\n"


def _extent(shown: int, every: int) -> str:
    order = "weakest links first, where a mistake is likeliest"
    if shown == every:
        return order[0].upper() + order[1:] + "."
    return f"{shown:,} of {every:,}, {order}; the formats for programs have them all."


def _more(count: int) -> str:
    return f"<p>and {count:,} more</p>\n" if count > 0 else ""


def _figure(picture: Picture) -> str:
    lines = "".join(f"<span>{escape(printable(line))}</span>" for line in picture.lines if line)
    return (
        f'<figure class="{picture.verdict}">{_linked(_image(picture), picture)}<figcaption>'
        f"<b>{picture.verdict}</b>{lines}<code>{escape(printable(picture.path))}</code>"
        "</figcaption></figure>\n"
    )


def _image(picture: Picture) -> str:
    from sscd_cli.images.read import stored_ref
    from sscd_cli.images.thumbnail import thumbnail

    try:
        data = thumbnail(stored_ref(picture.source, picture.id), _SIDE)
    except SscdError as error:
        return f"<em>{escape(printable(error.what))}</em>"
    encoded = base64.b64encode(data).decode()
    return f'<img loading="lazy" alt="" src="data:image/webp;base64,{encoded}">'


def _linked(image: str, picture: Picture) -> str:
    """Let a click open the image where it is a file of its own."""
    if not os.path.isfile(picture.path):  # noqa: PTH113
        return image
    address = "file://" + quote(os.fsencode(os.path.abspath(picture.path)))  # noqa: PTH100
    return f'<a href="{escape(address)}">{image}</a>'
