"""What goes to stdout, to stderr and to a file, and the exit status."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from conftest import Run, Store, error_line, names_in, picture, records_of

from sscd_cli.models.catalogue.published import PUBLISHED
from sscd_cli.models.catalogue.registry import BUNDLED
from sscd_cli.text import bytes_text

A, B = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]


@pytest.fixture
def stored(tmp_path: Path, store: Store) -> Path:
    files: dict[Path, Any] = {
        picture(tmp_path / "a.png", 1, (50, 40)): A,
        picture(tmp_path / "b.png", 1, (50, 40)): A,
        picture(tmp_path / "c.png", 3): B,
    }
    torn = tmp_path / "torn.png"
    torn.write_bytes(b"x")
    return store(tmp_path / "descriptors", {**files, torn: "no image"})


def test_data_goes_to_stdout_and_words_about_it_to_stderr(sscd: Run, stored: Path) -> None:
    ran = sscd("dedup", "-f", "paths")
    size = bytes_text((stored.parent / "b.png").stat().st_size)
    assert (ran.status, ran.out) == (0, b"b.png\n")
    assert ran.err == (
        f"3 images, 1 unreadable: 1 cluster, 1 removable ({size})\nthreshold 0.75 of drawn\n"
    )


@pytest.mark.parametrize("setting", ["-q", "--quiet", "SSCD_QUIET"])
def test_quiet_leaves_stderr_empty(
    sscd: Run, stored: Path, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if setting.startswith("SSCD"):
        monkeypatch.setenv(setting, "1")
    ran = sscd("dedup", "-f", "paths", *([setting] if setting.startswith("-") else []))
    assert (ran.status, ran.out, ran.err) == (0, b"b.png\n", "")


def test_the_exit_status_is_one_only_on_request_and_if_there_are_copies(
    sscd: Run, stored: Path
) -> None:
    assert sscd("dedup").status == 0
    assert sscd("dedup", "--exit-code").status == 1
    assert sscd("dedup", "-d", stored, "-t", "1", "--exit-code", "--keep", "path").status == 1


def test_no_copies_give_an_empty_report_and_status_zero(
    sscd: Run, tmp_path: Path, store: Store
) -> None:
    store(tmp_path / "descriptors", {picture(tmp_path / "a.png", 1): A})
    for format in ("text", "paths"):
        ran = sscd("dedup", "-f", format, "--exit-code")
        assert (ran.status, ran.out) == (0, b"")
    assert sscd("dedup", "-f", "csv").out.count(b"\n") == 2  # what was compared, and the columns
    ran = sscd("dedup", "-f", "jsonl", "--exit-code")
    assert (ran.status, records_of(ran.out)) == (0, [])


def test_strict_tells_of_unreadable_images_after_the_report(sscd: Run, stored: Path) -> None:
    ran = sscd("dedup", "--strict", "--exit-code", "-f", "paths")
    assert (ran.status, ran.out) == (4, b"b.png\n")


def test_debug_shows_the_traceback_and_then_the_error(sscd: Run) -> None:
    ran = sscd("dedup", "--debug")
    assert ran.status == 3
    assert ran.err.startswith("Traceback (most recent call last)")
    assert ran.err.endswith(
        "sscd: error: there are no descriptors in descriptors; run sscd embed SOURCE first\n"
    )


def test_a_bug_is_one_line_too(sscd: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("a\nb")

    monkeypatch.setattr("sscd_cli.commands.index.run", broken)
    ran = sscd("index")
    assert ran.status == 3
    assert error_line(ran) == (
        "unexpected ZeroDivisionError: a\\nb; add --debug and report what it shows"
    )


def test_what_the_system_refuses_is_no_bug(sscd: Run, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    fix = "see to that and run the same command again"
    refused = f"cannot use loop: Too many levels of symbolic links; {fix}"
    assert error_line(sscd("dedup", "-d", "loop")) == refused


def test_a_link_that_leads_to_itself_takes_no_report(
    sscd: Run, stored: Path, tmp_path: Path
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    ran = sscd("dedup", "-f", "paths", "-o", "loop")
    refused = "cannot write loop: Too many levels of symbolic links"
    assert error_line(ran) == f"{refused}; name another file with -o"


def test_no_memory_is_said_with_what_helps(sscd: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def hungry(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("sscd_cli.commands.index.run", hungry)
    ran = sscd("index")
    assert ran.status == 3
    assert error_line(ran) == "out of memory; use a smaller --batch-size or fewer --workers"


def test_an_interrupt_is_130_and_says_how_to_go_on(
    sscd: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sscd_cli.commands.index.run", interrupted)
    ran = sscd("index", "--debug")
    assert ran.status == 130
    assert ran.err == "sscd: error: interrupted; run the same command again to go on\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nonsense"], "no such command 'nonsense'; see sscd --help"),
        (["--nonsense"], "no such option: --nonsense; see sscd --help"),
        (["dedup", "--nonsense"], "no such option: --nonsense; see sscd dedup --help"),
        (["eval", "other"], "no such command 'other'; see sscd eval --help"),
        (["dedub"], "no such command 'dedub'; did you mean sscd dedup? see sscd --help"),
        (["scan", "a"], "no such command 'scan'; did you mean sscd dedup? see sscd --help"),
        (["version"], "no such command 'version'; did you mean sscd --version? see sscd --help"),
        (
            ["models", "download"],
            "no such command 'download'; did you mean sscd models pull? see sscd models --help",
        ),
        (
            ["dedup", "--treshold", "1"],
            "no such option: --treshold; did you mean --threshold? see sscd dedup --help",
        ),
        (
            ["embed", "a", "--gpu"],
            "no such option: --gpu; did you mean --device cuda? see sscd embed --help",
        ),
        ([""], "no such command ''; see sscd --help"),
        (["help", "nonsense"], "no such command or topic 'nonsense'; see sscd --help"),
        (
            ["help", "reprots"],
            "no such command or topic 'reprots'; did you mean sscd help reports? see sscd --help",
        ),
        (
            ["help", "report"],
            "no such command or topic 'report'; did you mean sscd help reports? see sscd --help",
        ),
        (
            ["help", "dedupe"],
            "no such command or topic 'dedupe'; did you mean sscd help dedup? see sscd --help",
        ),
        (
            ["help", "version"],
            "no such command or topic 'version'; did you mean sscd --version? see sscd --help",
        ),
        (
            ["--model", "sscd_mini", "dedup", "photos"],
            "no such option: --model; did you mean sscd dedup --model? see sscd --help",
        ),
        (["--nonsense", "dedup"], "no such option: --nonsense; see sscd --help"),
        (
            ["dedup", "photos", "--move", "away"],
            "no such option: --move; did you mean sscd apply? see sscd dedup --help",
        ),
        (
            ["embed", "photos", "--recursive"],
            "no such option: --recursive; "
            "folders are read with all folders in them, leave out --recursive",
        ),
        (
            ["apply", "report.jsonl", "--dry-run"],
            "no such option: --dry-run; only --go moves or deletes anything, leave out --dry-run",
        ),
        (
            ["undo", "report.journal.jsonl", "--dry-run"],
            "no such option: --dry-run; see sscd undo --help",
        ),
        (["acting"], "no such command 'acting'; did you mean sscd help acting? see sscd --help"),
        (
            ["models", "verify", "sscd_disc_mixp"],
            "unknown model 'sscd_disc_mixp'; did you mean sscd_disc_mixup? "
            f"use one of {', '.join((BUNDLED, *PUBLISHED))}",
        ),
        (["embed"], "missing argument 'SOURCE'; see sscd embed --help"),
        (["pair", "a.jpg"], "missing argument 'B'; see sscd pair --help"),
        (["train", "a"], "missing option '--output' / '-o'; see sscd train --help"),
        (["dedup", "-d"], "option '-d' requires an argument; see sscd dedup --help"),
    ],
)
def test_a_wrong_command_line_names_what_is_wrong_and_the_help(
    sscd: Run, words: list[str], message: str
) -> None:
    ran = sscd(*words)
    assert (ran.status, ran.out) == (2, b"")
    assert ran.err.casefold().startswith(f"sscd: error: {message}".casefold()[:40])
    assert error_line(ran) == message


def test_a_folder_in_the_place_of_a_command_is_to_be_looked_through(
    sscd: Run, tmp_path: Path
) -> None:
    (tmp_path / "my photos").mkdir()
    assert error_line(sscd("my photos")) == (
        "no such command 'my photos'; did you mean sscd dedup 'my photos'? see sscd --help"
    )


def test_the_report_goes_to_a_file_on_request(sscd: Run, stored: Path, tmp_path: Path) -> None:
    report = records_of(sscd("dedup", "-f", "jsonl").out)
    ran = sscd("dedup", "-f", "jsonl", "-o", "report.jsonl")
    assert (ran.status, ran.out) == (0, b"")
    assert records_of((tmp_path / "report.jsonl").read_bytes()) == report
    assert report[0]["members"][0]["path"] == "a.png"


def test_a_failed_report_leaves_the_old_file_and_no_other(
    sscd: Run, tmp_path: Path, store: Store
) -> None:
    files = {picture(tmp_path / name, 1): A for name in ("a.png", "b\nc.png")}
    store(tmp_path / "descriptors", files)
    (tmp_path / "list").write_text("old")
    before = names_in(tmp_path)
    ran = sscd("dedup", "-f", "paths", "-o", "list")
    assert ran.status == 2
    assert (tmp_path / "list").read_text() == "old"
    assert names_in(tmp_path) == before


def test_output_keeps_links_and_devices_in_their_place(
    sscd: Run, stored: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to("report")
    (tmp_path / "report").write_text("old")
    assert sscd("dedup", "-f", "paths", "-o", "link").status == 0
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "report").read_text() == "b.png\n"
    assert sscd("dedup", "-f", "paths", "-o", "/dev/stdout").out == b"b.png\n"
    assert sscd("dedup", "-f", "parquet", "-o", "/dev/null").status == 0
    assert not Path("/dev/null").is_file()


def test_an_output_that_cannot_be_written_is_an_error(
    sscd: Run, stored: Path, tmp_path: Path
) -> None:
    for place, reason in (
        (".", "Is a directory"),
        *(("b.png/x", "Not a directory"), ("x" * 300, "File name too long")),
    ):
        ran = sscd("dedup", "-o", place)
        assert ran.status == 3
        assert error_line(ran) == f"cannot write {place}: {reason}; name another file with -o"


def test_an_output_in_a_missing_folder_is_one_mistake_in_every_command(
    sscd: Run, tmp_path: Path
) -> None:
    """It is refused first: there is not even an image here that work could begin with."""
    for words in (
        *(["dedup", "-o"], ["fit", "-o"], ["calibrate", "-o"]),
        *(["models", "export", "other", "-o"], ["eval", "disc", "a", "-o"]),
        *(["eval", "pairs", "truth.csv", "-o"], ["eval", "pairs", "truth.csv", "--plot"]),
        ["review", "-", "--decisions"],
    ):
        ran = sscd(*words, "no/file")
        assert ran.status == 3
        another = f"make it first or name another file with {words[-1]}"
        assert error_line(ran) == f"cannot write no/file: no such folder; {another}"
    assert not (tmp_path / "no").exists()


def test_no_command_speaks_of_one_images(tiny: Run, tmp_path: Path) -> None:
    picture(tmp_path / "photos" / "a.png", 1)
    for words in (
        ["embed", "photos"],
        ["index"],
        ["search", "photos/a.png"],
        ["dedup"],
        ["dedup", "--estimate"],
        ["dedup", "--against", "descriptors"],
        ["dedup", "--task", "1/1"],
        ["fit", "-o", "a.post", "--transform", "none"],
        ["fit", "-o", "b.post", "--transform", "whiten"],
        ["index", "--factory", "IVF4,Flat", "--rebuild"],
        ["calibrate", "--sample", "2"],
        ["eval", "self", "photos"],
        ["embed", "photos", "--estimate", "-d", "other"],
    ):
        ran = tiny(*words)
        assert not re.search(r"(?<![\d.,])1 \w+s\b(?! in all)", ran.out.decode() + ran.err), words


def test_embedding_says_where_the_descriptors_went(tiny: Run, tmp_path: Path) -> None:
    picture(tmp_path / "photos" / "a.png", 1)
    said = tiny("embed", "photos", "-d", "there").err
    assert "descriptors in there\n" in said
    assert "descriptors in " not in tiny("embed", "photos", "-d", "there").err
