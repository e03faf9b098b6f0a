"""A network that learns from a teacher's descriptors of the whole images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Run, error_line, save_tiny_model
from drawn_pictures import save_pictures
from networks import network_and_metadata
from small_training import small_options

from sscd_cli.commands import train as verb
from sscd_cli.errors import SscdError
from sscd_cli.images.refs import ImageRef
from sscd_cli.images.sources import iter_images
from sscd_cli.models.load import Model, load_model
from sscd_cli.options.train import TrainOptions
from sscd_cli.training import teacher as teaching
from sscd_cli.training.log import read_steps
from sscd_cli.training.teacher import Teacher, teacher_codes

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    save_pictures(tmp_path / "pictures", 24)
    return tmp_path / "pictures"


@pytest.fixture
def refs(pictures: Path) -> list[ImageRef]:
    return list(iter_images([str(pictures)]))


@pytest.fixture
def model(tiny_model: Path) -> Model:
    return load_model(str(tiny_model), device="cpu", precision="fp32")


def options(pictures: Path, output: Path, teacher: Path, **changes: Any) -> TrainOptions:
    usual: dict[str, Any] = {"warmup_epochs": 0, "validate_every": 1, "entropy_weight": 0}
    taught = {**usual, "teacher": str(teacher), "contrastive_weight": 0.1}
    return small_options(pictures, output, **{**taught, **changes})


def run(options: TrainOptions) -> verb.TrainResult:
    return verb.run(options, lambda step: None)


def test_a_code_is_the_teachers_descriptor_of_the_whole_image(
    model: Model, refs: list[ImageRef], tmp_path: Path, pictures: Path
) -> None:
    (pictures / f"{Path(refs[3].id).stem}.png").write_text("no image")
    codes = teacher_codes(model, refs, tmp_path / "run")
    assert (codes.dtype, codes.shape) == (np.float16, (len(refs), 16))
    assert not codes[3].any()
    paths = [pictures / ref.id for row, ref in enumerate(refs) if row != 3]
    np.testing.assert_allclose(np.delete(codes, 3, 0), model.embed(paths), atol=1e-3)


def test_the_teacher_is_asked_once_for_each_image_though_a_run_is_stopped(
    model: Model, refs: list[ImageRef], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    answer = teaching._codes_of

    def answers_twice(model: Model, some: Sequence[ImageRef]) -> Any:
        if len(asked) == 20:
            raise KeyboardInterrupt
        asked.extend(ref.id for ref in some)
        return answer(model, some)

    monkeypatch.setattr(teaching, "_CHUNK", 10)
    monkeypatch.setattr(teaching, "_codes_of", answers_twice)
    with pytest.raises(KeyboardInterrupt):
        teacher_codes(model, refs, tmp_path)
    asked.append("stopped")
    codes = teacher_codes(model, refs, tmp_path)
    again = teacher_codes(model, refs, tmp_path)
    assert [name for name in asked if name != "stopped"] == [ref.id for ref in refs]
    np.testing.assert_array_equal(codes, again)
    assert not np.isnan(codes).any()


def test_codes_of_another_teacher_or_of_other_images_are_refused(
    model: Model, refs: list[ImageRef], tmp_path: Path
) -> None:
    teacher_codes(model, refs, tmp_path)
    other = save_tiny_model(tmp_path / "other.safetensors", seed=1)
    for asked, images in ((load_model(str(other), device="cpu"), refs), (model, refs[::-1])):
        with pytest.raises(SscdError, match=r"codes\.npy has the codes of another teacher or of"):
            teacher_codes(asked, images, tmp_path)
    (tmp_path / "codes.npy").write_bytes(b"torn")
    with pytest.raises(SscdError, match=r"codes\.npy is damaged; delete it and codes\.json"):
        teacher_codes(model, refs, tmp_path)


@pytest.mark.parametrize("most", [100, 4])
def test_the_loss_is_that_of_telling_the_own_code_from_others_and_of_the_distance_to_it(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teaching, "MOST_CODES", most)
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(9, 5)).astype(np.float16)
    unit = codes.astype(np.float64) / np.linalg.norm(codes.astype(np.float64), axis=1)[:, None]
    views = torch.nn.functional.normalize(torch.randn(6, 5, generator=torch.manual_seed(0)))
    shown, content = np.array([7, 2, 5]), torch.eye(3).repeat(2, 1)
    content[[1, 4]] = 0  # an image that was not there
    teacher = Teacher(codes, 0.1, seed=3)
    code, distance = teacher.loss(views, content, shown, step=1)
    rows = teacher._candidates(shown, 1).numpy()
    assert len(rows) == 9 if most == 100 else 4 <= len(rows) <= 7
    np.testing.assert_allclose(rows[:3], unit[shown], atol=1e-3)
    cosine = views.numpy().astype(np.float64) @ rows.T
    odds = cosine / 0.1 - np.log(np.exp(cosine / 0.1).sum(axis=1, keepdims=True))
    own = [(0, 0), (2, 2), (3, 0), (5, 2)]
    assert code.item() == pytest.approx(-np.mean([odds[at] for at in own]), rel=1e-4)
    assert distance.item() == pytest.approx(1 - np.mean([cosine[at] for at in own]), rel=1e-4)


def test_a_run_comes_nearer_to_its_teacher_and_says_so(
    pictures: Path, tmp_path: Path, tiny_model: Path
) -> None:
    result = run(options(pictures, tmp_path / "run", tiny_model, epochs=8))
    steps = read_steps(result.log)
    validated = [step.validation_cosine for step in steps if step.validation_cosine is not None]
    assert len(validated) == 8
    assert steps[-1].code is not None and steps[0].code is not None
    assert steps[-1].code < steps[0].code
    for step in steps:
        parts = step.code + 1 - step.cosine + 0.1 * step.infonce  # type: ignore[operator]
        assert step.loss == pytest.approx(parts, rel=1e-4)
    metadata = network_and_metadata(result.model)[1]
    assert metadata["teacher"]["name"] == "tiny"
    assert "teacher" not in json.loads((tmp_path / "run" / "options.json").read_text())


def test_mixed_views_are_drawn_to_what_they_show(
    pictures: Path, tmp_path: Path, tiny_model: Path
) -> None:
    result = run(options(pictures, tmp_path / "run", tiny_model, augmentations="mixup", epochs=1))
    assert all(np.isfinite(step.loss) for step in read_steps(result.log))


def test_a_stopped_run_goes_on_with_its_teacher_as_an_undisturbed_one(
    pictures: Path, tmp_path: Path, tiny_model: Path
) -> None:
    whole = run(options(pictures, tmp_path / "whole", tiny_model))

    def stops(step: Any) -> None:
        if step.epoch == 1 and step.validation is not None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verb.run(options(pictures, tmp_path / "run", tiny_model), stops)
    resumed = run(options(pictures, tmp_path / "run", tiny_model, resume=True))
    networks = [network_and_metadata(result.model)[0] for result in (whole, resumed)]
    left, right = (network.state_dict() for network in networks)
    for name, value in left.items():
        torch.testing.assert_close(right[name], value, atol=1e-4, rtol=1e-3)


def test_a_teacher_of_another_length_is_refused(
    sscd: Run, pictures: Path, tiny_model: Path
) -> None:
    words = ("train", pictures, "-o", "run", "--trunk", "mini", "--batch-size", "8")
    ran = sscd(*words, "--holdout", "4", "--teacher", tiny_model, "--device", "cpu")
    assert error_line(ran) == (
        f"{tiny_model} gives 16 dimensions, the network 512; use --dimensions 16"
    )
    ran = sscd(*words, "--holdout", "4", "--teacher", "nowhere", "--device", "cpu")
    assert error_line(ran).startswith("unknown model 'nowhere'")
