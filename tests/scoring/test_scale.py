"""Score normalisation against its definition, and scales that are never mixed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import drawn_provenance

from sscd_cli.errors import UsageError
from sscd_cli.scoring.post import PostProcessing
from sscd_cli.scoring.scale import COSINE, Scale
from sscd_cli.scoring.score_norm import ScoreNorm
from sscd_cli.scoring.threshold import resolve


def unit(rows: int, dimensions: int = 16, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, dimensions)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def saved(path: Path, transform: str = "center", images: int = 60, **options: int) -> Path:
    provenance = drawn_provenance(16)
    PostProcessing.fit([unit(images)], provenance, transform=transform, **options).save(path)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("text", ["1.0[0,2]", "0.5[1,3]", "2[4]", "1.0[0,49]", "0[0]"])
def test_the_bias_is_the_mean_of_the_named_neighbours(text: str) -> None:
    norm, queries, background = ScoreNorm.parse(text), unit(40, seed=1), unit(50, seed=2)
    falling = -np.sort(-(queries.astype(float) @ background.T.astype(float)), axis=1)
    expected = norm.weight * falling[:, norm.first : norm.last + 1].mean(axis=1)
    np.testing.assert_allclose(norm.bias(queries, background), expected, atol=1e-6)


def test_scores_are_those_of_the_references_augmented_descriptors() -> None:
    """`apply_score_norm` appends the adjustment to queries and ones to references."""
    import faiss

    queries, references, training = unit(30, seed=1), unit(70, seed=2), unit(90, seed=3)
    index = faiss.IndexFlatIP(16)
    index.add(training)
    nearest, _ = index.search(queries, 3)
    adjusted = np.hstack([queries, -1.0 * nearest.mean(axis=1, keepdims=True)])
    expected = adjusted @ np.hstack([references, np.ones((70, 1), np.float32)]).T
    bias = ScoreNorm.parse("1.0[0,2]").bias(queries, training)
    np.testing.assert_allclose(queries @ references.T - bias[:, None], expected, atol=1e-6)


def test_the_bias_is_the_same_in_small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    norm, queries, background = ScoreNorm(1.0, 0, 2), unit(40, seed=1), unit(50, seed=2)
    whole = norm.bias(queries, background)
    monkeypatch.setattr("sscd_cli.scoring.score_norm._BLOCK_BYTES", 4 * 50 * 7)
    np.testing.assert_allclose(norm.bias(queries, background), whole, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [("1.0[0,2]", "1.00[0,2]"), (" .5[3] ", "0.50[3,3]"), ("1[0,0]", "1.00[0,0]")],
)
def test_a_normalisation_is_written_as_the_reference_does(text: str, parsed: str) -> None:
    assert str(ScoreNorm.parse(text)) == parsed


@pytest.mark.parametrize("text", ["", "1.0", "1.0[2,0]", "-1[0,2]", "1.0[0,2", "x[0,2]", "1[-1,2]"])
def test_a_malformed_normalisation_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"write WEIGHT\[FIRST,LAST\], such as 1.0\[0,2\]"):
        ScoreNorm.parse(text)


def test_normalisation_needs_a_background_that_is_large_enough(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs a background of other images"):
        Scale.load(None, "1.0[0,2]")
    post = saved(tmp_path / "post", background=3)
    assert Scale.load(post, "1.0[0,2]").norm
    with pytest.raises(UsageError, match=r"1.00\[0,3\] needs 4 background images, .* keeps 3"):
        Scale.load(post, "1.0[0,3]")


def test_a_scale_has_a_name_of_its_own(tmp_path: Path) -> None:
    one, other = saved(tmp_path / "one"), saved(tmp_path / "other", images=61)
    plain = saved(tmp_path / "plain", "none")
    scales = [
        Scale.load(None, None),
        Scale.load(one, None),
        Scale.load(one, "1.0[0,2]"),
        Scale.load(one, "0.5[0,2]"),
        Scale.load(other, "1.0[0,2]"),
        Scale.load(plain, "1.0[0,2]"),
    ]
    assert len({str(scale) for scale in scales}) == len(scales)
    assert str(scales[2]) == str(Scale.load(one, "1[0,2]"))
    assert [scale.is_cosine for scale in scales] == [True] + 5 * [False]
    assert Scale.load(plain, None).is_cosine


def test_the_models_threshold_holds_for_plain_cosine_only(tmp_path: Path) -> None:
    plain, post = drawn_provenance(16, threshold=0.6), saved(tmp_path / "post")
    assert resolve(None, plain, tmp_path, COSINE) == 0.6
    assert resolve(0.1, plain, tmp_path, Scale.load(post, "1.0[0,2]")) == 0.1
    for scale in (Scale.load(post, None), Scale.load(saved(tmp_path / "none", "none"), "1[0,2]")):
        with pytest.raises(UsageError, match="another scale; name one of that scale"):
            resolve(None, scale.provenance(plain), tmp_path, scale)
