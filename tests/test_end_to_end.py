"""The installed `sscd` with the bundled model on the shipped gallery, as the README has it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import DATA, SSCD, csv_rows_of, names_in, records_of

# what the bundled model finds: all copies of the gallery but the quarter turn
FOUND = {
    "alps-brighter.jpg",
    "canyon-flipped.jpg",
    "canyon-gray.jpg",
    "harbour-cropped.jpg",
    "harbour-half.jpg",
    "harbour-low-quality.jpg",
    "marbles-again.jpg",
    "planet.png",
    "reef-blurred.jpg",
    "skyline-captioned.jpg",
    "vase-framed.jpg",
}


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    """Run the installed command; the network has no way out."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("SSCD_")}
    env |= {"https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
    return subprocess.run([SSCD, *words], cwd=folder, env=env, capture_output=True, check=False)


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Do the main job once: embed a copy of the gallery and report its clusters."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "gallery").mkdir()
    for path in (DATA / "gallery").iterdir():
        (folder / "gallery" / path.name).write_bytes(path.read_bytes())
    yield {"folder": folder, "ran": run(folder, "dedup", "gallery", "--format", "jsonl")}


@pytest.fixture
def clusters(worked: dict[str, Any]) -> list[dict[str, Any]]:
    ran = worked["ran"]
    assert ran.returncode == 0, ran.stderr
    return records_of(ran.stdout)


def test_easy_copies_are_in_the_cluster_of_their_original(
    clusters: list[dict[str, Any]], truth: dict[str, str]
) -> None:
    together = [{member["id"] for member in cluster["members"]} for cluster in clusters]
    for copy in FOUND:
        assert any({copy, truth[copy]} <= members for members in together), copy


def test_removable_images_are_copies_of_their_keepers(
    clusters: list[dict[str, Any]], worked: dict[str, Any]
) -> None:
    names = names_in(worked["folder"] / "gallery")
    for cluster in clusters:
        kept = {member["path"] for member in cluster["members"] if member["keep"]}
        assert kept
        for member in cluster["members"]:
            assert member["keeper"] in kept
            assert member["id"] in names
            assert member["path"] == f"gallery/{member['id']}"


def test_what_could_not_be_read_is_named_and_counted(worked: dict[str, Any]) -> None:
    err = worked["ran"].stderr.decode()
    assert "unreadable: gallery/torn.jpg: " in err
    assert "40 images: 38 embedded, 1 exact copy, 1 unreadable, 0 unchanged\n" in err
    assert "39 images, 1 unreadable: " in err


def test_later_runs_read_what_the_first_one_stored(
    worked: dict[str, Any], clusters: list[dict[str, Any]]
) -> None:
    folder = worked["folder"]
    again = run(folder, "dedup", "-q", "-f", "jsonl", "--exit-code")
    assert (again.returncode, again.stderr) == (1, b"")
    assert records_of(again.stdout) == clusters
    text = run(folder, "dedup", "-t", "0.9999", "-f", "csv", "--strict")
    assert text.returncode == 4
    rows = csv_rows_of(text.stdout)
    assert {"marbles.jpg", "marbles-again.jpg"} <= {row["id"] for row in rows}


def test_pair_and_search_agree_with_the_report(worked: dict[str, Any]) -> None:
    folder = worked["folder"]
    ran = run(folder, "pair", "gallery/marbles.jpg", "gallery/marbles-again.jpg", "--exit-code")
    assert ran.returncode == 0
    assert ran.stdout.startswith(b"similarity 1.0000  distance 0.0")
    assert b"  copy at threshold " in ran.stdout
    ran = run(folder, "search", "gallery/harbour-half.jpg", "-k", "2", "-f", "jsonl")
    hits = [json.loads(line) for line in ran.stdout.splitlines()]
    assert {hit["path"] for hit in hits} == {"gallery/harbour-half.jpg", "gallery/harbour.jpg"}
