"""`sscd train` as a library: a folder of pictures becomes a model, whatever happens on the way."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_pictures import draw_picture, save_pictures
from networks import network_and_metadata
from training_runs import failure, options, run, training_pictures

from sscd_cli.commands import train as verb
from sscd_cli.errors import SscdError, UnknownModelError, UsageError
from sscd_cli.models.catalogue.registry import BUNDLED_INT8, find_model
from sscd_cli.models.load import load_model
from sscd_cli.options.train import TrainOptions
from sscd_cli.training import loop
from sscd_cli.training.log import StepLog, append_step, read_steps

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

STEPS = 4  # of 20 images, in 2 epochs of batches of 8

FILES = {"checkpoint.pt", "log.csv", "model.safetensors", "options.json"}


@pytest.fixture(scope="module", autouse=True)
def every_step() -> Iterator[None]:
    """Log every step; one thread, so that a forked run computes the same."""
    threads, often = torch.get_num_threads(), loop.LOG_EVERY
    torch.set_num_threads(1)
    loop.LOG_EVERY = 1
    yield
    loop.LOG_EVERY = often
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return training_pictures(tmp_path_factory)


@pytest.fixture(scope="module")
def finished(
    pictures: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, verb.TrainResult, list[StepLog]]:
    folder, shown = tmp_path_factory.mktemp("runs") / "undisturbed", []
    return folder, run(options(pictures, folder), shown.append), shown


def test_a_run_leaves_a_model_a_log_and_its_options(
    finished: tuple[Path, verb.TrainResult, list[StepLog]],
) -> None:
    folder, result, shown = finished
    names = {path.name for path in folder.iterdir()}
    assert names - {"curves.png"} == FILES
    assert result.model == folder / "model.safetensors"
    assert result.images == 20
    assert result.unreadable == ()
    assert result.curves is None or result.curves.is_file()
    steps = read_steps(result.log)
    assert [step.step for step in steps] == list(range(1, STEPS + 1))
    assert {step.steps for step in steps} == {STEPS}
    assert [step.epoch for step in steps] == [0, 0, 1, 2]
    assert result.validation == steps[-1].validation
    assert 0 < steps[-1].validation <= 1
    assert [step.step for step in shown] == [1, 2, 3, 4, 4]
    assert [step.learning_rate for step in steps] == pytest.approx(
        [0.03 / 32 / 2, 0.03 / 32, 0.03 / 32, 0.03 / 64], rel=1e-5
    ), "linear in the batch: 8 of 256"
    for step in steps:
        assert step.loss == pytest.approx(step.infonce + 30 * step.entropy, rel=1e-4)
    recipe = json.loads((folder / "options.json").read_text())
    assert recipe["augmentations"] == "copies"
    assert "sources" not in recipe


def test_the_model_loads_by_its_path(
    finished: tuple[Path, verb.TrainResult, list[StepLog]],
) -> None:
    _, result, _ = finished
    model = load_model(str(result.model), device="cpu", precision="fp32")
    assert (model.spec.name, model.spec.trunk, model.spec.dimensions) == ("tiny", "mini", 16)
    assert (model.spec.recipe.size, model.spec.recipe.square) == (32, True)
    metadata = network_and_metadata(result.model)[1]
    assert (metadata["images"], metadata["epochs"]) == (20, 2)
    assert metadata["training"]["data_note"] == "drawn"
    descriptors = model.embed([draw_picture(1), draw_picture(2)])
    np.testing.assert_allclose(np.linalg.norm(descriptors, axis=1), 1, atol=1e-5)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return network_and_metadata(folder / "model.safetensors")[0].state_dict()


def die_at(step: int) -> Callable[[StepLog], None]:
    def progress(shown: StepLog) -> None:
        if shown.step == step:
            os.kill(os.getpid(), signal.SIGKILL)

    return progress


def in_a_process(options: TrainOptions, progress: Callable[[StepLog], None]) -> int:
    def body() -> None:
        torch.set_num_threads(1)
        run(options, progress)

    process = multiprocessing.get_context("fork").Process(target=body)
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


@pytest.mark.parametrize("step", [3, 4])
def test_a_killed_run_resumes_and_ends_as_an_undisturbed_one(
    pictures: Path,
    tmp_path: Path,
    finished: tuple[Path, verb.TrainResult, list[StepLog]],
    step: int,
) -> None:
    whole, undisturbed, _ = finished
    folder = tmp_path / "killed"
    assert in_a_process(options(pictures, folder), die_at(step)) == -signal.SIGKILL
    assert not (folder / "model.safetensors").exists()
    with (folder / "log.csv").open("ab") as log:
        log.write(b"2,4,1")  # and a line it had begun
    result = run(options(pictures, folder, resume=True))
    steps, expected = read_steps(result.log), read_steps(undisturbed.log)
    assert [s.step for s in steps] == list(range(1, STEPS + 1))
    for ours, theirs in zip(steps, expected, strict=True):
        assert (ours.epoch, ours.loss) == (theirs.epoch, pytest.approx(theirs.loss, rel=1e-4))
    assert result.validation == pytest.approx(undisturbed.validation, abs=1e-3)
    torch.testing.assert_close(weights(folder), weights(whole), rtol=1e-4, atol=1e-5)


def test_a_run_killed_before_its_first_checkpoint_starts_anew(
    pictures: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    first = options(pictures, folder, epochs=5)
    assert in_a_process(first, die_at(1)) == -signal.SIGKILL
    assert (folder / "log.csv").exists()
    assert failure(SscdError, replace(first, resume=True)) == (
        f"there is no run to resume in {folder}; leave out --resume"
    )
    result = run(options(pictures, folder, epochs=1))
    assert {step.steps for step in read_steps(result.log)} == {2}, "steps of the killed run"


def test_a_measurement_that_is_missing_is_not_an_earlier_one(
    pictures: Path,
    tmp_path: Path,
    finished: tuple[Path, verb.TrainResult, list[StepLog]],
) -> None:
    whole, _, _ = finished
    folder = shutil.copytree(whole, tmp_path / "killed")
    steps = read_steps(folder / "log.csv")
    (folder / "log.csv").unlink()
    for step, measured in zip(steps, [None, 0.5, None, None], strict=True):
        append_step(folder / "log.csv", replace(step, validation=measured))
    assert run(options(pictures, folder, resume=True)).validation is None


def test_a_run_shorter_than_the_log_interval_is_logged(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "LOG_EVERY", 10)
    result = run(options(pictures, tmp_path / "run"))
    assert [step.step for step in read_steps(result.log)] == [2, 4]
    assert result.validation is not None


def test_a_run_is_never_overwritten_and_resumes_with_its_own_options_only(
    pictures: Path, finished: tuple[Path, verb.TrainResult, list[StepLog]]
) -> None:
    folder, _, _ = finished
    files = [folder / name for name in sorted(FILES)]
    before = [path.read_bytes() for path in files]
    assert failure(SscdError, options(pictures, folder)) == (
        f"{folder} holds a run already; add --resume or name another --output"
    )
    again = options(pictures, folder, resume=True)
    repeat = "repeat that run's options, or name another --output"
    for changed, told in (
        ({"seed": 5}, "--seed 0"),
        ({"holdout": 6}, "--holdout 4"),
        ({"batch_size": 4}, "--batch-size 8"),
        ({"optimizer": "sgd"}, "--optimizer adamw"),
        ({"dimensions": 8}, f"--dimensions {again.dimensions}"),
        ({"trunk": "resnet18"}, "--trunk mini"),
    ):
        assert failure(SscdError, replace(again, **changed)) == (
            f"the run in {folder} had {told}; {repeat}"
        )
    assert [path.read_bytes() for path in files] == before


def test_resuming_with_other_images_is_refused(
    pictures: Path, tmp_path: Path, finished: tuple[Path, verb.TrainResult, list[StepLog]]
) -> None:
    folder, _, _ = finished
    save_pictures(tmp_path, 1, first=90)
    more = options(pictures, folder, resume=True, sources=(str(pictures), str(tmp_path)))
    assert "(20 images then, 21 now)" in failure(SscdError, more)


def test_a_damaged_checkpoint_is_an_error(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"PK\x03\x04 torn")
    assert failure(SscdError, options(pictures, tmp_path, resume=True)) == (
        f"cannot read the checkpoint {tmp_path}/checkpoint.pt; "
        "delete it and train again without --resume"
    )


def test_a_run_records_the_threshold_that_its_held_out_images_show(
    pictures: Path,
    tmp_path: Path,
    finished: tuple[Path, verb.TrainResult, list[StepLog]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, few, _ = finished  # 4 held out
    assert few.threshold is None
    assert find_model(str(few.model)).threshold is None
    monkeypatch.setattr("sscd_cli.training.threshold.LEAST_IMAGES", 2)
    monkeypatch.setattr("sscd_cli.training.threshold._SAME", 1.0)
    result = run(options(pictures, tmp_path / "run", epochs=1))
    model = find_model(str(result.model))
    assert model.threshold == result.threshold
    assert model.threshold is not None
    assert model.threshold_source == "no two of 4 held-out images reach it"


def test_training_goes_on_from_another_models_weights(
    pictures: Path, tmp_path: Path, finished: tuple[Path, verb.TrainResult, list[StepLog]]
) -> None:
    _, result, _ = finished
    started = options(
        pictures,
        tmp_path / "run",
        init=str(result.model),
        trunk="resnet50",
        dimensions=512,
        epochs=1,
    )
    again = run(started)
    network, metadata = network_and_metadata(again.model)
    assert (metadata["training"]["trunk"], network.dimensions) == ("mini", 16)
    first = read_steps(again.log)[0].loss
    assert first < read_steps(result.log)[0].loss, "it starts where the other one ended"


def test_training_starts_from_a_network_by_name(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(BUNDLED_INT8, "net.onnx")
    for kind, name, said in (
        (UnknownModelError, "sscd_minu", "unknown model 'sscd_minu'; did you mean sscd_mini?"),
        (UsageError, "net.onnx", "net.onnx is an ONNX file, which is not trained; name a weight"),
    ):
        assert failure(kind, options(pictures, tmp_path / "run", init=name)).startswith(said)
    assert verb._start("sscd_mini").dimensions == 512
