"""Reports to decide on in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, browser
from conftest import Run, picture
from review_reports import clusters_report, member, pair_of_pictures

# of the texts below the two pictures: their names
KEPT, COPY = "#one-text .file span:last-child", "#other-text .file span:last-child"


@pytest.fixture
def chromium(tmp_path: Path) -> Iterator[Browser]:
    with browser(tmp_path / "profile") as opened:
        yield opened
        assert opened.errors == []
        hosts = {address.split("/")[2] for address in opened.requests if "://" in address}
        assert {host.partition(":")[0] for host in hosts} <= {"", "127.0.0.1"}


@pytest.fixture
def three_pairs(sscd: Run, tmp_path: Path) -> str:
    """Make a page of three pairs of pictures and return its address."""
    pairs = [pair_of_pictures(tmp_path, n, n / 10, band=f"band {n}") for n in (5, 7, 9)]
    report = clusters_report(tmp_path / "report.jsonl", pairs)
    assert sscd("review", report, "-o", "page.html").status == 0
    return (tmp_path / "page.html").as_uri()


def cluster_of(names: list[str], sscd: Run, tmp_path: Path) -> str:
    """Make a page of one cluster, the first image of which stays, and return its address."""
    for number, name in enumerate(names):
        picture(tmp_path / name, number)
    copies = [member(name, names[0], 0.9 - place / 10) for place, name in enumerate(names[1:])]
    report = clusters_report(tmp_path / "report.jsonl", [[member(names[0]), *copies]])
    assert sscd("review", report, "-o", "page.html").status == 0
    return (tmp_path / "page.html").as_uri()
