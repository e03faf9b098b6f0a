"""The FAISS index: its answers, what it covers, and how it fails."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from conftest import picture, save_store

from sscd_cli.commands.index import run
from sscd_cli.errors import StoreError, UsageError
from sscd_cli.matching.index import EXACT_ROWS, Index, ShardStamp, choose_factory
from sscd_cli.options.index import IndexOptions

PROVENANCE = {"model": "sscd_mini", "dimensions": 32, "preprocessing": {"size": 160}}
SHARDS = (ShardStamp("shard-000000.parquet", 1234, 10**18),)
LATER = (*SHARDS, ShardStamp("shard-000001.parquet", 5678, 10**18 + 1))


def descriptors(count, dimensions=32, seed=0):
    rows = np.random.default_rng(seed).standard_normal((count, dimensions))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


def built(rows, factory="auto"):
    return Index.build(rows, provenance=PROVENANCE, shards=SHARDS, factory=factory)


def test_search_equals_brute_force():
    rows = descriptors(500)
    similarity, row = built(rows).search(rows[:20], 10)
    scores = rows[:20].astype(np.float64) @ rows.astype(np.float64).T
    assert row.tolist() == np.argsort(-scores, axis=1)[:, :10].tolist()
    expected = np.take_along_axis(scores, row, 1).clip(-1, 1)
    np.testing.assert_allclose(similarity, expected, atol=1e-6)
    assert (similarity.dtype, row.dtype) == (np.float32, np.int64)
    assert similarity.max() <= 1.0


def test_more_neighbours_than_rows_gives_all_rows():
    rows = descriptors(5)
    similarity, row = built(rows).search(rows[:2], 100)
    assert similarity.shape == row.shape == (2, 5)
    assert sorted(row[0].tolist()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("rows", [0, 3])
def test_an_empty_index_and_no_queries_give_no_neighbours(rows):
    index = built(descriptors(rows))
    assert index.search(descriptors(3 - rows), 4)[1].shape == (3 - rows, rows)


def test_factory_follows_the_size():
    assert choose_factory(EXACT_ROWS) == "Flat"
    assert choose_factory(1_000_000) == "IVF4000,SQfp16"


def test_inverted_lists_find_each_row_itself():
    rows = descriptors(3000)
    index = built(rows, "IVF16,SQfp16")
    assert index.search(rows, 1)[1][:, 0].tolist() == list(range(3000))


def test_saved_index_answers_the_same(tmp_path):
    rows = descriptors(300)
    index = built(rows)
    index.save(tmp_path / "set.faiss")
    loaded = Index.load(tmp_path / "set.faiss")
    for one, other in zip(index.search(rows, 5), loaded.search(rows, 5), strict=True):
        assert one.tobytes() == other.tobytes()
    assert loaded.manifest == index.manifest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set.faiss", "set.faiss.json"]


def test_saving_twice_writes_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        built(descriptors(50)).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_index_is_current_only_for_its_own_shards_and_model(tmp_path):
    built(descriptors(50)).save(tmp_path / "i")
    index = Index.load(tmp_path / "i")
    assert index.is_current(PROVENANCE, SHARDS)
    assert not index.is_current(PROVENANCE, LATER)
    assert not index.is_current(PROVENANCE, [ShardStamp(SHARDS[0].name, 1234, 7)])
    assert not index.is_current({**PROVENANCE, "model": "other"}, SHARDS)


@pytest.mark.parametrize("factory", ["Flat", "IVF8,Flat"])
def test_new_rows_are_added_without_rebuilding(tmp_path, factory):
    rows = descriptors(900)
    built(rows[:600], factory).save(tmp_path / "i")
    index = Index.load(tmp_path / "i")
    assert index.update(rows, LATER) == 300
    assert index.is_current(PROVENANCE, LATER)
    assert index.search(rows[600:], 1)[1][:, 0].tolist() == list(range(600, 900))
    assert index.update(rows, LATER) == 0


def test_replaced_or_pruned_rows_ask_for_a_new_index():
    rows = descriptors(100)
    replaced = rows.copy()
    replaced[3] = rows[4]
    for changed in (replaced, rows[1:], rows[:50], rows.astype(np.float32)):
        index = built(rows)
        before = index.manifest
        assert index.update(changed, LATER) is None
        assert index.manifest == before
        assert index.search(rows[99:], 1)[1].tolist() == [[99]]


def test_missing_index_says_how_to_make_one(tmp_path):
    with pytest.raises(StoreError) as caught:
        Index.load(tmp_path / "i")
    assert str(caught.value) == f"there is no index at {tmp_path / 'i'}; run sscd index first"


def cut(path: Path):
    path.write_bytes(path.read_bytes()[:-10])


def garble(path: Path):
    path.write_bytes(b"junk" + path.read_bytes()[4:])


def overwrite_a_vector(path: Path):
    data = path.read_bytes()
    path.write_bytes(data[:-16] + os.urandom(16))


def edit(**changes):
    def apply(path: Path):
        manifest = path.with_name(path.name + ".json")
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), **changes}))

    return apply


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (cut, "it is not the file that its manifest describes"),
        (garble, "it is not the file that its manifest describes"),
        (overwrite_a_vector, "it is not the file that its manifest describes"),
        (edit(rows=7), "50 rows, not 7"),
        (edit(version=1), "it is of version 1, this is 3"),
        (lambda path: cut(path.with_name("i.json")), "line"),
    ],
)
def test_damaged_index_is_named_with_the_remedy(tmp_path, damage, reason):
    path = tmp_path / "i"
    built(descriptors(50)).save(path)
    damage(path)
    with pytest.raises(StoreError) as caught:
        Index.load(path)
    message = str(caught.value)
    assert message.startswith(f"cannot read the index {path}: ")
    assert reason in message
    assert message.endswith("; run sscd index again")


def test_full_disk_leaves_the_old_index(tmp_path, monkeypatch):
    path = tmp_path / "i"
    built(descriptors(50)).save(path)
    before = path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError) as caught:
        built(descriptors(60)).save(path)
    assert str(caught.value) == (
        f"cannot write the index {path}: No space left on device; "
        "free some space or choose another place"
    )
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["i", "i.json"]


def test_names_of_any_bytes_can_be_saved_and_loaded(tmp_path):
    path = tmp_path / os.fsdecode(b"a \xff\n.faiss")
    built(descriptors(5)).save(path)
    assert Index.load(path).manifest.rows == 5


@pytest.mark.parametrize("factory", ["Nonsense", "IVF64,Flat", ""])
def test_impossible_factory_is_a_usage_error(factory):
    with pytest.raises(UsageError) as caught:
        built(descriptors(10), factory)
    message = str(caught.value)
    assert message.startswith(f"FAISS cannot make the index {factory!r} of 10 rows: ")
    assert message.endswith("; leave out --factory or name another, such as Flat or IVF4096,SQfp16")


def test_queries_of_another_model_are_refused():
    with pytest.raises(StoreError) as caught:
        built(descriptors(10)).search(descriptors(1, 16), 3)
    assert str(caught.value) == (
        "queries of 16 dimensions do not fit an index of 32; embed both with the same model"
    )


def test_a_dataset_that_outgrows_an_exact_index_gets_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = descriptors(40, 4)
    files = {picture(tmp_path / f"{seed}.png", seed): row for seed, row in enumerate(rows)}
    options = IndexOptions(descriptors=save_store(tmp_path / "descriptors", files))
    assert run(options).factory == "Flat"
    monkeypatch.setattr("sscd_cli.matching.index.EXACT_ROWS", 39)
    result = run(options)
    assert result.rebuilt and result.factory.startswith("IVF")
    assert not run(options).rebuilt


def test_the_manifest_says_what_share_of_the_nearest_an_index_finds():
    rows = descriptors(2000)
    coarse = built(rows, "IVF64,PQ4x4")
    scores = rows.astype(np.float32) @ rows.astype(np.float32).T
    hits = 0
    sample = np.linspace(0, 1999, 200).astype(int)
    for row in sample.tolist():
        nearest = set(np.argsort(-scores[row])[:11].tolist()) - {row}
        hits += len(nearest & set(coarse.search(rows[row : row + 1], 11)[1][0].tolist()))
    assert coarse.manifest.recall == pytest.approx(hits / 2000, abs=1e-3)
    assert 0.05 < coarse.manifest.recall < 0.95
    assert built(rows, "IVF64,Flat").manifest.recall == 1.0  # all 64 lists are looked into
    assert built(rows).manifest.recall is None
    assert coarse.update(np.concatenate([rows, rows[:5]]), LATER) == 5
    assert coarse.manifest.recall == pytest.approx(hits / 2000, abs=1e-3)


def test_of_rows_that_are_equally_near_any_will_do() -> None:
    identical = np.repeat(descriptors(1), 40, axis=0)
    assert built(identical, "IVF4,SQfp16").manifest.recall == 1.0


def test_a_dataset_without_descriptors_can_be_indexed() -> None:
    index = built(descriptors(0), "SQfp16")
    assert index.manifest.recall == 1.0
    assert index.search(descriptors(2), 5)[1].shape == (2, 0)
