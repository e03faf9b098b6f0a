"""Embedding on many threads: the same rows and descriptors, in order, and none too early."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import picture

from sscd_cli.embedding.local import embed_stream
from sscd_cli.embedding.stream import Decoder, Embedded
from sscd_cli.errors import SscdError
from sscd_cli.images.read import Copied, Unreadable, hash_bytes
from sscd_cli.images.refs import ImageRef
from sscd_cli.images.sources import iter_images
from sscd_cli.models import load
from sscd_cli.models.load import Model, load_model

COUNT = 21


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Model:
    return load_model(str(tiny_model), device="cpu", precision="fp32")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(COUNT):
        picture(tmp_path / "photos" / f"{i:02}.png", i, (40 + i, 30))
    (tmp_path / "photos/04.png").write_text("no image")
    return tmp_path / "photos"


def stream(model: Model, refs: Iterator[ImageRef], workers: int, **known: object) -> list[Embedded]:
    decoder = Decoder(model.spec.recipe, **known)  # type: ignore[arg-type]
    return list(embed_stream(refs, model, decoder, batch_size=4, workers=workers))


@pytest.mark.parametrize("workers", [1, 3])
def test_threads_give_what_one_thread_gives(model: Model, folder: Path, workers: int) -> None:
    one = stream(model, iter_images([str(folder)]), 0)
    many = stream(model, iter_images([str(folder)]), workers)
    assert [row for some in many for row in some.outcomes] == [
        row for some in one for row in some.outcomes
    ]
    for ours, theirs in zip(many, one, strict=True):
        assert ours.descriptors.keys() == theirs.descriptors.keys()
        for index, descriptor in theirs.descriptors.items():
            assert np.array_equal(ours.descriptors[index], descriptor)
            assert not isinstance(ours.outcomes[index], Unreadable)
    assert sum(len(some.descriptors) for some in many) == COUNT - 1


def test_descriptors_are_those_of_the_model(model: Model, folder: Path) -> None:
    found = stream(model, iter_images([str(folder)]), 2)
    ours = {
        some.outcomes[index].ref.path: descriptor
        for some in found
        for index, descriptor in some.descriptors.items()
    }
    expected = model.embed(list(ours))
    np.testing.assert_allclose(np.stack(list(ours.values())), expected, atol=1e-5)


def test_seconds_are_those_of_each_step(model: Model, folder: Path) -> None:
    start = time.perf_counter()
    found = stream(model, iter_images([str(folder)]), 0)
    elapsed = time.perf_counter() - start
    totals = {name: sum(some.seconds[name] for some in found) for name in found[0].seconds}
    assert totals.keys() == {"read", "decode", "network"}
    assert min(totals.values()) > 0
    assert sum(totals.values()) < elapsed


def test_the_threads_of_torch_are_given_back(model: Model, folder: Path) -> None:
    before = torch.get_num_threads()
    stream(model, iter_images([str(folder)]), 3)
    assert torch.get_num_threads() == before
    halfway = embed_stream(
        iter_images([str(folder)]), model, Decoder(model.spec.recipe), batch_size=4, workers=3
    )
    next(halfway)
    halfway.close()  # type: ignore[attr-defined]
    assert torch.get_num_threads() == before


def test_threads_ask_what_is_known_by_now(model: Model, folder: Path) -> None:
    data = (folder / "05.png").read_bytes()
    for name in ("21.png", "22.png"):
        (folder / name).write_bytes(data)
    known: set[bytes] = set()
    rows = []
    decoder = Decoder(model.spec.recipe, known=known.__contains__)
    refs = iter_images([str(folder)])
    for some in embed_stream(refs, model, decoder, batch_size=1, workers=1):
        rows += some.outcomes
        known |= {hash_bytes(data)}
    assert [isinstance(row, Copied) for row in rows[-2:]] == [True, True]


@pytest.mark.parametrize(("workers", "most"), [(0, 2), (1, 6), (3, 14)])
def test_only_what_is_needed_soon_is_listed(model: Model, workers: int, most: int) -> None:
    drawn = 0

    def endless() -> Iterator[ImageRef]:
        nonlocal drawn
        while True:
            drawn += 1
            yield ImageRef("a", "", os.devnull)

    found = embed_stream(
        endless(), model, Decoder(model.spec.recipe), batch_size=2, workers=workers
    )
    next(found)
    assert 2 <= drawn <= most
    found.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_of_a_source_comes_after_the_images_before_it(
    model: Model, folder: Path, workers: int
) -> None:
    def refs() -> Iterator[ImageRef]:
        yield from list(iter_images([str(folder)]))[:6]
        raise SscdError("the folder is gone", "bring it back")

    found = embed_stream(refs(), model, Decoder(model.spec.recipe), batch_size=4, workers=workers)
    assert [len(next(found).outcomes) for _ in range(2)] == [4, 2]
    with pytest.raises(SscdError, match="the folder is gone"):
        next(found)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_what_goes_wrong_in_a_thread_reaches_the_caller(
    model: Model, folder: Path, error: type[BaseException]
) -> None:
    def failing(_: bytes) -> bool:
        raise error

    with pytest.raises(error):
        stream(model, iter_images([str(folder)]), 2, known=failing)


@pytest.mark.parametrize(("gigabytes", "most"), [(1, 8), (6, 2), (9, 1)])
def test_work_on_large_images_takes_no_more_cores_than_memory_allows(
    model: Model, monkeypatch: pytest.MonkeyPatch, gigabytes: int, most: int
) -> None:
    monkeypatch.setattr(load, "core_count", lambda: 8)
    monkeypatch.setattr(load, "memory_bytes", lambda: 24 << 30)
    at_once, seen, lock = 0, [], threading.Lock()

    def work(thing: int) -> int:
        nonlocal at_once
        with lock:
            at_once += 1
            seen.append(at_once)
        time.sleep(0.02)
        with lock:
            at_once -= 1
        return thing

    with model.on_all_cores(gigabytes << 30) as each:
        assert list(each(work, range(40))) == list(range(40))
    assert max(seen) == most
