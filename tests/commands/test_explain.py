"""Which single edit explains a pair: every edit made on purpose is named."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import Run, csv_rows_of, error_line, records_of
from drawn_pictures import draw_picture
from numpy.typing import NDArray
from PIL import Image

from sscd_cli.edits import overlays
from sscd_cli.edits.named import named
from sscd_cli.evaluation.explanation import Explanation, explain

SIZE = (320, 280)


def pixels(images: Sequence[Image.Image]) -> NDArray[np.float32]:
    """Embed by pixels: what a network learns is not the question here."""
    rows = np.stack([np.asarray(image.resize((24, 24)), np.float32).ravel() for image in images])
    rows -= rows.mean(axis=1, keepdims=True)
    unit: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def explained(left: Image.Image, right: Image.Image) -> Explanation:
    return explain(pixels, left, right, side=64)


@pytest.mark.parametrize(
    ("name", "strength", "answer", "detail"),
    [
        ("flip", "left-right", "flip", "left-right"),
        ("flip", "top-bottom", "flip", "top-bottom"),
        ("quarter turn", "90°", "quarter turn", "90° left"),
        ("quarter turn", "270°", "quarter turn", "90° right"),
        ("quarter turn", "180°", "quarter turn", "180°"),
        ("grayscale", "grey", "grayscale", "grey"),
        ("grayscale", "sepia", "grayscale", "sepia"),
        ("colour shift", "warm", "colour shift", "tones"),
        ("saturation", "factor 0.4", "colour shift", "saturation"),
        ("resize", "50 %", "rescale", "to 50%"),
        ("resize", "stretched 4:3", "rescale", "to 75% × 100%"),
    ],
)
def test_an_edit_is_named_with_its_strength(
    name: str, strength: str, answer: str, detail: str
) -> None:
    image, other = draw_picture(11, *SIZE), draw_picture(12, *SIZE)
    found = explained(image, named(name, strength).apply(image, random.Random(0), other))
    assert found.verdict is not None
    assert (found.verdict.edit, found.verdict.detail) == (answer, detail)


def test_the_box_of_a_crop_is_found_in_pixels_of_the_larger_image() -> None:
    image, box = draw_picture(21, *SIZE), (60, 40, 220, 180)
    copy = image.crop((60, 40, 280, 220))
    for left, right, edited in ((image, copy, "A"), (copy, image, "B")):
        verdict = explained(left, right).verdict
        assert verdict is not None
        assert (verdict.edit, verdict.edited) == ("crop", edited)
        assert verdict.box is not None
        assert np.abs(np.subtract(verdict.box, box)).max() <= 8


def test_a_border_and_an_overlay_are_seen_and_measured() -> None:
    image = draw_picture(31, *SIZE)
    bordered = overlays.border(image, random.Random(3), image, share=0.1)
    found = explained(image, bordered)
    assert found.verdict is not None
    corner = "".join(f"{value:02x}" for value in bordered.getpixel((0, 0)))
    assert (found.verdict.edit, found.verdict.detail) == ("border", f"#{corner}")
    assert found.sentence().startswith(f"B is A, with a border (#{corner})")
    covered = image.copy()
    covered.paste((255, 0, 255), (100, 80, 180, 140))
    found = explained(image, covered)
    assert found.verdict is not None
    assert found.verdict.edit == "overlay"
    assert found.verdict.box is not None
    assert np.abs(np.subtract(found.verdict.box, (100, 80, 80, 60))).max() <= 16


def test_what_no_single_edit_explains_is_said_to_be_unexplained() -> None:
    image = draw_picture(41, *SIZE)
    found = explained(image, draw_picture(42, *SIZE))
    assert found.verdict is None
    assert found.sentence().startswith("no single edit explains it; nearest ")
    twice = image.crop((100, 40, 320, 240)).transpose(Image.Transpose.ROTATE_90)
    assert explained(image, twice).verdict is None


def test_the_same_pixels_are_called_unchanged() -> None:
    image = draw_picture(51, *SIZE)
    assert explained(image, image.copy()).sentence() == "B is A, unchanged: 1.000 as they are"
    noisy = named("jpeg", "quality 60").apply(image, random.Random(0), image)
    verdict = explained(image, noisy).verdict
    assert verdict is not None
    assert verdict.edit == "recompression"


def test_trials_are_the_best_of_each_edit_and_fall() -> None:
    image = draw_picture(61, *SIZE)
    found = explained(image, image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    similarity = [round(trial.similarity, 3) for trial in found.trials]
    assert similarity == sorted(similarity, reverse=True)
    edits = [trial.edit for trial in found.trials]
    assert len(edits) == len(set(edits))
    untouched = next(trial for trial in found.trials if trial.edit == "nothing")
    assert untouched.similarity == found.similarity


@pytest.fixture
def flipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a picture and its smaller mirror image."""
    monkeypatch.chdir(tmp_path)
    image = draw_picture(71, *SIZE)
    image.save("a.png")
    image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((240, 210)).save("b.png")
    return tmp_path


def test_pair_explains_when_asked_only(sscd: Run, flipped: Path) -> None:
    ran = sscd("pair", "a.png", "b.png", "--explain")
    assert ran.status == 0, ran.err
    # a flip back is a flip: either way is true
    assert ran.lines[1].startswith(
        ("B is A, flipped left-right: 0.", "A is B, flipped left-right: 0.")
    )
    assert max(map(len, ran.lines)) <= 80
    found = json.loads(sscd("pair", "a.png", "b.png", "--explain", "-f", "json").out)
    assert found["explanation"]["verdict"]["edit"] == "flip"
    assert found["explanation"]["similarity"] == pytest.approx(found["similarity"])
    assert "explanation" not in json.loads(sscd("pair", "a.png", "b.png", "-f", "json").out)
    assert len(sscd("pair", "a.png", "b.png").lines) == 1


def test_dedup_explains_each_removable_image(sscd: Run, flipped: Path) -> None:
    ran = sscd("dedup", ".", "-t", "0.2", "--explain", "--low-content")
    ways = ("this is what stays", "what stays is this")
    assert any(f"         {way}, flipped left-right: 0." in ran.out.decode() for way in ways)
    ran = sscd("dedup", "--low-content", "-t", "0.2", "--explain", "-f", "csv")
    kept, removable = csv_rows_of(ran.out)
    assert kept["explanation"] == ""
    assert "flipped left-right" in removable["explanation"]
    plain = sscd("dedup", "--low-content", "-t", "0.2", "-f", "csv")
    assert "explanation" not in plain.lines[1]
    (cluster,) = records_of(sscd("dedup", "--low-content", "-t", "0.2", "-f", "jsonl").out)
    assert "explanation" not in cluster["members"][1]


def test_explanations_are_refused_where_no_report_has_room_for_them(
    sscd: Run, flipped: Path
) -> None:
    for words in (["-f", "paths"], ["--against", "other"]):
        ran = sscd("dedup", "--explain", *words)
        assert ran.status == 2
        assert "--explain" in error_line(ran)
