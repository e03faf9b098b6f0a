"""What a person at a terminal sees: progress that comes late and goes, lines that fit."""

from __future__ import annotations

import io
import time
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from sscd_cli.cli import apply, progress, terminal, topics
from sscd_cli.cli.progress import Speed, line_of, parts_of
from sscd_cli.cli.screen import Screen as ReportScreen
from sscd_cli.cli.screen import reflowed
from sscd_cli.machines import stages
from sscd_cli.machines.stages import Stage, stage
from sscd_cli.text import counted


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True

    @property
    def lines(self) -> list[str]:
        """What is left to see, without the lines that were written over."""
        return [line.rstrip("\r").rpartition("\r")[2] for line in self.getvalue().split("\n")]


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    made = Screen()
    monkeypatch.setattr(terminal, "sys", SimpleNamespace(stderr=made))
    monkeypatch.setattr(terminal, "state", terminal.State())
    return made


def embedding(**said: Any) -> Stage:
    return Stage("images", **{"total": 10_000, "done": 4_500, "fresh": 3_780, "began": 0.0, **said})


def line(stage: Stage, columns: int, now: float = 10.0) -> str:
    parts = parts_of(stage, Speed().of(stage, now), now)
    share = stage.done / stage.total if stage.total and not stage.listing else None
    return line_of(parts, columns, share)


def test_a_line_tells_share_count_speed_of_new_images_and_the_time_left() -> None:
    assert line(embedding(), 55) == "images   45%  4,500 of 10,000  378/s  0:12 left"
    assert line(embedding(), 79) == (
        "images   45% █████████████░░░░░░░░░░░░░░░░  4,500 of 10,000  378/s  0:12 left"
    )


@pytest.mark.parametrize("columns", range(10, 200))
def test_a_narrow_terminal_keeps_the_end_of_the_line(columns: int) -> None:
    shown = line(embedding(note="12 unreadable"), columns)
    assert len(shown) <= columns
    assert shown.startswith("images")
    if columns >= len("images  0:12 left"):
        assert shown.endswith("0:12 left")
    if columns >= len("images   45%  0:12 left"):
        assert "45%" in shown


def test_while_images_are_listed_there_is_no_share_of_them() -> None:
    assert line(embedding(listing=True), 60) == "images  4,500 of 10,000+  378/s  0:10"
    assert line(embedding(total=None), 60) == "images  4,500  378/s  0:10"
    assert line(Stage("loading the network", began=7.0), 60) == "loading the network  0:03"


def test_other_units_are_told_as_such() -> None:
    fetched = Stage("fetching", 98_000_000, 49_000_000, unit="B", began=0.0)
    assert line(fetched, 55) == "fetching   50%  49 MB of 98 MB  4.9 MB/s  0:10 left"
    tiles = Stage("comparing images", 400, 100, unit="%", began=0.0)
    assert line(tiles, 36) == "comparing images   25%  0:30 left"
    assert line(Stage("copies", 4, 1, began=0.0), 40) == "copies   25%  1 of 4  0.1/s  0:30 left"


def test_a_speed_is_that_of_the_last_seconds() -> None:
    speed, work = Speed(), Stage("images", 10_000, began=0.0)
    for second in range(1, 40):  # what is there already goes by at once
        work.done += 1000 if second < 20 else 10
        found = speed.of(work, float(second))
    assert found == (10.0, 10.0)


def test_what_comes_before_the_first_is_no_work_on_it() -> None:
    speed, work = Speed(), Stage("images", began=0.0)
    for second in (1.0, 2.0, 3.0, 4.0):
        speed.of(work, second)
    work.done = 50
    assert speed.of(work, 5.0) == (50.0, 50.0)


def test_the_line_goes_when_something_else_is_written_and_at_the_end(screen: Screen) -> None:
    with terminal.watched():
        watcher = terminal.state.watcher
        assert watcher
        with stage("second look", 4):
            watcher.show(1.0, 0.0)
            assert screen.lines[-1].startswith("second look    0%")
            terminal.note("a note")
            assert [text.strip() for text in screen.lines] == ["a note", ""]
            with terminal.unwatched():
                watcher.show(1.0, 0.0)
            assert screen.lines[-1] == ""
            watcher.show(1.0, 0.0)
        watcher.show(1.0, 0.0)
        assert screen.lines[-1].strip() == ""
    terminal.note("summary")
    assert [text.strip() for text in screen.lines] == ["a note", "summary", ""]


def test_a_thread_draws_what_a_command_is_busy_with(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "DELAY", 0.0)
    with terminal.watched(), stage("listing"):
        assert stages.is_watched()
        for _ in range(500):
            if "listing  0:00" in screen.getvalue():
                break
            time.sleep(0.01)
        assert "listing  0:00" in screen.getvalue()
    assert not stages.is_watched()


@pytest.mark.parametrize(("ci", "asked", "first"), [
    ("", False, None), ("false", False, None), ("true", False, 60.0), ("1", True, 0.0),
    ("", True, 0.0),
])  # fmt: skip
def test_a_log_gets_lines_where_asked_and_in_ci_of_long_runs(
    monkeypatch: pytest.MonkeyPatch, ci: str, asked: bool, first: float | None
) -> None:
    monkeypatch.setenv("CI", ci)
    assert progress.wants_lines(asked) == first


def test_a_log_gets_a_whole_line_at_a_time() -> None:
    log = io.StringIO()
    watcher = progress.Watcher(log, redraws=False)
    with stage("images", 8) as work:
        work.began = 0.0
        work.tell(2, 8)
        watcher.show(30.0, 0.0)
    watcher.show(60.0, 0.0)
    assert log.getvalue() == "images, 25%, 2 of 8, 0.1/s, 1:30 left (after 0:30)\n"


def test_a_line_wider_than_the_terminal_breaks_between_words(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "24")
    terminal.note("a short line")
    terminal.note("wrote descriptors/threshold.json; use it")
    assert screen.getvalue() == ("a short line\nwrote\n  descriptors/threshold.json;\n  use it\n")


@pytest.mark.parametrize("topic", topics.titles())
@pytest.mark.parametrize("columns", [50, 80, 100])
def test_a_page_fills_the_terminal_and_says_the_same(topic: str, columns: int) -> None:
    page = (topics.page(topic) or "").rstrip("\n")
    shown = reflowed(page, columns)
    assert shown.split() == page.split()
    commands = [text for text in page.split("\n") if text.startswith("    ")]
    assert [text for text in shown.split("\n") if text.startswith("    ")] == commands
    others = [text for text in shown.split("\n") if not text.startswith("    ")]
    assert max(len(text) for text in others if " " in text.strip()) <= columns
    inner = [text for text, then in pairwise(others) if text and then and then[0] not in "-|"]
    assert not any(len(text) < columns - 45 for text in inner)


def test_a_report_on_a_terminal_breaks_between_words_and_json_stays_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "24")
    shown = io.BytesIO()
    for line in (b"  remove  0.9  a.jpg  (with less colour)\n", b'{"a": "a long and wide line"}\n'):
        ReportScreen(shown, colours=False, prose=True).write(line)
    ReportScreen(shown, colours=False, prose=False).write(b"/a b/a name of many words.jpg\n")
    assert shown.getvalue().decode().split("\n") == [
        "  remove  0.9  a.jpg",
        "    (with less colour)",
        '{"a": "a long and wide line"}',
        "/a b/a name of many words.jpg",
        "",
    ]


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


def test_the_line_stays_away_while_a_person_types(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Typing(io.StringIO):
        def isatty(self) -> bool:
            return True

        def readline(self, size: int = -1, /) -> str:
            assert terminal.state.watcher
            terminal.state.watcher.show(1.0, 0.0)
            assert screen.lines[-1].strip() == ""
            return "1,200\n"

    monkeypatch.setattr(apply, "sys", SimpleNamespace(stdin=Typing(), stderr=screen))
    with terminal.watched(), stage("images", 4):
        assert apply._typed_count(1200) == 1200
