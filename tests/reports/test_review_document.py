"""The document of the review page, read without a browser: names, references, one script."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from importlib.resources import files

import pytest

PARTS = files("sscd_cli.reports.review")
HTML = PARTS.joinpath("page.html").read_text(encoding="utf-8")
SCRIPTS = {
    entry.name: entry.read_text(encoding="utf-8")
    for entry in PARTS.iterdir()
    if entry.name.endswith(".js")
}
VOID = {"meta", "input", "link", "br", "hr", "img"}
Attributes = dict[str, str | None]


class Reader(HTMLParser):
    """Collects elements, each with its text and the label around it, if any."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, Attributes, list[str], bool]] = []
        self._open: list[tuple[str, list[str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        text: list[str] = []
        labelled = any(name == "label" for name, _ in self._open)
        self.found.append((tag, dict(attrs), text, labelled))
        if tag not in VOID:
            self._open.append((tag, text))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        for _, text in self._open:
            text.append(data)


@pytest.fixture(scope="module")
def elements() -> list[tuple[str, Attributes, list[str], bool]]:
    reader = Reader()
    reader.feed(HTML)
    return reader.found


def test_every_control_has_a_name(elements: list[tuple[str, Attributes, list[str], bool]]) -> None:
    for tag, attributes, text, labelled in elements:
        if tag in ("button", "select", "input", "progress"):
            own = "".join(text).strip() if tag == "button" else ""
            assert attributes.get("aria-label") or own or labelled, (tag, attributes)


def test_the_page_says_its_language_and_fits_a_phone(
    elements: list[tuple[str, Attributes, list[str], bool]],
) -> None:
    tags = {tag: attributes for tag, attributes, _, _ in elements}
    assert tags["html"]["lang"] == "en"
    metas = [attributes for tag, attributes, _, _ in elements if tag == "meta"]
    assert any(meta.get("name") == "viewport" for meta in metas)
    assert all("aria-labelledby" in a for tag, a, _, _ in elements if tag == "dialog")


def test_ids_are_unique_and_scripts_know_only_those(
    elements: list[tuple[str, Attributes, list[str], bool]],
) -> None:
    ids = Counter(attributes["id"] for _, attributes, _, _ in elements if "id" in attributes)
    assert not [name for name, count in ids.items() if count > 1]
    made = {match for text in SCRIPTS.values() for match in re.findall(r'\bid: "([\w-]+)"', text)}
    for name, text in SCRIPTS.items():
        asked = set(re.findall(r'byId\("([\w-]+)"\)', text))
        assert asked <= {*ids, *made, "p"}, name
    named = {a["aria-labelledby"] for _, a, _, _ in elements if "aria-labelledby" in a}
    assert named <= set(ids)


def test_no_part_of_it_comes_from_elsewhere() -> None:
    assert "default-src 'none'" in HTML
    for text in (HTML, *SCRIPTS.values(), PARTS.joinpath("page.css").read_text(encoding="utf-8")):
        assert not re.search(r"""(src|href)=["']?https?:|url\(|@import|\beval\(""", text)


def test_dark_and_narrow_screens_have_rules() -> None:
    style = PARTS.joinpath("page.css").read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in style
    assert re.search(r"@media \(max-width: \d+(px|em|rem)\)", style)
