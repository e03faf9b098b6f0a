"""`sscd fit`: one file from a dataset, and clear words where none can be made."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import Run, error_line, picture, save_store, save_tiny_model

from sscd_cli.descriptors.read import read_comparable
from sscd_cli.scoring.post import PostProcessing


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    rows = np.random.default_rng(0).standard_normal((30, 8))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    files = {picture(tmp_path / f"{i:02}.png", i): row for i, row in enumerate(rows)}
    return save_store(tmp_path / "descriptors", files)


def test_fit_writes_one_file_and_says_what_it_is(sscd: Run, stored: Path) -> None:
    ran = sscd(
        "fit",
        "-o",
        "post",
        "--transform",
        "whiten",
        "--dimensions",
        "2",
        "--background",
        "7",
        "--seed",
        "1",
    )
    assert (ran.status, ran.out) == (0, b"")
    assert ran.err == (
        "sscd: warning: 30 images are few to whiten 8 dimensions; 80 or more are better\n"
        "post: PCAW2,L2norm of 30 images of drawn, 7 kept as background\n"
    )
    post = PostProcessing.load(Path("post"))
    rows = read_comparable(stored).descriptors
    expected = PostProcessing.fit(
        [rows],
        read_comparable(stored).provenance,
        transform="whiten",
        dimensions=2,
        background=7,
        seed=1,
    )
    assert np.array_equal(post.apply(rows), expected.apply(rows))
    assert np.array_equal(post.background, expected.background)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--transform", "shear"],
            "unknown transform 'shear'; use one of center, pca, whiten, none",
        ),
        (
            ["--transform", "pca", "--dimensions", "9"],
            "--dimensions 9 does not fit descriptors of 8; use 1 to 8",
        ),
        (["--background", "-1"], "--background -1 is too small; use 0 to 2,147,483,647"),
        (["--seed", "-1"], "--seed -1 is too small; use 0 to 9,223,372,036,854,775,807"),
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
    ran = sscd("fit", "few", "-o", "post", "--transform", "whiten")
    assert ran.status == 3
    assert error_line(ran).endswith("fit on 9 distinct images at the least, or use --dimensions 3")
    assert not Path("post").exists()
    assert sscd("fit", "few", "-o", "post").status == 0


def test_other_outputs_and_unreadable_images_teach_nothing(sscd: Run, tmp_path: Path) -> None:
    files = {picture(tmp_path / f"{i}.png", i): np.eye(2)[i] for i in range(2)}
    save_store(tmp_path / "logits", files, output_kind="logits")
    assert "holds logits rows" in error_line(sscd("fit", "logits", "-o", "post"))
    torn = tmp_path / "torn.png"
    torn.write_bytes(b"")
    save_store(tmp_path / "some", {**files, torn: "no image"})
    ran = sscd("fit", "some", "-o", "post", "--transform", "whiten")
    assert "2 images vary in 1 dimensions" in error_line(ran)


@pytest.fixture
def photos(tiny: Run, gallery: Path) -> Path:
    """Embed some of the gallery, and fit on it what keeps 3 of 16 dimensions."""
    for path in sorted(gallery.iterdir())[10:]:
        path.unlink()
    assert tiny("embed", gallery, "--dtype", "float32").status == 0
    assert tiny("fit", "-o", "post", "--transform", "pca", "--dimensions", "3").status == 0
    return gallery


def test_search_with_post_is_brute_force_over_post_processed_rows(tiny: Run, photos: Path) -> None:
    post = PostProcessing.load(Path("post"))
    stored = read_comparable(Path("descriptors"), post=post)
    query = 5
    words = ("search", stored.path(query), "-k", "4", "-f", "jsonl", "--post", "post")
    ran = tiny(*words)
    hits = [json.loads(line) for line in ran.lines]
    assert {hit["scale"] for hit in hits} == {f"cosine after {post.label}"}
    cosines = stored.descriptors @ stored.descriptors[query]
    expected = np.sort(cosines)[::-1][:4]
    np.testing.assert_allclose([hit["similarity"] for hit in hits], expected, atol=1e-4)
    assert ran.err.endswith(f"by an exact search, cosine after {post.label}\n")
    normed = tiny(*words, "--score-norm", "1.0[0,1]")
    nearest = np.sort(post.background @ stored.descriptors[query])[::-1][:2]
    np.testing.assert_allclose(
        [json.loads(line)["similarity"] for line in normed.lines],
        expected - nearest.mean(),
        atol=1e-4,
    )


def test_an_index_answers_only_on_its_own_scale(tiny: Run, photos: Path) -> None:
    label = PostProcessing.load(Path("post")).label
    assert f"images, cosine after {label}, Flat, built" in tiny("index", "--post", "post").err
    assert "0 added" in tiny("index", "--post", "post").err
    manifest = json.loads(Path("descriptors/index.faiss.json").read_text())
    assert manifest["provenance"]["post"] == label
    image = min(photos.iterdir())
    assert "by its index" in tiny("search", image, "--post", "post").err
    assert "by an exact search" in tiny("search", image).err
    assert ", built" in tiny("index").err
    assert "by its index\n" in tiny("search", image).err


def test_pair_is_symmetric_and_says_its_scale(tiny: Run, photos: Path) -> None:
    a, b = sorted(photos.iterdir())[:2]
    words = ("--post", "post", "--score-norm", "0.5[0,2]", "-t", "0.1", "-f", "json")
    one, other = (
        json.loads(tiny("pair", a, b, *words).out),
        json.loads(tiny("pair", b, a, *words).out),
    )
    post = PostProcessing.load(Path("post"))
    stored = read_comparable(Path("descriptors"), post=post)
    rows = [next(i for i in range(len(stored)) if stored.path(i) == str(p)) for p in (a, b)]
    left, right = stored.descriptors[rows]
    bias = [0.5 * np.sort(post.background @ row)[::-1][:3].mean() for row in (left, right)]
    assert one["similarity"] == pytest.approx(left @ right - np.mean(bias), abs=1e-4)
    assert one["distance"] == pytest.approx((2 - 2 * left @ right) ** 0.5, abs=1e-3)
    assert one["similarity"] == pytest.approx(other["similarity"], abs=1e-6)
    assert one["scale"].startswith(f"cosine after {post.label}, normalised 0.50[0,2] by ")
    plain = json.loads(tiny("pair", a, b, "-f", "json").out)
    assert plain["scale"] == "cosine"


def test_a_threshold_of_another_scale_is_never_used(tiny: Run, photos: Path) -> None:
    a, b = sorted(photos.iterdir())[:2]
    ran = tiny("pair", a, b, "--post", "post")
    assert ran.status == 2
    assert error_line(ran).endswith("another scale; name one of that scale with --threshold")
    assert "needs a background" in error_line(tiny("pair", a, b, "--score-norm", "1[0,2]"))


def test_post_processing_of_another_model_is_refused(
    sscd: Run, tiny: Run, photos: Path, tmp_path: Path
) -> None:
    other = save_tiny_model(tmp_path / "other.safetensors", seed=1)
    a, b = sorted(photos.iterdir())[:2]
    ran = sscd("pair", a, b, "--post", "post", "-m", other, "-t", "0.5")
    assert ran.status == 3
    assert "the post-processing was fitted on other descriptors: tiny" in error_line(ran)
    ran = sscd("search", a, "--post", "post", "-m", other)
    assert error_line(ran).startswith("descriptors was made by tiny with other weights (")


def test_eval_self_measures_on_the_scale_asked_for(tiny: Run, photos: Path) -> None:
    words = ("eval", "self", photos, "--limit", "2", "--post", "post")
    plain = json.loads(tiny("eval", "self", photos, "--limit", "2", "-f", "json").out)
    normed = json.loads(tiny(*words, "--score-norm", "1.0[0,2]", "-f", "json").out)
    label = PostProcessing.load(Path("post")).label
    assert plain["scale"] == "cosine"
    assert normed["scale"].startswith(f"cosine after {label}, normalised 1.00[0,2] by 10 images")
    assert normed["threshold"] < plain["threshold"]
    text = tiny(*words).out.decode()
    assert f"similarities: cosine after {label}\n" in text
    assert text.count("\nat threshold ") == 1
