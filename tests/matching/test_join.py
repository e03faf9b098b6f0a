"""The threshold join against brute force: exact, in groups, across two sets."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
from joins import as_dict, assert_same, brute_force, descriptors, unit

from sscd_cli.choices import METHODS
from sscd_cli.errors import SscdError, UsageError
from sscd_cli.matching import cells as cells_of
from sscd_cli.matching import groups, join, products, sketches
from sscd_cli.matching.copies import Recall, sampled_recall
from sscd_cli.matching.join import Pairs, cross_pairs, find_pairs, similarities


@pytest.fixture(autouse=True)
def _small_groupings(monkeypatch):
    monkeypatch.setattr(groups, "_SIMULATED", 1000)
    monkeypatch.setattr(groups, "_MEETINGS", 2000)
    monkeypatch.setattr(groups, "SIDES", (32,))


def at_cosines(cosines, dimensions=512, seed=0):
    """Return (a, b): unit rows where a[i] and b[i] have the given cosine."""
    generator = np.random.default_rng(seed)
    a = unit(generator.standard_normal((len(cosines), dimensions))).astype(np.float64)
    noise = generator.standard_normal(a.shape)
    noise = unit(noise - (noise * a).sum(1, keepdims=True) * a)
    c = np.asarray(cosines)[:, None]
    return unit(a), unit(c * a + np.sqrt(1 - c**2) * noise)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("threshold", [-1.0, 0.0, 0.5, 0.75, 1.0])
def test_exact_pairs_equal_brute_force(dtype, threshold):
    rows = descriptors(120, dtype=dtype)
    assert as_dict(find_pairs(rows, threshold, "exact")) == brute_force(rows, threshold)


@pytest.mark.parametrize("dimensions", [256, 512, 600])
@pytest.mark.parametrize("method", ["sketch", "groups"])
@pytest.mark.parametrize("bfloat16", [False, True])
def test_other_methods_find_the_same_pairs_to_the_byte(method, dimensions, bfloat16, monkeypatch):
    monkeypatch.setattr(products, "has_bfloat16", lambda: bfloat16)
    monkeypatch.setattr(products, "LOADING_TORCH", 0.0)
    rows = descriptors(1500, dimensions, dtype=np.float16)
    how = join.plan_join(rows, 0.75, method)
    assert (how.method, how.comparison.bfloat16) == (method, bfloat16)
    exact, found = (as_dict(find_pairs(rows, 0.75, way)) for way in ("exact", method))
    assert len(exact) > 100
    assert len(found) >= (0.99 if method == "groups" else 1) * len(exact)
    assert all(exact[pair].tobytes() == score.tobytes() for pair, score in found.items())


def test_pairs_are_sorted_unique_and_typed():
    pairs = find_pairs(descriptors(300), 0.6)
    key = pairs.left * 300 + pairs.right
    assert (np.diff(key) > 0).all()
    assert (pairs.left < pairs.right).all()
    assert (pairs.left.dtype, pairs.right.dtype) == (np.int64, np.int64)
    assert pairs.similarity.dtype == np.float32


@pytest.mark.parametrize("method", ["exact", "sketch", "groups"])
def test_block_sizes_do_not_show(method, monkeypatch):
    rows = descriptors(500, 512, dtype=np.float16)
    expected = find_pairs(rows, 0.7, method)
    for module in (products, cells_of):
        monkeypatch.setattr(module, "ROWS", 7)
        monkeypatch.setattr(module, "COLUMNS", 23)
    monkeypatch.setattr(products, "_BLOCK", 9)
    monkeypatch.setattr(join, "_RESCORE_ROWS", 3)
    monkeypatch.setattr(join, "_BATCH", 5)
    monkeypatch.setattr(groups, "_BLOCK", 11)
    monkeypatch.setattr(groups, "_CELLS", 300)
    assert_same(find_pairs(rows, 0.7, method), expected)


@pytest.mark.parametrize("method", ["exact", "sketch", "groups"])
def test_pair_exactly_on_the_threshold_counts(method):
    rows = descriptors(200)
    similarity = find_pairs(rows, 0.6, method).similarity
    middle = np.sort(similarity)[len(similarity) // 2]
    above = np.nextafter(middle, np.float32(2))
    assert middle in find_pairs(rows, float(middle), method).similarity
    assert middle not in find_pairs(rows, float(above), method).similarity


@pytest.mark.parametrize("method", ["exact", "sketch", "groups"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_identical_rows_have_similarity_one(method, dtype):
    rows = descriptors(300, dtype=dtype)
    twice = np.concatenate([rows, rows])
    pairs = find_pairs(twice, 1.0, method)
    assert pairs.left.tolist() == list(range(300))
    assert pairs.right.tolist() == list(range(300, 600))
    assert (pairs.similarity == 1.0).all()


def test_similarity_never_leaves_its_range():
    rows = descriptors(50) * np.float32(1.0004)
    nearly = rows * np.float32(1.0001)
    every = np.arange(50)
    assert similarities(rows, every, nearly, every).max() == 1.0
    assert similarities(rows, every, -nearly, every).min() == -1.0


def test_similarity_is_symmetric_and_independent_of_company():
    rows = descriptors(400, 512)
    left, right = np.arange(200), np.arange(200, 400)
    together = similarities(rows, left, rows, right)
    alone = [similarities(rows, right[i : i + 1], rows, left[i : i + 1])[0] for i in range(200)]
    assert together.tobytes() == np.array(alone).tobytes()


def test_cross_pairs_equal_the_part_of_the_join_between_the_sets():
    rows = descriptors(400, dtype=np.float16)
    joined = as_dict(find_pairs(rows, 0.6, "exact"))
    crossed = as_dict(cross_pairs(rows[:150], rows[150:], 0.6))
    expected = {(a, b - 150): s for (a, b), s in joined.items() if a < 150 <= b}
    assert crossed == expected
    assert list(crossed) == sorted(crossed)


def test_sets_of_different_types_cross():
    rows = descriptors(100)
    pairs = cross_pairs(rows.astype(np.float16), rows, 0.999)
    assert pairs.left.tolist() == pairs.right.tolist() == list(range(100))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("count", [0, 1])
def test_too_few_rows_make_no_pairs(method, count):
    rows = descriptors(2)[:count]
    assert len(find_pairs(rows, 0.5, method)) == 0
    assert len(cross_pairs(rows[:0], descriptors(2), 0.5)) == 0
    assert len(cross_pairs(descriptors(2), rows[:0], 0.5)) == 0


def test_more_pairs_than_memory_holds_is_an_error_with_a_remedy(monkeypatch):
    monkeypatch.setattr(join, "most_pairs", lambda: 1000)
    assert len(find_pairs(descriptors(45), -1.0)) == 990
    with pytest.raises(SscdError) as caught:
        find_pairs(descriptors(46), -1.0)
    assert str(caught.value) == (
        "more than 1,000 pairs have a similarity of -1.0 or more, which is more than the memory "
        "can hold; raise the threshold or use a machine with more memory"
    )


def test_unknown_method_is_named_with_the_known():
    with pytest.raises(UsageError) as caught:
        find_pairs(descriptors(4), 0.5, "guess")  # type: ignore[arg-type]
    assert str(caught.value) == "unknown method 'guess'; use one of auto, exact, sketch, groups"


@pytest.mark.parametrize("dimensions", [256, 512, 600])
@pytest.mark.parametrize("cosine", [0.75, 0.9])
def test_rows_at_the_threshold_share_a_group_as_simulated(dimensions, cosine):
    one, other = at_cosines(np.full(4000, cosine), dimensions, seed=5)
    choices = groups.enough_choices(256, dimensions, 0.75, missed=0.004)
    axes = groups.directions(256, dimensions)
    joined = [groups.nearest_groups(rows, axes, choices) for rows in (one, other)]
    apart = [not set(a) & set(b) for a, b in zip(*map(np.ndarray.tolist, joined), strict=True)]
    assert np.mean(apart) <= 0.01  # 0.004 expected at the threshold, of 1,000 simulated


def test_needed_choices_are_the_rank_of_the_first_group_that_both_join():
    one, other = at_cosines(np.linspace(0.5, 1.0, 30), 128)
    axes = groups.directions(64, 128)
    ranked = [groups.nearest_groups(rows, axes, groups.MOST_CHOICES) for rows in (one, other)]
    for needed, a, b in zip(groups.needed_choices(one, other, axes), *ranked, strict=True):
        if needed > groups.MOST_CHOICES:
            assert not set(a) & set(b)
        else:
            assert set(a[:needed]) & set(b[:needed])
            assert not set(a[: needed - 1]) & set(b[: needed - 1])


def test_at_low_thresholds_no_grouping_helps():
    assert groups.plan_groups(descriptors(2000, 256), -0.2, -0.2) is None


def test_rows_join_the_groups_whose_sums_are_largest():
    rows, axes = descriptors(50, 64), groups.directions(64, 64)
    scores = rows @ axes
    both = np.concatenate([scores[:, :32], -scores[:, :32]], axis=1)
    others = np.concatenate([scores[:, 32:], -scores[:, 32:]], axis=1)
    sums = both[:, :, None] + others[:, None, :]
    best = np.argsort(-sums.reshape(50, -1), axis=1)[:, :32]
    found = groups.nearest_groups(rows, axes, 32)
    assert [len(set(row)) for row in found.tolist()] == [32] * 50
    shared = [len(set(a) & set(b)) for a, b in zip(best.tolist(), found.tolist(), strict=True)]
    assert np.mean(shared) > 31  # those of the few largest of each set
    assert (found[:, 0] == best[:, 0]).all()


def test_members_of_groups_are_the_rows_that_join_them(monkeypatch):
    monkeypatch.setattr(groups, "_SHELF_BITS", 6)
    rows = descriptors(300, 64)
    members, starts = groups.members_of_groups(rows, 32, 5)
    joined = groups.nearest_groups(rows, groups.directions(32, 64), 5)
    found = [members[a:b].tolist() for a, b in itertools.pairwise(starts)]
    assert found == [
        np.flatnonzero((joined == group).any(axis=1)).tolist() for group in range(1024)
    ]


def test_groups_too_full_to_be_searched_one_by_one_lose_nothing(monkeypatch):
    generator = np.random.default_rng(1)
    rows = descriptors(1500, 128)
    rows[:300] = unit(rows[:1] + 0.02 * generator.standard_normal((300, 128)))
    expected = find_pairs(rows, 0.75, "exact")
    monkeypatch.setattr(groups, "_FULL", 0.05)
    assert_same(find_pairs(rows, 0.75, "groups"), expected)


@pytest.mark.parametrize("dimensions", [128, 512])
def test_directions_are_orthogonal_and_always_the_same(dimensions):
    axes = groups.directions(128, dimensions)
    np.testing.assert_allclose(axes.T @ axes, np.eye(128), atol=1e-5)
    assert axes.tobytes() == groups.directions(128, dimensions).tobytes()


@pytest.mark.parametrize(("dimensions", "length"), [(128, 32), (128, 96), (512, 64), (512, 192)])
@pytest.mark.parametrize("cosine", [0.5, 0.75, 0.9])
def test_pairs_reach_the_cut_of_their_sketches(cosine, dimensions, length):
    one, other = at_cosines(np.full(7000, cosine), dimensions, seed=5)
    how = products.Comparison(
        sketches.random_axes(dimensions, length, seed=1), length, False, 0.0, sketch=True
    )
    products_P = np.einsum("pd,pd->p", products.shorten(one, how), products.shorten(other, how))
    assert (products_P < how.product_cut(cosine)).sum() <= 5  # 1 expected
    assert how.product_cut(cosine) > cosine - 5.5 / length**0.5


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("kind", ["spread", "narrow", "flat"])
@pytest.mark.parametrize("length", [1, 31, 100])
def test_no_pair_is_lost_to_shortened_rows(bfloat16, kind, length):
    rows = descriptors(150, 128, dtype=np.float16).astype(np.float32)
    if kind == "narrow":  # all to one side, so that strangers are alike, too
        rows = unit(rows + 0.1)
    if kind == "flat":  # few axes carry everything
        rows = unit(rows * np.geomspace(1, 1e-3, 128))
    if bfloat16:
        pytest.importorskip("torch")
    axes = products._principal_axes(rows)[:, :length]
    how = products.Comparison(np.ascontiguousarray(axes), length + 1, bfloat16, 0.0)
    expected = brute_force(rows, 0.75)
    cells = [block.marked() for block in cells_of.cells_within(rows, 0.749, how)]
    found = {
        pair for left, right in cells for pair in zip(left.tolist(), right.tolist(), strict=True)
    }
    assert expected.keys() <= found
    assert all(left < right for left, right in found)


def test_a_plan_shortens_rows_and_groups_them_where_that_pays(monkeypatch):
    monkeypatch.setattr(products, "has_bfloat16", lambda: True)
    rows = descriptors(20_000, 512, dtype=np.float16)
    small = join.plan_join(rows[:2000], 0.75)
    assert small.method == "exact"
    assert (small.comparison.basis, small.comparison.bfloat16) == (None, False)
    larger = products.plan(rows, rows, 0.75, 1e12)
    assert larger.bfloat16
    assert larger.length < 300
    sketch = products.plan_sketches(rows, 0.75, 1e12)
    assert sketch.length < larger.length / 2
    assert sketch.seconds < larger.seconds / 2
    assert not products.plan(rows, rows, -0.5, 1e12).bfloat16
    monkeypatch.setattr(products, "has_bfloat16", lambda: False)
    assert not products.plan(rows, rows, 0.75, 1e12).bfloat16


def test_what_is_planned_is_the_fastest_way_unless_a_method_is_named(monkeypatch):
    rows = descriptors(2000, 512, dtype=np.float16)
    monkeypatch.setattr(join, "EXACT_SECONDS", 0.0)
    ways = [join.plan_join(rows, 0.75, method) for method in ("exact", "sketch", "groups")]
    assert [how.method for how in ways] == ["exact", "sketch", "groups"]
    auto = join.plan_join(rows, 0.75)
    assert auto.seconds == min(how.seconds for how in ways)
    for method in ("auto", "sketch", "groups"):  # too low a threshold to tell pairs by a sketch
        assert join.plan_join(rows, -0.2, method).method == "exact"


def test_recall_counts_what_a_join_missed():
    rows = descriptors(500)
    pairs = find_pairs(rows, 0.6, "exact")
    half = Pairs(pairs.left[::2], pairs.right[::2], pairs.similarity[::2])
    assert sampled_recall(rows, pairs, 0.6) == Recall(len(pairs), len(pairs))
    assert sampled_recall(rows, half, 0.6) == Recall(len(half), len(pairs))
    sampled = sampled_recall(rows, half, 0.6, rows=100)
    assert 0 < sampled.expected < len(pairs)
    low, high = sampled.interval
    assert low < sampled.share < high


def test_recall_interval_is_wilsons():
    # Wilson score interval for 90 of 100, from the formula's published example tables
    assert Recall(90, 100).interval == pytest.approx((0.8256, 0.9448), abs=1e-4)
    assert Recall(0, 0).share == 1.0
    assert Recall(0, 0).interval == (0.0, 1.0)


def biased(count, seed=5):
    return np.random.default_rng(seed).uniform(-0.2, 0.4, count).astype(np.float32)


@pytest.mark.parametrize("method", ["exact", "sketch", "groups"])
def test_a_pair_is_lowered_by_the_mean_of_its_biases(method):
    rows, bias = descriptors(200, 512), biased(200)
    everything = find_pairs(rows, -1.0, "exact")
    lowered = everything.similarity - (bias[everything.left] + bias[everything.right]) / 2
    expected = lowered >= 0.7
    pairs = find_pairs(rows, 0.7, method, bias)
    assert 20 < len(pairs) == expected.sum()
    assert pairs.left.tolist() == everything.left[expected].tolist()
    assert pairs.right.tolist() == everything.right[expected].tolist()
    np.testing.assert_allclose(pairs.similarity, lowered[expected], atol=1e-6)
    assert sampled_recall(rows, pairs, 0.7, bias) == Recall(len(pairs), len(pairs))


def test_between_two_sets_the_querys_bias_counts():
    rows, bias = descriptors(200, 512), biased(60)
    everything = cross_pairs(rows[:60], rows[60:], -1.0)
    lowered = everything.similarity - bias[everything.left]
    expected = lowered >= 0.6
    pairs = cross_pairs(rows[:60], rows[60:], 0.6, bias)
    assert 5 < len(pairs) == expected.sum()
    assert pairs.left.tolist() == everything.left[expected].tolist()
    assert pairs.right.tolist() == everything.right[expected].tolist()
    np.testing.assert_allclose(pairs.similarity, lowered[expected], atol=1e-6)
    assert len(cross_pairs(rows[:0], rows, 0.6, bias[:0])) == 0


def test_exact_join_and_clusters_load_no_faiss():
    code = (
        "import sys, numpy as np\n"
        "from sscd_cli.matching.clusters import deduplicate\n"
        "from sscd_cli.matching import keepers, index\n"
        "deduplicate(np.eye(8, dtype=np.float32), 0.5, np.arange(8))\n"
        "assert not {'faiss', 'torch', 'pyarrow', 'PIL'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
