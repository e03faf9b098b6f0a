"""Views of images: the same for the same seed, epoch and image, whatever the worker."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import torch
from drawn_pictures import draw_picture, save_pictures
from PIL import Image
from torch import Tensor

from sscd_cli.edits.augmentations import AUGMENTATIONS
from sscd_cli.errors import SscdError
from sscd_cli.images.refs import ImageRef
from sscd_cli.training.views import (
    EpochOrder,
    Views,
    drawn_batches,
    readable,
    squashed,
    view_batches,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
SIZE = 32


@pytest.fixture(scope="module")
def refs(tmp_path_factory: pytest.TempPathFactory) -> list[ImageRef]:
    return save_pictures(tmp_path_factory.mktemp("pictures"), 10)


def epoch_of(
    refs: list[ImageRef], workers: int, *, seed: int = 0, epoch: int = 0, batch_size: int = 4
) -> list[tuple[Tensor, list[int]]]:
    views = Views(refs, AUGMENTATIONS["copies"](SIZE), seed)
    order = EpochOrder(len(refs), seed, 0, 1)
    order.epoch = epoch
    loader = view_batches(views, order, batch_size=batch_size, workers=workers, pin_memory=False)
    return list(drawn_batches(loader))


def test_views_are_the_same_whatever_the_worker_count(refs: list[ImageRef]) -> None:
    alone, two = epoch_of(refs, 0), epoch_of(refs, 2)
    assert len(alone) == len(two) == 2, "the last, incomplete batch is left out"
    for (pixels, failed), (again, failed_again) in zip(alone, two, strict=True):
        assert torch.equal(pixels, again)
        assert failed == failed_again == []
        assert pixels.shape == (8, 3, SIZE, SIZE)
        assert pixels.dtype == torch.uint8


def test_views_differ_between_seeds_epochs_and_the_two_of_an_image(refs: list[ImageRef]) -> None:
    views = Views(refs, AUGMENTATIONS["advanced"](SIZE), 0)
    other_seed = Views(refs, AUGMENTATIONS["advanced"](SIZE), 1)
    first, _ = views[0, 3]
    assert first.shape == (2, 3, SIZE, SIZE)
    assert torch.equal(first, views[0, 3][0])
    assert not torch.equal(first, views[1, 3][0])
    assert not torch.equal(first, views[0, 4][0])
    assert not torch.equal(first, other_seed[0, 3][0])
    assert not torch.equal(first[0], first[1])


def test_a_batch_holds_all_first_views_then_all_second_ones(refs: list[ImageRef]) -> None:
    order = EpochOrder(len(refs), 0, 0, 1)
    views = Views(refs, AUGMENTATIONS["copies"](SIZE), 0)
    pixels, _ = epoch_of(refs, 0)[0]
    for place, item in zip(range(4), order, strict=False):
        both, _ = views[item]
        assert torch.equal(torch.stack([pixels[place], pixels[place + 4]]), both)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_image_is_replaced_and_named(
    tmp_path: Path, refs: list[ImageRef], workers: int
) -> None:
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(Path(refs[0].path).read_bytes()[:100])
    broken = [
        *refs[:6],
        ImageRef("damaged.png", "", str(damaged)),
        ImageRef("gone.png", "", str(tmp_path / "gone.png")),
    ]
    batches = epoch_of(broken, workers, batch_size=8)
    pixels, failed = batches[0]
    assert set(failed) == {6, 7}
    assert pixels.shape == (16, 3, SIZE, SIZE)
    again, _ = epoch_of(broken, 0, batch_size=8)[0]
    assert torch.equal(pixels, again)


@pytest.mark.parametrize("workers", [0, 1])
def test_nothing_readable_is_an_error(tmp_path: Path, workers: int) -> None:
    refs = [ImageRef(f"{i}.png", "", str(tmp_path / f"{i}.png")) for i in range(4)]
    with pytest.raises(SscdError) as caught:
        epoch_of(refs, workers)
    assert str(caught.value).endswith(
        "10 unreadable images in a row; check the images, or rerun with --workers 0 to see more"
    )
    assert str(caught.value).startswith("the views cannot be made: ")
    # what ends them at exit is ignored by them, and Python would wait for ever
    assert multiprocessing.active_children() == []


def killer(parent: int) -> Callable[[Image.Image, Random], Image.Image]:
    def transform(image: Image.Image, rng: Random) -> Image.Image:
        if os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return image

    return transform


def test_a_killed_worker_is_an_error(refs: list[ImageRef]) -> None:
    views = Views(refs, killer(os.getpid()), 0)
    order = EpochOrder(len(refs), 0, 0, 1)
    loader = view_batches(views, order, batch_size=2, workers=1, pin_memory=False)
    with pytest.raises(SscdError, match=r"the views cannot be made: .*worker"):
        list(drawn_batches(loader))


def test_squashed_images_are_whole_and_uint8() -> None:
    image = draw_picture(3)
    pixels = squashed([image, image], 20)
    expected = image.resize((20, 20), Image.Resampling.BILINEAR)
    assert pixels.shape == (2, 3, 20, 20)
    assert pixels.dtype == torch.uint8
    assert pixels[1].permute(1, 2, 0).numpy().tobytes() == expected.tobytes()


def test_readable_images_are_shrunk_to_the_longest_side_and_others_left_out(
    tmp_path: Path, refs: list[ImageRef]
) -> None:
    gone = ImageRef("gone.png", "", str(tmp_path / "gone.png"))
    images = list(readable([refs[0], gone, refs[1]], 40))
    assert [image.size for image in images] == [(40, 35)] * 2
    assert [image.size for image in readable(refs[:1], 640)] == [(64, 56)]
