"""Where images resemble too many others only their exact copies may go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run, picture
from doubtful import bands, near, save
from PIL import Image

from sscd_cli.choices import CROWD
from sscd_cli.matching.doubts import resemblance

A, B, C = np.eye(64)[:3]


def pages(tmp_path: Path, count: int) -> dict[Path, tuple[Any, dict[str, Any]]]:
    """Draw so many pictures that are all alike to 0.8."""
    common = 0.8**0.5 * A
    return {
        picture(tmp_path / f"{page:02}.png", page): (
            common + 0.2**0.5 * np.eye(64)[page + 1],
            {"content": 900},
        )
        for page in range(count)
    }


def test_where_everything_resembles_everything_only_exact_copies_may_go(
    sscd: Run, tmp_path: Path
) -> None:
    files = pages(tmp_path, 25)
    twin = picture(tmp_path / "twin.png", 1)
    files[twin] = (
        files[tmp_path / "01.png"][0],
        {"content_hash": b"01.png".ljust(16), "content": 900},
    )
    save(tmp_path / "descriptors", files)
    ran = sscd("dedup", "--keep", "path", "-f", "paths")
    assert ran.lines == ["twin.png"]
    assert "many of these images resemble one another: of 300 random pairs 100.0%" in ran.err
    assert "are above the threshold 0.75" in ran.err
    assert "the median is 0.80" in ran.err
    found = bands(sscd("dedup", "--keep", "path", "-f", "jsonl"))
    assert set(found.values()) == {(True, ""), (True, "look at it"), (False, "exact bytes")}
    ran = sscd("dedup", "--keep", "path", "--yes", "-f", "paths")
    assert len(ran.lines) == 25
    assert "resemble" not in ran.err
    assert sscd("dedup", "--task", "1/1").status == 0
    ran = sscd("dedup", "--keep", "path", "-f", "paths")
    assert ran.lines == ["twin.png"]
    assert "of 300 random pairs 100.0%" in ran.err


def test_a_crowd_among_other_images_is_looked_at_and_the_others_are_not(
    sscd: Run, tmp_path: Path
) -> None:
    files = pages(tmp_path, 34)
    generator = np.random.default_rng(0)
    for number in range(250):
        vector = generator.standard_normal(64)
        vector[:36] = 0
        vector /= np.linalg.norm(vector)
        for name in ("x", "y")[: 2 if number == 7 else 1]:
            path = picture(tmp_path / f"{name}{number}.png", 100)
            files[path] = (vector + (name == "y") * 0.01 * A, {"content": 900})
    save(tmp_path / "descriptors", files, threshold=0.79)
    ran = sscd("dedup", "--keep", "path", "-f", "paths")
    assert ran.lines == ["y7.png"]
    assert "34 images resemble 32 others or more" in ran.err
    assert len(sscd("dedup", "--keep", "path", "--yes", "-f", "paths").lines) == 34


@pytest.mark.parametrize("photographs", [25, 3])
def test_where_most_images_are_a_crowd_copies_of_the_others_go_nonetheless(
    sscd: Run, tmp_path: Path, photographs: int
) -> None:
    files = pages(tmp_path / "pages", 27)
    for number, vector in enumerate(np.eye(64)[30 : 30 + photographs]):
        for name, shift in (("x", 0.0), ("y", 0.01), ("z", 0.02))[: 3 if number == 1 else 1]:
            path = picture(tmp_path / "photographs" / f"{name}{number}.png", 100)
            files[path] = (vector + shift * A, {"content": 900})
    save(tmp_path / "descriptors", files)
    ran = sscd("dedup", "--keep", "path", "--no-second-look", "-f", "paths")
    assert [Path(line).name for line in ran.lines] == ["y1.png", "z1.png"]
    assert "; 27 images that do are marked look at, and not removable" in ran.err


def test_against_a_crowd_only_exact_copies_have_paths(sscd: Run, tmp_path: Path) -> None:
    save(tmp_path / "descriptors", pages(tmp_path / "ours", 20))
    save(tmp_path / "other", pages(tmp_path / "theirs", 10))
    ran = sscd("dedup", "--against", "other", "-f", "paths")
    assert len(ran.lines) == 10, "the same names, so the same hashes"
    assert "random pairs 100.0% are above" in ran.err
    assert len(sscd("dedup", "--against", "other", "-f", "paths", "--yes").lines) == 20


@pytest.mark.parametrize(
    ("few", "said"), [(3, "3 images resemble 32 others or more"), (20, "; 20 images that do are")]
)
def test_against_pages_among_photographs_no_page_has_a_path(
    sscd: Run, tmp_path: Path, few: int, said: str
) -> None:
    for name, count in (("ours", few), ("theirs", CROWD + 1)):
        drawn = pages(tmp_path / name, count).items()
        files = {path.rename(path.with_stem(f"{name}{path.stem}")): facts for path, facts in drawn}
        for number, vector in enumerate(np.eye(64)[40:60]):
            photograph = picture(tmp_path / name / f"{name}-p{number}.png", number)
            files[photograph] = (vector, {"content": 900})
        save(tmp_path / f"{name}.d", files)
    words = ("dedup", "-d", "ours.d", "--against", "theirs.d", "-f", "paths", "--no-second-look")
    ran = sscd(*words)
    assert said in ran.err
    assert len(ran.lines) == 20
    assert all("ours-p" in line for line in ran.lines)
    assert len(sscd(*words, "--yes").lines) == 20 + few


def test_photographs_resemble_each_other_in_no_random_pair() -> None:
    rows = np.random.default_rng(0).standard_normal((150, 256))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found = resemblance(rows, 0.55)
    assert (found.pairs, found.share) == (150 * 149 // 2, 0)
    assert not found.tells_nothing


def test_copies_of_few_images_are_no_crowd() -> None:
    assert not resemblance(
        np.stack([near(A, 0.9, axis) for axis in range(3, 20)]), 0.55
    ).tells_nothing


@pytest.mark.parametrize(("images", "copies"), [(20, 1), (20, 2), (10, 3), (40, 3)])
def test_a_small_folder_of_pictures_with_copies_is_no_crowd(images: int, copies: int) -> None:
    rng = np.random.default_rng(images)
    rows = np.repeat(rng.standard_normal((images, 256)), 1 + copies, axis=0)
    rows += 0.2 * rng.standard_normal(rows.shape)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found = resemblance(rows, 0.75)
    assert found.share >= copies / (len(rows) - 1) - 1e-9
    assert not found.tells_nothing


def test_the_field_case_of_text_pages(sscd: Run, tmp_path: Path) -> None:
    from PIL import ImageDraw

    folder = tmp_path / "pages"
    folder.mkdir()
    for page in range(22):
        generator = np.random.default_rng(page)
        image = Image.new("RGB", (425, 550), "white")
        draw = ImageDraw.Draw(image)
        for y in range(30, 520, 13):
            letters = generator.choice(list("abcdefghijklmno      "), 55)
            draw.text((30, y), "".join(letters), fill="black")
        image.save(folder / f"{page:02}.png")
    for words in ((), ("-t", "0.55"), ("-t", "0.75")):
        ran = sscd("dedup", folder, *words, "-f", "paths")
        assert (ran.status, ran.lines) == (0, [])
    assert "next to nothing" not in ran.err
