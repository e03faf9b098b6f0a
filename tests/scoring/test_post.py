"""Post-processing: the same as FAISS, the same in every run, and refused where it cannot be."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import drawn_provenance, picture, save_store

from sscd_cli.descriptors.read import read_comparable, stream_comparable
from sscd_cli.errors import SscdError, StoreError, UsageError
from sscd_cli.scoring.moments import Moments, Sample, principal_axes
from sscd_cli.scoring.post import PostProcessing, Transform


def drawn(rows: int, dimensions: int, seed: int = 0) -> np.ndarray:
    """Return unit vectors that vary ten times more in some directions than in others."""
    rng = np.random.default_rng(seed)
    spread = np.geomspace(1, 0.1, dimensions)
    turn = np.linalg.qr(np.random.default_rng(99).standard_normal((dimensions, dimensions)))[0]
    vectors = (rng.standard_normal((rows, dimensions)) * spread + 0.02) @ turn
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def fitted(sample: np.ndarray, transform: Transform = "whiten", **options: int) -> PostProcessing:
    provenance = drawn_provenance(sample.shape[1], dtype=sample.dtype.name)
    return PostProcessing.fit([sample], provenance, transform=transform, **options)


def by_definition(sample: np.ndarray, rows: np.ndarray, kept: int, *, whiten: bool) -> np.ndarray:
    """Project rows on the first axes of a sample, in float64."""
    mean = sample.mean(axis=0, dtype=np.float64)
    variances, axes = np.linalg.eigh(np.cov((sample - mean).T, bias=True))
    scale = np.sqrt(variances[::-1][:kept]) if whiten else 1
    found = (rows - mean) @ axes[:, ::-1][:, :kept] / scale
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.mark.parametrize(("dimensions", "kept"), [(64, 64), (64, 20), (512, 512), (512, 100)])
@pytest.mark.parametrize(("transform", "factory"), [("whiten", "PCAW"), ("pca", "PCA")])
def test_the_same_as_faiss(dimensions: int, kept: int, transform: Transform, factory: str) -> None:
    import faiss

    sample, rows = drawn(4000, dimensions), drawn(300, dimensions, seed=1)
    codec = faiss.index_factory(dimensions, f"{factory}{kept},L2norm,Flat")
    codec.train(sample)
    expected = np.frombuffer(codec.sa_encode(rows), np.float32).reshape(len(rows), kept)
    post = fitted(sample, transform, dimensions=kept)
    ours = post.apply(rows)
    assert post.name == f"{factory}{kept},L2norm"
    np.testing.assert_allclose(ours @ ours.T, expected @ expected.T, rtol=0, atol=1e-5)
    # axes that lie close are confused by FAISS's float32 sums, more so on some CPUs
    exact = by_definition(sample, rows, kept, whiten=transform == "whiten")
    same_signs = ours * np.sign((ours * exact).sum(axis=0))
    np.testing.assert_allclose(same_signs, exact, rtol=0, atol=1e-5)


def test_centring_subtracts_the_mean_and_restores_the_length() -> None:
    sample = drawn(50, 8)
    rows = drawn(5, 8, seed=1)
    expected = rows.astype(np.float64) - sample.astype(np.float64).mean(axis=0)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(fitted(sample, "center").apply(rows), expected, atol=1e-6)


def test_whitened_samples_vary_alike_in_all_directions() -> None:
    sample = drawn(2000, 16)
    post = fitted(sample)
    projected = (sample - post.mean) @ post.axes.T
    np.testing.assert_allclose(np.cov(projected.T, bias=True), np.eye(16), atol=1e-3)


def test_none_leaves_descriptors_and_provenance_as_they_are() -> None:
    sample = drawn(10, 8)
    post = fitted(sample, "none")
    assert np.array_equal(post.apply(sample), sample)
    assert post.applied_to(post.provenance) == post.provenance


def test_a_row_equal_to_the_mean_becomes_zero() -> None:
    post = replace(fitted(drawn(50, 8), "center"), mean=np.full(8, 0.5, np.float32))
    assert not post.apply(np.full((1, 8), 0.5, np.float32)).any()


def test_a_row_comes_out_the_same_bytes_whatever_is_beside_it() -> None:
    post, rows = fitted(drawn(500, 100), dimensions=37), drawn(3000, 100, seed=1)
    whole = post.apply(rows)
    for count in (1, 2, 7, 100, 1023, 1025):
        assert np.array_equal(post.apply(rows[-count:]), whole[-count:])


def test_moments_do_not_depend_on_the_blocks() -> None:
    rows = drawn(10_000, 8).astype(np.float16)
    whole, parts = Moments(8), Moments(8)
    whole.add(rows)
    for part in np.array_split(rows, 7):
        parts.add(part)
    np.testing.assert_allclose(whole.covariance, np.cov(rows.astype(float).T, bias=True), 1e-9)
    np.testing.assert_allclose(parts.covariance, whole.covariance, atol=1e-15)


def test_axes_have_one_sign() -> None:
    _, axes = principal_axes(np.cov(drawn(100, 6).T))
    assert (axes[np.arange(6), np.abs(axes).argmax(axis=1)] > 0).all()


def test_a_sample_is_even_bounded_and_the_same_for_any_blocks() -> None:
    rows = np.arange(1000)[:, None]
    chosen = []
    for parts in (1, 7, 1000):
        sample = Sample(50, seed=3)
        for part in np.array_split(rows, parts):
            sample.add(part)
        chosen.append(sample.rows.ravel().tolist())
    assert chosen[0] == chosen[1] == chosen[2] == sorted(set(chosen[0]))
    assert len(chosen[0]) == 50
    assert 400 < np.mean(chosen[0]) < 600


def test_memory_does_not_grow_with_the_sample() -> None:
    import tracemalloc

    def peak(blocks: int) -> int:
        stream = (np.ones((1000, 64), np.float16) * drawn(1000, 64, seed) for seed in range(blocks))
        tracemalloc.start()
        PostProcessing.fit(stream, drawn_provenance(64), transform="whiten", background=500)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(1)
    assert peak(30) < 1.2 * peak(5)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_sample_too_small_names_the_images_needed(dtype: type) -> None:
    sample = np.repeat(drawn(30, 32).astype(dtype), 3, axis=0)
    with pytest.raises(StoreError) as caught:
        fitted(sample)
    assert str(caught.value) == (
        "the sample is too small or too alike: 90 images vary in 29 dimensions, and whiten needs "
        "32; fit on 33 distinct images at the least, or use --dimensions 29"
    )
    assert np.isfinite(fitted(sample, dimensions=29).apply(sample)).all()


@pytest.mark.parametrize("transform", ["center", "pca", "whiten"])
def test_images_that_are_all_the_same_teach_nothing(transform: Transform) -> None:
    with pytest.raises(StoreError, match="vary in 0 dimensions"):
        fitted(np.repeat(drawn(1, 8), 20, axis=0), transform)


def test_no_images_teach_nothing() -> None:
    with pytest.raises(StoreError, match="no readable image"):
        fitted(np.empty((0, 8), np.float32), "none")


@pytest.mark.parametrize(
    ("transform", "dimensions", "message"),
    [
        ("whiten", 9, "--dimensions 9 does not fit descriptors of 8; use 1 to 8"),
        ("pca", 0, "--dimensions 0 does not fit descriptors of 8; use 1 to 8"),
        ("center", 4, "--transform center keeps all 8 dimensions"),
    ],
)
def test_impossible_dimensions(transform: Transform, dimensions: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fitted(drawn(50, 8), transform, dimensions=dimensions)


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    post = fitted(drawn(50, 8).astype(np.float16), dimensions=5, background=20)
    post.save(tmp_path / "post")
    again = PostProcessing.load(tmp_path / "post")
    rows = drawn(9, 8, seed=1)
    assert np.array_equal(again.apply(rows), post.apply(rows))
    assert np.array_equal(again.background, post.background)
    assert again.background.shape == (20, 5)
    assert (again.label, again.images, again.date) == (post.label, 50, post.date)
    assert again.provenance == post.provenance
    assert list(tmp_path.iterdir()) == [tmp_path / "post"]


def damaged(whole: bytes) -> Iterator[bytes]:
    """Yield a file torn, with one byte changed, of another kind, and of another version."""
    yield b""
    yield whole[: len(whole) // 2]
    yield whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:]
    yield b"PK\x03\x04" + whole
    yield struct.pack("<Q", 2) + b"{}"
    yield whole.replace(b'\\"version\\": 1', b'\\"version\\": 2')
    yield whole.replace(b"whiten", b"darken")
    yield whole.replace(b"whiten", b"center")  # which turns nothing, and so has no axes


def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "post"
    fitted(drawn(50, 8), "whiten").save(path)
    whole = path.read_bytes()
    for payload in damaged(whole):
        assert payload != whole
        path.write_bytes(payload)
        with pytest.raises(StoreError, match="or is damaged; run sscd fit again"):
            PostProcessing.load(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is no file .*none; run sscd fit"):
        PostProcessing.load(tmp_path / "none")
    with pytest.raises(StoreError, match="Is a directory; name a file"):
        PostProcessing.load(tmp_path)


def test_a_dataset_is_post_processed_as_it_is_read(tmp_path: Path) -> None:
    rows = drawn(40, 8)
    files = {picture(tmp_path / f"{i:02}.png", i): row for i, row in enumerate(rows)}
    folder = save_store(tmp_path / "store", files)
    provenance, blocks = stream_comparable(folder)
    post = PostProcessing.fit(blocks, provenance, transform="pca", dimensions=4)
    plain, read = read_comparable(folder), read_comparable(folder, post=post)
    assert np.array_equal(plain.descriptors, rows)
    assert np.array_equal(read.descriptors, post.apply(rows))
    assert (read.provenance.dimensions, read.provenance.post) == (4, post.label)
    assert read.provenance.threshold is None
    assert plain.provenance.post is None


def test_descriptors_of_another_model_are_refused(tmp_path: Path) -> None:
    files = {picture(tmp_path / f"{i}.png", i): row for i, row in enumerate(drawn(20, 8))}
    theirs = save_store(tmp_path / "theirs", files, weights="1" * 64)
    post = fitted(drawn(20, 8))
    with pytest.raises(SscdError, match=r"fitted on other descriptors: .* \(weights 111111111111"):
        read_comparable(theirs, post=post)


def test_post_processed_descriptors_cannot_be_post_processed_again() -> None:
    post = fitted(drawn(20, 8), "center")
    with pytest.raises(StoreError, match="no post-processing against center,L2norm"):
        post.applied_to(post.applied_to(post.provenance))


def test_two_fits_are_told_apart_and_one_fit_is_the_same_in_every_run() -> None:
    labels = [fitted(drawn(50, 8, seed)).label for seed in (0, 0, 1)]
    assert labels[0] == labels[1] != labels[2]


def test_the_file_says_what_it_was_learned_from(tmp_path: Path) -> None:
    fitted(drawn(50, 8)).save(tmp_path / "post")
    payload = (tmp_path / "post").read_bytes()
    header = json.loads(payload[8 : 8 + struct.unpack("<Q", payload[:8])[0]])
    metadata = json.loads(header["__metadata__"]["sscd_post"])
    assert (metadata["transform"], metadata["images"]) == ("whiten", 50)
    assert metadata["provenance"]["model"] == "drawn"
