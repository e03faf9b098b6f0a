"""The keep policy against a plain sort by tuples."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from sscd_cli.choices import KEEP_WORDS
from sscd_cli.errors import UsageError
from sscd_cli.matching.keepers import deciding_word, keep_order


def table(count=60, seed=0):
    """Columns of few values each, so that every word leaves ties to the next."""
    generator = np.random.default_rng(seed)
    sizes = generator.integers(0, 3, (2, count)) * 100
    return {
        "id": np.array([f"{'abc'[i]}.jpg" for i in generator.integers(0, 3, count)], object),
        "source": np.array(["/x", "/y"], object)[generator.integers(0, 2, count)],
        "width": sizes[0].astype(np.int32),
        "height": sizes[1].astype(np.int32),
        "file_bytes": generator.integers(-1, 3, count),
        "mtime_ns": generator.integers(-1, 3, count) * 10**18,
        "edited": generator.random(count) < 0.5,
        "format": np.array(["WEBP", "JPEG", "PNG", "odd"], object)[generator.integers(0, 4, count)],
        "named": generator.integers(0, 2, count),
    }


def plain_key(word, columns, row):
    pixels = int(columns["width"][row]) * int(columns["height"][row])
    size, time = columns["file_bytes"][row], columns["mtime_ns"][row]
    return {
        "original": (columns["edited"][row],),
        "resolution": (-pixels,),
        "bytes": (-size if size > 0 else 0,),
        "oldest": (time if time > 0 else math.inf,),
        "newest": (-time if time > 0 else math.inf,),
        "format": ({"PNG": 0, "JPEG": 1, "WEBP": 2}.get(columns["format"][row], 3),),
        "source": (columns["named"][row],),
        "path": (columns["id"][row], columns["source"][row]),
        "first": (row,),
    }[word]


@pytest.mark.parametrize(
    "policy",
    [[], *([word] for word in KEEP_WORDS), *itertools.permutations(KEEP_WORDS, 3)],
    ids="-".join,
)
def test_order_equals_a_plain_sort(policy):
    columns = table()
    words = [*policy, "path", "first"]
    plain = sorted(
        range(60), key=lambda row: tuple(plain_key(word, columns, row) for word in words)
    )
    rank = keep_order(policy, columns)
    assert np.argsort(rank).tolist() == plain
    assert sorted(rank.tolist()) == list(range(60))


def test_unknown_values_rank_last_for_either_direction():
    columns = {
        "id": np.array(["a", "b", "c"], object),
        "width": np.array([-1, 10, 20]),
        "height": np.array([-1, 10, 20]),
        "file_bytes": np.array([math.nan, 5, 6]),
        "mtime_ns": np.array([-1, 5, 6]),
        "format": np.array(["odd", "odd", "odd"], object),
    }
    best = {word: np.argsort(keep_order([word], columns)).tolist() for word in KEEP_WORDS}
    assert best["resolution"] == best["bytes"] == best["newest"] == [2, 1, 0]
    assert best["oldest"] == [1, 2, 0]


def test_what_is_preferred_stays_before_all_others():
    columns = table() | {"preferred": np.arange(60) % 7 == 3}
    rank = keep_order(["original", "resolution"], columns)
    assert rank[columns["preferred"]].max() < rank[~columns["preferred"]].min()


def test_order_of_paths_does_not_depend_on_the_input_order():
    columns = table(seed=1)
    columns["id"] = np.array([f"{i:02}\udce4.jpg" for i in range(60)], object)
    shuffle = np.random.default_rng(0).permutation(60)
    shuffled = {name: values[shuffle] for name, values in columns.items()}
    rank = keep_order(["resolution"], columns)
    assert keep_order(["resolution"], shuffled).tolist() == rank[shuffle].tolist()


def test_an_empty_table_has_an_empty_order():
    columns = {name: values[:0] for name, values in table().items()}
    assert keep_order(KEEP_WORDS, columns).tolist() == []


def test_unknown_word_is_named_with_the_known():
    with pytest.raises(UsageError) as caught:
        keep_order(["resolution", "prettiest"], table())
    assert str(caught.value) == (
        "unknown keep word 'prettiest'; use one of original, resolution, bytes, format, source, "
        "oldest, newest, path, first"
    )


def test_the_word_that_decides_between_two_rows_is_named():
    columns = {
        "id": np.array(["b", "a"], object),
        "file_bytes": np.array([5, 5]),
        "format": np.array(["PNG", "JPEG"], object),
        "named": np.array([0, 1]),
    }
    assert deciding_word(["bytes", "format", "source"], columns) == "format"
    assert deciding_word(["bytes", "source"], columns) == "source"
    assert deciding_word(["bytes"], columns) == "path"
    preferred = columns | {"preferred": np.array([True, False])}
    assert deciding_word(["format"], preferred) == "preferred"
