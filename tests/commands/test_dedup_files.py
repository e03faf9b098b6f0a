"""`sscd dedup` and files that have vanished, changed, are links, or lie elsewhere."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
from clustering import BY_FACTS, A, B, clusters, copies, near
from conftest import MTIME, Run, Store, picture, records_of


def test_a_vanished_keeper_makes_nothing_removable(deduped: Any, sscd: Run, tmp_path: Path) -> None:
    assert deduped(copies(tmp_path, "keeper.png", "copy.png"), "-f", "paths").out == b"copy.png\n"
    (tmp_path / "keeper.png").unlink()
    ran = sscd("dedup", "-f", "paths")
    assert (ran.status, ran.out) == (0, b"")
    assert ran.err.splitlines() == [
        "sscd: warning: left out 1 image that vanished or changed after embedding; run "
        "sscd embed again, with --prune",
        "2 images, 0 unreadable: 0 clusters, 0 removable (0 B)",
        "threshold 0.75 of drawn",
    ]


@pytest.mark.parametrize("change", ["rewritten", "touched", "vanished", "a folder", "unreadable"])
def test_a_file_that_is_no_longer_what_was_embedded_is_in_no_report(
    sscd: Run, tmp_path: Path, store: Store, change: str
) -> None:
    files = copies(tmp_path, "a.png", "b.png", "c.png")
    store(tmp_path / "descriptors", files)
    path = tmp_path / "a.png"
    if change == "rewritten":
        path.write_bytes(path.read_bytes() + b"x")
        os.utime(path, (MTIME, MTIME))
    elif change == "touched":
        os.utime(path, (MTIME + 9, MTIME + 9))
    else:
        path.unlink()
    if change == "a folder":
        path.mkdir()
    elif change == "unreadable":
        path.symlink_to(path)
    ran = sscd("dedup", "-f", "jsonl")
    assert clusters(ran) == [{"b.png": True, "c.png": False}]
    assert "left out 1 image that vanished or changed" in ran.err
    assert sscd("dedup", "-f", "paths").out == b"c.png\n"


def test_the_link_that_joined_two_images_may_vanish_and_parts_them(
    sscd: Run, tmp_path: Path, store: Store
) -> None:
    files = {
        picture(tmp_path / "a.png", 1): near(B, 0.8, 3),
        picture(tmp_path / "middle.png", 2, (90, 90)): B,
        picture(tmp_path / "c.png", 3): near(B, 0.8, 4),
    }
    store(tmp_path / "descriptors", files)
    assert sscd("dedup", "-f", "paths", *BY_FACTS).out == b"a.png\nc.png\n"
    (tmp_path / "middle.png").unlink()
    assert sscd("dedup", "-f", "paths", *BY_FACTS).out == b""


def test_an_image_named_twice_by_overlapping_sources_is_no_copy_of_itself(
    tiny: Run, tmp_path: Path
) -> None:
    picture(tmp_path / "photos" / "sub" / "a.png", 1)
    ran = tiny("dedup", "photos", "photos/sub", "-f", "paths")
    assert (ran.status, ran.out) == (0, b"")
    assert "1 more name of the same files left out" in ran.err
    (tmp_path / "photos").rename(tmp_path / "elsewhere")
    ran = tiny("dedup", "-f", "paths")
    assert (ran.status, ran.out) == (0, b"")


def test_a_link_and_its_file_are_one_image_and_the_file_counts(tiny: Run, tmp_path: Path) -> None:
    picture(tmp_path / "photos" / "z.png", 1)
    (tmp_path / "photos" / "a.png").symlink_to("z.png")
    (tmp_path / "photos" / "linked").symlink_to(".")
    shutil.copy2(tmp_path / "photos" / "z.png", tmp_path / "photos" / "zz.png")
    ran = tiny("dedup", "photos", "-f", "jsonl")
    assert clusters(ran) == [{"photos/z.png": True, "photos/zz.png": False}]


def test_a_linked_folder_holds_no_copies(tiny: Run, tmp_path: Path) -> None:
    picture(tmp_path / "photos" / "one" / "a.png", 1)
    (tmp_path / "photos" / "two").symlink_to("one")
    ran = tiny("dedup", "photos", "-f", "paths")
    assert (ran.status, ran.out) == (0, b"")


def test_links_are_no_copies_and_removing_one_frees_nothing(tiny: Run, tmp_path: Path) -> None:
    outside = picture(tmp_path / "outside.png", 1)
    (tmp_path / "photos").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "photos" / name).symlink_to(outside)
    hard = picture(tmp_path / "photos" / "c.png", 2)
    (tmp_path / "photos" / "d.png").hardlink_to(hard)
    ran = tiny("dedup", "photos", "-f", "paths")
    assert ran.out == b""
    assert "2 more names of the same files left out" in ran.err
    shutil.copy2(hard, tmp_path / "photos" / "a-copy.png")
    ran = tiny("dedup", "photos", "-f", "paths", "--keep", "path")
    assert ran.out == b"photos/c.png\n"
    assert "1 cluster, 1 removable (0 B)" in ran.err


@pytest.fixture
def one_link(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let hard links look as the names of a folder mounted twice do: of one file with one link."""
    stat = os.stat

    def with_one(path: Any, *args: Any, **kwargs: Any) -> os.stat_result:
        status = stat(path, *args, **kwargs)
        times = {"st_mtime_ns": status.st_mtime_ns}
        return os.stat_result([*status[:3], 1, *status[4:10]], times)

    monkeypatch.setattr(os, "stat", with_one)


@pytest.mark.usefixtures("one_link")
def test_an_image_in_a_folder_mounted_twice_is_no_copy_of_itself(
    sscd: Run, tmp_path: Path, store: Store
) -> None:
    original = picture(tmp_path / "photos" / "a.png", 1)
    (tmp_path / "mounted").mkdir()
    (tmp_path / "mounted" / "a.png").hardlink_to(original)
    for folder in (tmp_path / "photos", tmp_path / "mounted"):
        for dataset in ("descriptors", f"{folder.name}.d"):
            store(tmp_path / dataset, {folder / "a.png": A}, root=folder)
    ran = sscd("dedup", "-f", "paths")
    assert (ran.status, ran.out) == (0, b"")
    assert "1 more name of the same files left out" in ran.err
    ran = sscd("dedup", "-d", "photos.d", "--against", "mounted.d", "-f", "paths")
    assert (ran.status, ran.out) == (0, b"")


def test_an_image_here_is_not_removable_for_one_on_a_disk_that_is_not_there(
    sscd: Run, tmp_path: Path, store: Store
) -> None:
    store(tmp_path / "descriptors", copies(tmp_path / "usb", "a.png"), root=tmp_path / "usb")
    store(tmp_path / "descriptors", copies(tmp_path / "here", "b.png"), root=tmp_path / "here")
    assert sscd("dedup", "-f", "paths").out == b"here/b.png\n"
    (tmp_path / "usb").rename(tmp_path / "unplugged")
    ran = sscd("dedup", "-f", "paths")
    assert ran.out == b""
    assert "left out 1 image that vanished or changed" in ran.err


def test_descriptors_can_be_deduplicated_far_from_their_images(
    sscd: Run, tmp_path: Path, store: Store
) -> None:
    files = copies(tmp_path / "photos", "a.png", "b.png")
    store(tmp_path / "descriptors", files, root=tmp_path / "photos")
    shutil.rmtree(tmp_path / "photos")
    ran = sscd("dedup", "-f", "paths")
    assert ran.out == b"photos/b.png\n"
    assert "not on this machine, so not checked: 2 images in clusters" in ran.err


def test_members_of_an_archive_are_compared(tiny: Run, tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png", 1)
    with tarfile.open(tmp_path / "photos.tar", "w") as archive:
        for name in ("a.png", "b.png"):
            archive.add(path, name)
    (found,) = records_of(tiny("dedup", "photos.tar", "-f", "jsonl").out)
    assert [m["path"] for m in found["members"] if not m["keep"]] == ["photos.tar/b.png"]
    os.utime(tmp_path / "photos.tar", (1, 1))
    assert records_of(tiny("dedup", "-f", "jsonl").out) == []


def test_paths_are_files_and_what_is_in_archives_is_counted(tiny: Run, tmp_path: Path) -> None:
    path = picture(tmp_path / "photos" / "a.png", 1)
    picture(tmp_path / "photos" / "b.png", 1)
    with tarfile.open(tmp_path / "photos.tar", "w") as archive:
        archive.add(path, "c.png")
    ran = tiny("dedup", "photos", "photos.tar", "-f", "paths", "--keep", "first")
    assert ran.out == b"photos/b.png\n"
    assert (
        "sscd: warning: 1 removable image in archives or on servers is no path; "
        "sscd filter writes those again without it\n"
    ) in ran.err


def test_what_has_to_be_looked_at_in_an_archive_is_not_called_removable(
    tiny: Run, tmp_path: Path
) -> None:
    with tarfile.open(tmp_path / "photos.tar", "w") as archive:
        archive.add(picture(tmp_path / "made" / "a.png", 1), "a.png")
    picture(tmp_path / "other" / "b.png", 2)
    assert tiny("embed", "other", "-d", "other.d").status == 0
    ran = tiny("dedup", "photos.tar", "--against", "other.d", "-t", "-1", "-f", "paths")
    assert (ran.status, ran.out) == (0, b"")
    assert "0 of 1 image have a copy among 1 other, 1 more have one to look at\n" in ran.err
    assert "removable" not in ran.err


def test_against_images_that_cannot_be_looked_for_no_path_is_removable(
    sscd: Run, tmp_path: Path, store: Store
) -> None:
    store(tmp_path / "descriptors", {picture(tmp_path / "here" / "a.png", 1): A})
    store(tmp_path / "other", copies(tmp_path / "usb", "b.png"), root=tmp_path / "usb")
    assert sscd("dedup", "--against", "other", "-f", "paths").out == b"here/a.png\n"
    (tmp_path / "usb").rename(tmp_path / "unplugged")
    ran = sscd("dedup", "--against", "other", "-f", "paths")
    assert (ran.status, ran.out) == (0, b"")
    assert "not on this machine, so not checked: what 1 image would match;" in ran.err
    ran = sscd("dedup", "--against", "other")
    assert ran.out == b"here/a.png\n  1.000  usb/b.png  (not checked)\n"


def test_a_stale_name_of_a_file_does_not_leave_out_its_fresh_name(
    sscd: Run, tmp_path: Path, store: Store
) -> None:
    files = copies(tmp_path / "photos", "a.png", "b.png")
    store(tmp_path / "descriptors", files, root=tmp_path)
    os.utime(tmp_path / "photos" / "a.png", (MTIME + 5, MTIME + 5))
    store(tmp_path / "descriptors", files, root=tmp_path / "photos")
    assert sscd("dedup", "-f", "paths").out == b"photos/a.png\n"
