"""Counting ahead: the images of a job, by a walk beside the work."""

from __future__ import annotations

import io
import tarfile
import time
from pathlib import Path

import pytest

from sscd_cli.commands.embed import counted_ahead
from sscd_cli.embedding.job import Job
from sscd_cli.machines import stages
from sscd_cli.machines.stages import Stage, each, stage
from sscd_cli.machines.tasks import Task
from sscd_cli.options.embed import EmbedOptions


@pytest.fixture(autouse=True)
def _watched():
    stages.watch(True)
    yield
    stages.watch(False)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "below").mkdir(parents=True)
    for number in range(130):
        (folder / ("below" if number % 2 else ".") / f"{number}.jpg").write_bytes(b"x")
    (folder / "notes.txt").write_text("no image")
    return folder


def packed(path: Path, mode: str) -> Path:
    with tarfile.open(path, mode) as tar:
        for number in range(3):
            tar.addfile(tarfile.TarInfo(f"{number}.jpg"), io.BytesIO())
    return path


def counted(*sources: Path, **options) -> Stage:
    work = Stage("images")
    with counted_ahead(EmbedOptions(sources=tuple(map(str, sources)), **options).fill(Job), work):
        for _ in range(500):
            if work.total is not None and not work.listing:
                break
            time.sleep(0.01)
    return work


def test_a_folder_is_counted_with_those_below(photos: Path) -> None:
    assert counted(photos).total == 130
    assert counted(photos, exclude=("below*",)).total == 65
    assert not counted(photos).listing


def test_the_images_of_tasks_are_those_of_all(photos: Path) -> None:
    counts = [counted(photos, task=Task(3, number)).total or 0 for number in (1, 2, 3)]
    assert sum(counts) == 130


def test_archives_and_lists_are_counted(photos: Path, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("a.jpg\nb.jpg\n")
    assert counted(packed(tmp_path / "a.tar", "w"), names).total == 5


@pytest.mark.parametrize("source", ["-", "s3://bucket/photos", "photos.tar.gz"])
def test_what_is_dear_to_count_is_not_counted(source: str, tmp_path: Path) -> None:
    packed(tmp_path / "photos.tar.gz", "w:gz")
    path = str(tmp_path / source) if source.endswith("gz") else source
    work = Stage("images")
    with counted_ahead(EmbedOptions(sources=(path,)).fill(Job), work):
        time.sleep(0.05)
    assert (work.total, work.listing) == (None, False)


def test_nothing_is_counted_where_nobody_looks(photos: Path) -> None:
    stages.watch(False)
    work = Stage("images")
    with counted_ahead(EmbedOptions(sources=(str(photos),)).fill(Job), work):
        pass
    assert work.total is None


def test_stages_lie_one_within_the_other_and_count_what_is_done() -> None:
    assert stages.current() is None
    with stage("outer", 2) as outer:
        for thing in each("ab", "inner", 2):
            inner = stages.current()
            assert inner is not None
            assert (inner.name, inner.done, inner.total) == ("inner", "ab".index(thing), 2)
        assert stages.current() is outer
        outer.add(2)
    assert outer.done == 2
    assert stages.current() is None
