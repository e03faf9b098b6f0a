"""Pruning changes no answer but the one asked for, even when it stops half-way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from stores import PROVENANCE, row, rows, stored_ids

from sscd_cli.descriptors import prune as module
from sscd_cli.descriptors.prune import Pruned, prune
from sscd_cli.descriptors.read import read_descriptors
from sscd_cli.descriptors.schema import Row
from sscd_cli.descriptors.write import ShardWriter
from sscd_cli.errors import StoreError

RUNS = ("abcdef", "bxa", "yb")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for names in RUNS:
        with ShardWriter(tmp_path, PROVENANCE, rows_per_shard=3) as writer:
            writer.add(rows(names))
    return tmp_path


def test_superseded_rows_go_and_answers_stay(store: Path) -> None:
    before = read_descriptors(store)
    assert prune(store, lambda source, id: False) == Pruned(kept=8, superseded=3, vanished=0)
    assert stored_ids(store) == [["c"], ["d", "e", "f"], ["x", "a"], ["y", "b"]]
    after = read_descriptors(store)
    assert after.superseded == 0
    assert list(after.ids) == list(before.ids)
    np.testing.assert_array_equal(after.descriptors, before.descriptors)
    assert after.provenance == before.provenance


def test_vanished_images_go_with_all_their_rows_and_empty_shards_too(store: Path) -> None:
    asked = []

    def gone(source: str, id: str) -> bool:
        asked.append((source, id))
        return id in "defb"

    assert prune(store, gone) == Pruned(kept=4, superseded=3, vanished=4)
    assert stored_ids(store) == [["c"], ["x", "a"], ["y"]]
    assert sorted(asked) == [("/photos", name) for name in "abcdefxy"]


def test_a_store_with_nothing_to_prune_is_not_touched(store: Path) -> None:
    prune(store, lambda source, id: False)
    before = {path: path.stat().st_mtime_ns for path in store.glob("*.parquet")}
    assert prune(store, lambda source, id: False) == Pruned(kept=8, superseded=0, vanished=0)
    assert {path: path.stat().st_mtime_ns for path in store.glob("*.parquet")} == before


@pytest.mark.parametrize("steps", range(4))
def test_pruning_that_stops_half_way_brings_no_old_row_back(
    store: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    done = []
    rewrite = module._rewrite

    def stop(path: Path, mask: np.ndarray) -> None:
        if len(done) == steps:
            raise KeyboardInterrupt
        done.append(path)
        rewrite(path, mask)

    before = read_descriptors(store)
    monkeypatch.setattr(module, "_rewrite", stop)
    if steps < 3:
        with pytest.raises(KeyboardInterrupt):
            prune(store, lambda source, id: id == "b")
    else:
        prune(store, lambda source, id: id == "b")
    after = read_descriptors(store)
    for at, name in enumerate(after.ids):
        np.testing.assert_array_equal(
            after.descriptors[at], before.descriptors[list(before.ids).index(name)]
        )
    assert set(before.ids) - set(after.ids) <= {"b"}


def test_everything_may_vanish_and_the_store_be_used_again(store: Path) -> None:
    assert prune(store, lambda source, id: True) == Pruned(kept=0, superseded=3, vanished=8)
    (store / "index.faiss").touch()  # what else lies there does not make it a foreign folder
    with pytest.raises(StoreError, match="there are no descriptors"):
        read_descriptors(store)
    with ShardWriter(store, PROVENANCE) as writer:
        writer.add(rows("a"))
    assert list(read_descriptors(store).ids) == ["a"]


def test_names_of_any_bytes_are_asked_for_as_they_are(tmp_path: Path) -> None:
    each = Row("\udcff", "/\udce9", row("a").descriptor)
    with ShardWriter(tmp_path, PROVENANCE) as writer:
        writer.add([each, row("a")])
    prune(tmp_path, lambda source, id: (source, id) == ("/\udce9", "\udcff"))
    assert list(read_descriptors(tmp_path).ids) == ["a"]


def test_an_image_folder_is_not_pruned(tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").touch()
    with pytest.raises(StoreError, match="holds images, not descriptors"):
        prune(tmp_path, lambda source, id: True)
    assert [path.name for path in tmp_path.iterdir()] == ["cat.jpg"]
