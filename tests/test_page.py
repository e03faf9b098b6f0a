"""The page for people: every image of a report is on it, in order, and nothing can break it."""

from __future__ import annotations

import base64
import io
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from conftest import Run, Store, error_line, picture
from PIL import Image

from sscd_cli.images.refs import ImageRef
from sscd_cli.images.thumbnail import thumbnail
from sscd_cli.reports import page as pages
from sscd_cli.reports.page import Card, Picture, page

A, B, C = np.eye(3)
NEAR_A, NEAR_B = (0.875 * axis + (1 - 0.875**2) ** 0.5 * C for axis in (A, B))


class Page(HTMLParser):
    """What a browser would find: tags in balance, texts, pictures and links."""

    VOID = ("meta", "img")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.pictures: list[bytes] = []
        self.links: list[str] = []
        self.verdicts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "img":
            kind, data = (told["src"] or "").split(",")
            assert kind == "data:image/webp;base64"
            self.pictures.append(base64.b64decode(data))
        if tag == "a":
            self.links.append(told["href"] or "")
        if tag == "figure":
            self.verdicts.append(told["class"] or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and self.open[-1] != "style":
            self.texts.append(data)


def test_a_page_shows_every_cluster_the_weakest_link_first(
    sscd: Run, tmp_path: Path, store: Store
) -> None:
    store(
        tmp_path / "descriptors",
        {
            picture(tmp_path / "a.png", 1, (90, 60)): A,
            picture(tmp_path / "a2.png", 2): A,
            picture(tmp_path / "b.png", 3, (90, 60)): B,
            picture(tmp_path / "b2.png", 4): NEAR_B,
        },
        root=tmp_path,
    )
    ran = sscd("dedup", "-f", "html")
    assert ran.status == 0
    found = Page(ran.out.decode())
    assert found.verdicts == ["keep", "remove"] * 2
    assert [Path(unquote(link)).name for link in found.links] == [
        *("b.png", "b2.png", "a.png", "a2.png")
    ]
    assert all(Path(unquote(link).removeprefix("file://")).is_file() for link in found.links)
    assert Image.open(io.BytesIO(found.pictures[0])).size == (90, 60)
    assert found.texts[1].startswith("2 clusters, 2 removable (")
    assert "similarity 0.875" in found.texts


def test_a_page_shows_the_copies_in_another_dataset(
    sscd: Run, tmp_path: Path, store: Store
) -> None:
    store(tmp_path / "descriptors", {picture(tmp_path / "train" / "a.png", 1): A})
    store(tmp_path / "other", {picture(tmp_path / "test" / "x.png", 2): NEAR_A})
    found = Page(sscd("dedup", "--against", "other", "-f", "html").out.decode())
    assert found.verdicts == ["image", "copy"]
    assert "1 image with a copy in the other dataset" in found.texts
    assert "similarity 0.875" in found.texts


@pytest.mark.parametrize(
    "name", [b"<b>\x01&lt;.png", b"caf\xe9 \"'&amp;.png", b"new\nline#?%41.png"]
)
def test_no_name_of_a_file_breaks_the_page(tmp_path: Path, name: bytes) -> None:
    path = str(picture(tmp_path / os.fsdecode(name), 1))
    card = Card("title <b>", 0.5, [Picture("", path, path, "keep", ("<i>",))])
    found = Page("".join(page([card], "a & b <c>")))
    (link,) = found.links
    assert os.fsencode(path) == os.fsencode(unquote(link, errors="surrogateescape"))[7:]
    assert {"title <b>", "<i>", "a & b <c>"} <= set(found.texts)


def test_an_image_that_is_gone_or_torn_leaves_its_reason(tmp_path: Path) -> None:
    torn = tmp_path / "torn.png"
    torn.write_bytes(picture(tmp_path / "whole.png", 1).read_bytes()[:60])
    gone = str(tmp_path / "gone.png")
    cards = [Card("", 0.5, [Picture("", path, path, "remove", ())]) for path in (gone, str(torn))]
    found = Page("".join(page(cards, "")))
    assert found.pictures == []
    assert any("No such file" in text for text in found.texts)
    assert len(found.links) == 1


def test_a_page_says_what_it_leaves_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MOST_CARDS", 2)
    monkeypatch.setattr(pages, "MOST_PICTURES", 3)
    gone = Picture("", "/gone.png", "/gone.png", "remove", ())
    cards = [Card(f"card {link}", link, [gone] * 5) for link in (0.9, 0.5, 0.7)]
    found = Page("".join(page(cards, "")))
    assert [text for text in found.texts if text.startswith("card")] == ["card 0.5", "card 0.7"]
    assert any(text.startswith("2 of 3, weakest links first") for text in found.texts)
    assert found.texts.count("and 2 more") == 2


def test_a_thumbnail_is_small_upright_and_in_proportion(tmp_path: Path) -> None:
    tall = Image.new("RGB", (400, 100), "red")
    exif = Image.Exif()
    exif[274] = 6  # to be turned by a quarter
    tall.save(tmp_path / "tall.jpg", exif=exif)
    data = thumbnail(ImageRef("tall.jpg", "", str(tmp_path / "tall.jpg")), 64)
    with Image.open(io.BytesIO(data)) as small:
        assert (small.format, small.size) == ("WEBP", (16, 64))


def test_a_page_is_not_for_a_terminal_nor_for_filter(
    sscd: Run, tmp_path: Path, store: Store
) -> None:
    store(
        tmp_path / "descriptors", {picture(tmp_path / "photos" / f"{i}.png", i): A for i in (1, 2)}
    )
    assert sscd("dedup", "-f", "html", "-o", "report.html").status == 0
    ran = sscd("filter", "photos", "--remove", "report.html", "-o", "clean")
    assert ran.status == 2
    assert "report.html is no report of clusters: it is a page for people" in error_line(ran)
    assert not re.search("http|src=.file", (tmp_path / "report.html").read_text())
