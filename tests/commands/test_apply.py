"""What a report calls removable goes and comes back; refusals; and what kills leave behind."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

import pytest
from applying import state
from conftest import Ran, Run, error_line, names_in, picture

from sscd_cli.decisions import acts, plan
from sscd_cli.decisions.records import append_decisions


def quarantined(folder: Path) -> list[str]:
    """Return the names in the quarantine, below the folder of its one run."""
    if not (folder / ".sscd-quarantine").exists():
        return []
    (run,) = (folder / ".sscd-quarantine").iterdir()
    return sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file())


def refusal(ran: Ran) -> str:
    """Return why the one refused file was refused."""
    (line,) = [line for line in ran.err.splitlines() if " is not touched: " in line]
    return line.removeprefix("sscd: warning: ")


def test_a_dry_run_says_what_would_go_and_touches_nothing(
    sscd: Run, tmp_path: Path, report: Path
) -> None:
    before = state(tmp_path)
    ran = sscd("apply", report)
    assert ran.status == 0
    assert [line.split("  ")[:2] for line in ran.lines] == [
        ["quarantine", "photos/sub/a copy.png"],
        ["quarantine", "photos/sub/c-edited.png"],
    ]
    assert "(exact bytes; " in ran.lines[0]
    assert "photos/a.png stays" in ran.lines[0]
    assert "a copy.txt" in ran.lines[0]
    assert ran.err.startswith("2 images (")
    assert "would be moved into quarantine; add --go to do it" in ran.err
    assert state(tmp_path) == before


def test_the_quarantine_mirrors_names_is_no_source_and_undo_restores_everything(
    sscd: Run, tmp_path: Path, report: Path
) -> None:
    photos = tmp_path / "photos"
    before = state(photos)
    ran = sscd("apply", report, "--go")
    assert ran.status == 0
    assert ran.err.startswith("2 images moved into quarantine (")
    assert f", with 2 files beside them); sscd undo {tmp_path}/r" in ran.err
    moved = ["sub/a copy.png", "sub/a copy.png.json", "sub/a copy.txt", "sub/c-edited.png"]
    assert quarantined(photos) == moved
    assert names_in(photos) == [
        ".sscd-quarantine",
        "a.png",
        "a.txt",
        "c.png",
        "e.png",
        "notes.md",
        "sub",
    ]
    assert names_in(photos / "sub") == []
    again = sscd("apply", report, "--go")
    assert (again.status, again.err.splitlines()[0]) == (0, "2 images had gone in an earlier run")
    ran = sscd("undo", "r.journal.jsonl")
    assert (ran.status, ran.err) == (0, "4 files restored\n")
    assert state(photos) == before
    assert not (photos / ".sscd-quarantine").exists()
    assert sscd("undo", "r.journal.jsonl").err == "0 files restored\n"
    # and once more, with the same journal
    assert sscd("apply", report, "--go").err.startswith("2 images moved")
    assert sscd("undo", "r.journal.jsonl").err == "4 files restored\n"
    assert state(photos) == before


def test_what_lies_in_a_quarantine_is_never_a_source(
    tiny: Run, tmp_path: Path, report: Path
) -> None:
    assert tiny("apply", report, "--go").status == 0
    photos = tmp_path / "photos"
    assert "3 images" in tiny("embed", "photos", "-d", "new").err
    (inside,) = (photos / ".sscd-quarantine").iterdir()
    error = error_line(tiny("embed", inside, "-d", "new"))
    assert "it lies in the quarantine of sscd apply; sscd undo brings it back" in error
    listed = f"{inside}/sub/a copy.png\n".encode()
    ran = tiny("embed", "-", "-d", "listed", stdin=listed)
    assert "it lies in the quarantine of sscd apply" in ran.err
    assert tiny("dedup", "photos", "-d", "new", "-f", "jsonl", "-o", "n.jsonl").status == 0
    assert tiny("filter", "photos", "--remove", "n.jsonl", "-o", "out").status == 0
    assert names_in(tmp_path / "out") == ["a.png", "a.txt", "c.png", "e.png", "notes.md"]


@pytest.mark.parametrize("action", ["hardlink", "symlink"])
def test_links_replace_exact_copies_only_and_undo_makes_files_of_them(
    sscd: Run, tmp_path: Path, report: Path, action: str
) -> None:
    photos = tmp_path / "photos"
    before = state(photos)
    ran = sscd("apply", report, "--go", "--action", action)
    assert ran.status == 3
    assert refusal(ran).startswith("photos/sub/c-edited.png is not touched: it has other bytes")
    path = photos / "sub/a copy.png"
    assert path.samefile(photos / "a.png")
    assert path.is_symlink() == (action == "symlink")
    assert (photos / "sub/a copy.txt").exists()
    assert sscd("undo", "r.journal.jsonl").status == 0
    assert state(photos) == before


def test_a_reflink_keeps_time_and_mode_or_says_that_there_are_none(
    sscd: Run, tmp_path: Path, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = tmp_path / "photos"
    before = state(photos)
    ran = sscd("apply", report, "--go", "--action", "reflink", "--journal", "one")
    if ran.err.startswith("1 image"):
        return  # a file system that has them
    assert "a copy.png is not touched: a reflink to what stays cannot be made here: " in ran.err
    assert state(photos) == before

    def clone(part: int, request: int, keeper: int) -> None:
        os.write(part, os.pread(keeper, 1 << 20, 0))

    monkeypatch.setattr("fcntl.ioctl", clone)
    ran = sscd("apply", report, "--go", "--action", "reflink", "--journal", "two")
    assert "1 image made a reflink" in ran.err or "1 image made reflinks" in ran.err
    assert state(photos) == before
    assert sscd("undo", "two").err == "1 file restored\n"
    assert state(photos) == before


@pytest.mark.parametrize("action", ["hardlink", "symlink"])
def test_a_file_system_without_links_is_named_and_no_undo_of_nothing_is_offered(
    sscd: Run, tmp_path: Path, report: Path, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")  # as vfat and exFAT answer

    before = state(tmp_path / "photos")
    monkeypatch.setattr("os.link", refused)
    monkeypatch.setattr("os.symlink", refused)
    ran = sscd("apply", report, "--go", "--action", action)
    assert f"a {action} to what stays cannot be made here: Operation not permitted" in ran.err
    assert ran.err.endswith("\nnothing was done\n")
    assert state(tmp_path / "photos") == before


def test_deletion_needs_the_number_of_images(sscd: Run, tmp_path: Path, report: Path) -> None:
    before = state(tmp_path / "photos")
    for words in ([], ["--yes", "1"]):
        ran = sscd("apply", report, "--go", "--delete", *words)
        assert ran.status == 2
        assert error_line(ran) == "--delete removes 2 images for good; add --yes 2"
    assert state(tmp_path / "photos") == before
    assert sscd("apply", report, "--go", "--delete", "--yes", "2").status == 0
    assert names_in(tmp_path / "photos/sub") == []
    ran = sscd("undo", "r.journal.jsonl")
    assert ran.status == 3
    assert "photos/sub/a copy.png is not restored: it was deleted" in ran.err


def hurt(photos: Path, how: str) -> None:
    """Do to the files of a report what must keep the first copy from going."""
    a, copy = photos / "a.png", photos / "sub/a copy.png"
    if how == "keeper gone":
        a.unlink()
    elif how == "keeper torn":
        a.write_bytes(bytes(a.stat().st_size))
    elif how == "image changed":
        copy.write_bytes(bytes(copy.stat().st_size))
    elif how == "image gone":
        copy.unlink()
    elif how == "one inode":
        copy.unlink()
        copy.hardlink_to(a)
    elif how == "keeper links to it":
        a.unlink()
        a.symlink_to(copy)
    elif how == "image is a link":
        copy.rename(photos / "moved.png")
        copy.symlink_to(photos / "moved.png")
    else:
        (photos / "sub").rename(photos.parent / "outside")
        (photos / "sub").symlink_to(photos.parent / "outside")


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("keeper gone", "a.png in {}, which must stay, cannot be read: "),
        ("keeper torn", "a.png in {}, which must stay, has changed since the report"),
        ("image changed", "sub/a copy.png in {} has changed since the report"),
        ("image gone", "it has gone since the report"),
        ("one inode", "it is one file with photos/a.png, which stays for it"),
        ("keeper links to it", "photos/a.png, which stays for it, is to go itself"),
        ("image is a link", "it is a link"),
        ("folder is a link", "a link leads to it out of its folder in {}"),
    ],
)
def test_what_is_not_as_it_was_stays(
    sscd: Run, tmp_path: Path, report: Path, how: str, why: str
) -> None:
    photos = tmp_path / "photos"
    hurt(photos, how)
    before = {k: v for k, v in state(tmp_path).items() if "edited" not in k}
    ran = sscd("apply", report, "--go")
    assert ran.status == 3
    text = f"photos/sub/a copy.png is not touched: {why.format(photos)}"
    assert text in ran.err
    after = {k: v for k, v in state(tmp_path).items() if "edited" not in k and "journal" not in k}
    assert after == before


def test_what_is_protected_stays(sscd: Run, tmp_path: Path, report: Path) -> None:
    for glob in ("sub", "*copy*", f"{tmp_path}/photos/sub/*"):
        ran = sscd("apply", report, "--protect", glob)
        assert "photos/sub/a copy.png is not touched: it is protected" in ran.err


def test_no_name_is_taken_and_undo_overwrites_nothing(
    sscd: Run, tmp_path: Path, report: Path
) -> None:
    photos = tmp_path / "photos"
    assert sscd("apply", report, "--go").status == 0
    other = photos / "sub/a copy.png"
    other.write_bytes(b"new")
    (changed,) = (photos / ".sscd-quarantine").glob("*/sub/c-edited.png")
    changed.write_bytes(b"spoilt")
    ran = sscd("undo", "r.journal.jsonl")
    assert ran.status == 3
    assert "a copy.png is not restored: another file has its name; it stays in " in ran.err
    assert f"c-edited.png is not restored: it has changed in {changed}" in ran.err
    assert "2 files restored" in ran.err
    assert other.read_bytes() == b"new"
    other.unlink()
    assert "1 file restored" in sscd("undo", "r.journal.jsonl").err
    assert other.stat().st_mtime_ns == 10**18 + 1


def test_without_sidecars_captions_stay(sscd: Run, tmp_path: Path, report: Path) -> None:
    assert sscd("apply", report, "--go", "--no-sidecars").status == 0
    assert names_in(tmp_path / "photos/sub") == ["a copy.png.json", "a copy.txt"]


def test_images_in_archives_are_sent_to_filter(tiny: Run, tmp_path: Path) -> None:
    import tarfile

    path = picture(tmp_path / "photos/a.png", 1)
    with tarfile.open("s.tar", "w") as archive:
        archive.add(path, "x.png")
    words = ("dedup", "photos", "s.tar", "--keep", "first", "-f", "jsonl", "-o", "r.jsonl")
    assert tiny(*words).status == 0
    ran = tiny("apply", "r.jsonl")
    archive_path = tmp_path / "s.tar"
    assert (
        f"sscd: warning: 1 removable image in {archive_path}: "
        f"run sscd filter {archive_path} --remove r.jsonl -o PLACE\n"
    ) in ran.err


def decide(folder: Path, verdict: str, one: Path, other: Path, keeper: Path | None = None) -> None:
    """Add a decision on two files."""
    hashes = {path: acts.content_hash(str(path)) for path in (one, other)}
    left, right = sorted(hashes.values())
    kept = hashes[keeper] if keeper else None
    record = {"left": left, "right": right, "verdict": verdict, "keeper": kept}
    append_decisions(folder / "decisions.jsonl", [record])


def test_decisions_come_before_the_report(sscd: Run, tmp_path: Path, report: Path) -> None:
    photos, stored = tmp_path / "photos", tmp_path / "descriptors"
    c, edited = photos / "c.png", photos / "sub/c-edited.png"
    decide(stored, "other_shot", c, edited)
    ran = sscd("apply", report)
    assert [line.split("  ")[1] for line in ran.lines] == ["photos/sub/a copy.png"]
    assert "1 removable image left, for so it was decided" in ran.err
    decide(stored, "same", c, edited, keeper=edited)
    ran = sscd("apply", report)
    assert [line.split("  ")[1] for line in ran.lines] == ["photos/sub/a copy.png", "photos/c.png"]
    decide(stored, "revoked", c, edited)
    assert "photos/sub/c-edited.png" in sscd("apply", report).out.decode()


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--yes", "2"], "--yes is the number of images to --delete; leave it out"),
        (["--delete", "--action", "trash"], "--delete and --action trash are two things; name one"),
    ],
)
def test_options_that_contradict_are_refused(
    sscd: Run, report: Path, words: list[str], what: str
) -> None:
    ran = sscd("apply", report, *words)
    assert (ran.status, error_line(ran)) == (2, what)


def test_a_journal_serves_its_own_report(sscd: Run, tmp_path: Path, report: Path) -> None:
    assert sscd("apply", report, "--go").status == 0
    text = report.read_text()
    Path("other.jsonl").write_text(text.replace('"command": "', '"command": "x'))
    ran = sscd("apply", "other.jsonl", "--go", "--journal", "r.journal.jsonl")
    assert error_line(ran) == (
        "r.journal.jsonl is the journal of another report; name another with --journal FILE"
    )
    ran = sscd("apply", "-", "--go", stdin=text.encode())
    assert error_line(ran).startswith("a report on stdin has no name; name the journal with")


def test_a_report_of_another_machine_names_the_folder_that_is_not_here(
    sscd: Run, tmp_path: Path, report: Path
) -> None:
    (tmp_path / "photos").rename(tmp_path / "elsewhere")
    ran = sscd("apply", report)
    assert f"is not touched: there is no folder {tmp_path / 'photos'}\n" in ran.err


@pytest.mark.parametrize("spread", [True, False])
def test_sidecars_of_twice_as_many_images_take_twice_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spread: bool
) -> None:
    looked: list[str] = []
    split, dirname = os.path.splitext, os.path.dirname

    def work(count: int) -> int:
        names = [f"{count}/{number if spread else 0}/{number}" for number in range(count)]
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / f"{name}.png").touch()
            (tmp_path / f"{name}.txt").touch()
        steps = [plan.Step(cast(Any, None), str(tmp_path), f"{name}.png") for name in names]
        with monkeypatch.context() as patch:
            patch.setattr("os.path.splitext", lambda path: looked.append(path) or split(path))
            patch.setattr("os.path.dirname", lambda path: looked.append(path) or dirname(path))
            found = plan._with_sidecars(steps)
        assert [step.sidecars for step in found] == [(f"{name}.txt",) for name in names]
        calls = len(looked)
        looked.clear()
        return calls

    assert work(80) <= 2 * work(40)
