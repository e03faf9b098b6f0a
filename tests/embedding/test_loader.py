"""Batches: the same rows and pixels whatever the number of workers, lazily, and no deaths."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sscd_cli.embedding.on_gpu import load_batches
from sscd_cli.embedding.stream import Batch, Decoder, Lists
from sscd_cli.errors import SscdError
from sscd_cli.images.decode import Decoded, decode
from sscd_cli.images.preprocess import RECIPES
from sscd_cli.images.read import Copied, Limits, Unreadable, hash_bytes
from sscd_cli.images.refs import ImageRef
from sscd_cli.images.sources import iter_images

SKEW, SHORT = RECIPES["mini-160"], RECIPES["small-288"]


def picture(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    shape = (20 + 5 * (seed % 3), 30, 3)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(11):
        (tmp_path / f"{i:02}.png").write_bytes(picture(i))
    (tmp_path / "04.png").write_text("no image")
    (tmp_path / "07.png").unlink()
    os.mkfifo(tmp_path / "07.png")
    return tmp_path


def batches(source: Path, workers: int, **options: object) -> list[Batch]:
    """All batches of a folder; pinning is asked for, and left out without CUDA."""
    size = options.pop("batch_size", 4)
    decoder = Decoder(**{"recipe": SHORT, **options})  # type: ignore[arg-type]
    lists = Lists(iter_images([str(source)]), size)  # type: ignore[arg-type]
    return list(load_batches(lists, decoder, workers=workers, pin_memory=True))


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_rows_and_pixels_are_those_of_decoding_one_by_one(folder: Path, workers: int) -> None:
    found = batches(folder, workers)
    assert [len(batch.outcomes) for batch in found] == [4, 4, 3]
    refs = list(iter_images([str(folder)]))
    assert [row.ref for batch in found for row in batch.outcomes] == refs
    for batch in found:
        seen = {}
        for indices, pixels in batch.groups:
            assert pixels.dtype == torch.uint8
            assert pixels.is_contiguous(memory_format=torch.channels_last)
            seen |= dict(zip(indices.tolist(), pixels.permute(0, 2, 3, 1).numpy(), strict=True))
        for index, row in enumerate(batch.outcomes):
            expected = decode(row.ref, SHORT)
            if isinstance(expected, Unreadable):
                assert row == expected
                continue
            assert isinstance(row, Decoded)
            assert isinstance(expected, Decoded)
            assert row.pixels is None
            assert row.content_hash == expected.content_hash
            assert np.array_equal(seen.pop(index), expected.pixels)  # type: ignore[arg-type]
        assert not seen


def test_a_group_holds_all_images_of_one_size(folder: Path) -> None:
    for batch in batches(folder, 0):
        shapes = [pixels.shape[1:] for _, pixels in batch.groups]
        assert len(set(shapes)) == len(shapes)
    (batch,) = batches(folder, 0, recipe=SKEW, batch_size=99)
    ((indices, pixels),) = batch.groups
    assert pixels.shape == (9, 3, 160, 160)
    assert indices.tolist() == [0, 1, 2, 3, 5, 6, 8, 9, 10]


@pytest.mark.parametrize("workers", [0, 2])
def test_known_bytes_are_copied_rows_and_not_decoded(folder: Path, workers: int) -> None:
    known = {hash_bytes(b"no image"), *(hash_bytes(picture(i)) for i in (0, 5))}
    rows = [row for b in batches(folder, workers, known=known.__contains__) for row in b.outcomes]
    assert [i for i, row in enumerate(rows) if isinstance(row, Copied)] == [0, 4, 5]


def test_limits_reach_the_decoder(folder: Path) -> None:
    found = batches(folder, 0, limits=Limits(pixels=5))
    assert all(isinstance(row, Unreadable) for batch in found for row in batch.outcomes)
    assert all(batch.groups == [] for batch in found)


def test_seconds_are_accounted_for(folder: Path) -> None:
    start = time.perf_counter()
    (batch,) = batches(folder, 0, batch_size=99)
    assert 0 < batch.read_seconds + batch.decode_seconds < time.perf_counter() - start
    assert batch.read_seconds > 0
    assert batch.decode_seconds > 0


@pytest.mark.parametrize("workers", [0, 2])
def test_no_images_make_no_batches(tmp_path: Path, workers: int) -> None:
    assert batches(tmp_path, workers) == []


@pytest.mark.parametrize(("workers", "most"), [(0, 2), (2, 2 * (2 * 2 + 1))])
def test_only_what_is_needed_soon_is_listed(tmp_path: Path, workers: int, most: int) -> None:
    drawn = 0

    def endless() -> Iterator[ImageRef]:
        nonlocal drawn
        while True:
            drawn += 1
            yield ImageRef("a", "", str(tmp_path / "none.jpg"))

    found = load_batches(Lists(endless(), 2), Decoder(SKEW), workers=workers)
    next(found)
    assert 2 <= drawn <= most
    found.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("workers", [0, 2])
def test_error_of_a_source_waits_for_the_images_before_it(folder: Path, workers: int) -> None:
    def refs() -> Iterator[ImageRef]:
        yield from list(iter_images([str(folder)]))[:3]
        raise SscdError("the folder is gone", "bring it back")

    lists = Lists(refs(), 2)
    found = load_batches(lists, Decoder(SKEW), workers=workers)
    assert [len(batch.outcomes) for batch in found] == [2, 1]
    assert str(lists.error) == "the folder is gone; bring it back"


def test_dying_worker_is_reported_with_a_remedy(folder: Path) -> None:
    def deadly(_: bytes) -> bool:
        os.kill(os.getpid(), signal.SIGKILL)
        return False

    with pytest.raises(SscdError) as caught:
        batches(folder, 1, known=deadly)
    assert str(caught.value) == (
        "a decoding worker died (out of memory, or killed by a damaged file); "
        "rerun with --workers 0 to find the file"
    )


def test_fault_in_a_worker_is_not_taken_for_its_death(folder: Path) -> None:
    def faulty(_: bytes) -> bool:
        raise RuntimeError("a fault of the caller")

    with pytest.raises(RuntimeError, match="a fault of the caller"):
        batches(folder, 1, known=faulty)
    assert not multiprocessing.active_children()  # it would be waited for at exit, for ever


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_workers_leave_interrupts_to_the_main_process(folder: Path, number: int) -> None:
    def interrupted(_: bytes) -> bool:
        os.kill(os.getpid(), number)
        return False

    assert len(batches(folder, 2, known=interrupted)) == 3


def test_interrupt_passes_through(folder: Path) -> None:
    def interrupted(_: bytes) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        batches(folder, 0, known=interrupted)


@pytest.mark.parametrize("workers", [0, 2])
def test_global_random_state_is_left_alone(folder: Path, workers: int) -> None:
    state = torch.get_rng_state()
    batches(folder, workers)
    assert torch.equal(torch.get_rng_state(), state)
