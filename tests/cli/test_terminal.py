"""What a person at a terminal sees: bars that come late and go, lines that fit."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sscd_cli.cli import models, terminal
from sscd_cli.embedding.job import EmbedResult
from sscd_cli.text import counted

BARS: dict[str, Callable[[], Any]] = {
    "embed": terminal.embed_progress,
    "tiles": lambda: terminal.count_progress("tiles"),
    "pull": models._download_progress,
}


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True

    @property
    def lines(self) -> list[str]:
        """What is left to see, without the lines that were written over."""
        return [line.rstrip("\r").rpartition("\r")[2] for line in self.getvalue().split("\n")]


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """Return a terminal on which every look at the clock finds a second gone."""
    made = Screen()
    monkeypatch.setattr(terminal, "sys", SimpleNamespace(stderr=made))
    monkeypatch.setattr("tqdm.std.time", itertools.count().__next__)
    monkeypatch.setattr(terminal.state, "quiet", False)
    return made


@pytest.mark.parametrize("name", BARS)
def test_a_bar_of_nothing_is_not_drawn(screen: Screen, name: str) -> None:
    with BARS[name]():
        pass
    assert screen.getvalue() == ""


@pytest.mark.parametrize("name", BARS)
def test_a_bar_is_gone_when_its_work_is_done(screen: Screen, name: str) -> None:
    with BARS[name]() as update:
        for done in (3, 7):
            if name == "embed":
                update(EmbedResult(Path("d"), "tiny", "cpu", "fp32", images=9, embedded=done))
            else:
                update(done, 9)
        assert "7" in screen.lines[-1]
    print("summary", file=screen)
    assert [line.strip() for line in screen.lines] == ["summary", ""]


def test_a_line_wider_than_the_terminal_breaks_between_words(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "24")
    terminal.note("a short line")
    terminal.note("wrote descriptors/threshold.json; use it")
    assert screen.getvalue() == ("a short line\nwrote\n  descriptors/threshold.json;\n  use it\n")


def test_a_slow_bar_tells_its_speed_by_the_second_too(screen: Screen) -> None:
    with terminal.count_progress() as update:
        update(1, 4)
        update(2, 4)
        assert screen.lines[-1].startswith("images:  50%")
        assert screen.lines[-1].rstrip().endswith("/s]")


def test_one_is_no_plural() -> None:
    counts = [
        (0, "images"),
        (1, "images"),
        (1200, "images"),
        (1, "queries"),
        (1, "exact copies"),
        (1, "matches"),
        (1, "captions or annotations"),
    ]
    assert [counted(*count) for count in counts] == [
        "0 images", "1 image", "1,200 images", "1 query", "1 exact copy", "1 match",
        "1 caption or annotation",
    ]  # fmt: skip
