"""What a training run refuses, and what it survives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from drawn_pictures import save_pictures
from training_runs import failure, options, run, training_pictures

from sscd_cli.choices import Trunk
from sscd_cli.commands import train as verb
from sscd_cli.errors import NoImagesError, SscdError, UsageError
from sscd_cli.training.log import StepLog


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return training_pictures(tmp_path_factory)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"trunk": "resnet19"},
            "unknown trunk 'resnet19'; did you mean resnet18? "
            f"use one of {', '.join(get_args(Trunk))}",
        ),
        (
            {"augmentations": "strong"},
            "unknown augmentations 'strong'; did you mean strong-blur? "
            "use one of simclr, strong-blur, advanced, mixup, copies",
        ),
        (
            {"optimizer": "adam"},
            "unknown optimizer 'adam'; did you mean adamw? use one of adamw, sgd",
        ),
        (
            {"precision": "fp16"},
            "unknown precision 'fp16'; did you mean bf16? use one of auto, fp32, bf16",
        ),
        ({"device": "gpu"}, "unknown device 'gpu'; use --device cpu, cuda or cuda:N"),
        (
            {"holdout": 1},
            "--holdout 1 is too small; use 2 or more, or 0 for no validation",
        ),
        (
            {"holdout": 13},
            "24 images are fewer than twice the 13 that --holdout keeps for validation; "
            "name more images, or use --holdout 12",
        ),
    ],
)
def test_impossible_options_are_named(
    pictures: Path, tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    folder = tmp_path / "run"
    with pytest.raises(UsageError) as caught:
        run(options(pictures, folder, **changes))
    assert str(caught.value) == expected
    assert not folder.exists()


def test_too_few_images_for_a_batch_and_none_at_all(pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert failure(SscdError, options(pictures, folder, batch_size=64)) == (
        "20 training images do not fill a batch of 64; use a smaller --batch-size or more images"
    )
    (tmp_path / "empty").mkdir()
    assert failure(NoImagesError, options(tmp_path / "empty", folder)) == (
        f"no images in {tmp_path / 'empty'}; name a folder or tar file with images"
    )


def test_a_place_that_cannot_be_written_is_an_error(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "run"
    assert failure(SscdError, options(pictures, folder)) == (
        f"cannot write {folder}/options.json: Not a directory; make room or name another "
        "--output; --resume goes on from the last checkpoint"
    )


def test_a_full_disk_keeps_the_last_checkpoint(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, saved = torch.save, []

    def second_fails(state: object, path: Path) -> None:
        saved.append(path)
        if len(saved) == 2:
            raise OSError(28, "No space left on device")
        save(state, path)

    monkeypatch.setattr(torch, "save", second_fails)
    text = failure(SscdError, options(pictures, tmp_path / "run"))
    assert text.startswith(f"cannot write {tmp_path}/run/checkpoint.pt: No space left on device;")
    assert torch.load(tmp_path / "run" / "checkpoint.pt")["epoch"] == 1


def test_unreadable_images_are_survived_and_named(pictures: Path, tmp_path: Path) -> None:
    for name in ("a.png", "b.jpg"):
        (tmp_path / name).write_bytes(b"no image")
    both = options(
        pictures, tmp_path / "run", sources=(str(pictures), str(tmp_path)), holdout=0, epochs=1
    )
    shown: list[StepLog] = []
    result = run(replace(both, batch_size=26), shown.append)
    assert result.unreadable == ("a.png", "b.jpg")
    assert result.images == 26
    assert result.validation is None, "nothing was held out"
    assert len(shown) == 1


def test_unreadable_held_out_images_are_left_out(pictures: Path, tmp_path: Path) -> None:
    held_out = verb._split(verb._images(options(pictures, tmp_path)), options(pictures, tmp_path))
    broken = tmp_path / "pictures"
    save_pictures(broken, 24)
    for ref in held_out[1][:2]:
        (broken / ref.id).write_bytes(b"no image")
    assert run(options(broken, tmp_path / "run", epochs=1)).validation is not None
    (broken / held_out[1][2].id).write_bytes(b"no image")
    assert failure(SscdError, options(broken, tmp_path / "other", epochs=1)) == (
        "1 of the 4 held-out images can be read; "
        "check the images, or use --holdout 0 for no validation"
    )


def test_a_loss_that_is_no_number_stops_the_run(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = failure(
        SscdError, options(pictures, tmp_path / "run", optimizer="sgd", learning_rate=1e30)
    )
    assert text.startswith("the loss is nan at step ")
    assert text.endswith("; use a lower --learning-rate")
