"""`sscd fit`: one file from a dataset, and clear words where none can be made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import Run, error_line, picture, save_store

from sscd_cli.descriptors.post import PostProcessing
from sscd_cli.descriptors.read import read_comparable


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    rows = np.random.default_rng(0).standard_normal((30, 8))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    files = {picture(tmp_path / f"{i:02}.png", i): row for i, row in enumerate(rows)}
    return save_store(tmp_path / "descriptors", files)


def test_fit_writes_one_file_and_says_what_it_is(sscd: Run, stored: Path) -> None:
    ran = sscd("fit", "-o", "post", "--dimensions", "2", "--background", "7", "--seed", "1")
    assert (ran.status, ran.out) == (0, b"")
    assert ran.err == (
        "sscd: warning: 30 images are few to whiten 8 dimensions; 80 or more are better\n"
        "post: PCAW2,L2norm of 30 images of drawn, 7 kept as background\n"
    )
    post = PostProcessing.load(Path("post"))
    rows = read_comparable(stored).descriptors
    expected = PostProcessing.fit(
        [rows], read_comparable(stored).provenance, dimensions=2, background=7, seed=1
    )
    assert np.array_equal(post.apply(rows), expected.apply(rows))
    assert np.array_equal(post.background, expected.background)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--transform", "shear"], "unknown transform 'shear'; use one of whiten, pca, center"),
        (["--dimensions", "9"], "--dimensions 9 does not fit descriptors of 8; use 1 to 8"),
        (["--background", "-1"], "--background -1 is impossible; use 0 or more"),
        (["--seed", "-1"], "--seed -1 is negative; use 0 or more"),
    ],
)
def test_what_cannot_be_fitted_is_a_usage_error(
    sscd: Run, stored: Path, words: list[str], message: str
) -> None:
    ran = sscd("fit", "-o", "post", *words)
    assert ran.status == 2
    assert error_line(ran).startswith(message)
    assert not Path("post").exists()


def test_a_sample_that_is_too_small_names_the_images_needed(sscd: Run, tmp_path: Path) -> None:
    files = {picture(tmp_path / f"{i}.png", i): np.eye(8)[i] for i in range(4)}
    save_store(tmp_path / "few", files)
    ran = sscd("fit", "few", "-o", "post")
    assert ran.status == 3
    assert error_line(ran).endswith("fit on 9 distinct images at the least, or use --dimensions 3")
    assert not Path("post").exists()
    assert sscd("fit", "few", "-o", "post", "--transform", "center").status == 0


def test_other_outputs_and_unreadable_images_teach_nothing(sscd: Run, tmp_path: Path) -> None:
    files = {picture(tmp_path / f"{i}.png", i): np.eye(2)[i] for i in range(2)}
    save_store(tmp_path / "logits", files, output_kind="logits")
    assert "holds logits rows" in error_line(sscd("fit", "logits", "-o", "post"))
    torn = tmp_path / "torn.png"
    torn.write_bytes(b"")
    save_store(tmp_path / "some", {**files, torn: "no image"})
    assert "vary in 1 dimensions" in error_line(sscd("fit", "some", "-o", "post"))
