"""`sscd calibrate` and what uses its file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Run, error_line
from drawn_pictures import save_pictures

FAST = ("--sample", "8", "--weights", "all=0,jpeg=1,crop=2", "--copies-per-image", "0.5")


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of drawn pictures, one of them twice."""
    monkeypatch.chdir(tmp_path)
    save_pictures(tmp_path / "pictures", 40)
    (tmp_path / "pictures" / "again.png").write_bytes(
        (tmp_path / "pictures" / "007.png").read_bytes()
    )
    return tmp_path / "pictures"


def test_a_folder_becomes_a_threshold_that_dedup_and_pair_use(sscd: Run, pictures: Path) -> None:
    ran = sscd("calibrate", str(pictures), "--wanted-precision", "0.3", "-f", "json", *FAST)
    assert ran.status == 0, ran.err
    found = json.loads(ran.out)
    assert found["images"] == 40  # of identical files the first
    assert found["copies"] == 8 * 6  # three strengths of each
    threshold = found["threshold"]
    at = next(point for point in found["curve"] if point["threshold"] == threshold)
    before = [p for p in found["curve"] if p["threshold"] < threshold]
    assert at["precision"]["value"] >= 0.3
    assert all(point["precision"]["value"] < 0.3 for point in before)
    stored = json.loads(Path("descriptors/threshold.json").read_text())
    assert stored["threshold"] == threshold
    ran = sscd("dedup", "--threshold", "auto")
    assert f"threshold {threshold:.4g} of sscd_mini" in ran.err
    ran = sscd("dedup", "--against", "descriptors", "-t", "descriptors/threshold.json")
    assert f"threshold {threshold:.4g} of sscd_mini" in ran.err
    two = (str(pictures / "007.png"), str(pictures / "008.png"))
    ran = sscd("pair", *two, "-t", "auto", "-f", "json")
    assert json.loads(ran.out)["threshold"] == threshold


def test_text_shows_the_threshold_in_eighty_columns(sscd: Run, pictures: Path) -> None:
    ran = sscd("calibrate", str(pictures), "-p", "0.3", "-o", "here.json", *FAST)
    assert ran.status == 0, ran.err
    assert max(map(len, ran.lines)) <= 80
    (chosen,) = (line for line in ran.lines if line.startswith("→"))
    threshold = json.loads(Path("here.json").read_text())["threshold"]
    assert f"{threshold:.3f}" in chosen
    assert "40 images of sscd_mini" in ran.err
    assert "0.5 copies an image (given)" in ran.err


def test_what_was_not_given_is_not_called_given_and_the_curve_ends_at_one(
    sscd: Run, pictures: Path
) -> None:
    ran = sscd("calibrate", str(pictures), "-p", "0.3", "-f", "json", *FAST[:4])
    assert "copies an image (estimated" in ran.err
    curve = json.loads(ran.out)["curve"]
    assert curve[-1]["threshold"] == 1
    assert curve[0]["copies"] > 0
    assert curve[0]["look_alikes"] > curve[-1]["look_alikes"] >= 0


def test_a_threshold_for_fewer_images_than_are_compared_is_warned_of(
    sscd: Run, pictures: Path
) -> None:
    sscd("calibrate", str(pictures), "-p", "0.3", "--images", "20", *FAST)
    ran = sscd("dedup", "-t", "auto")
    assert "calibrated for 20 images and 41 are compared" in ran.err
    sscd("calibrate", "descriptors", "-p", "0.3", *FAST)
    assert "calibrated for" not in sscd("dedup", "-t", "auto").err


def test_pairs_of_some_rows_stand_for_those_of_all(
    sscd: Run, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("calibrate", str(pictures), "-p", "0.3", "-f", "json", *FAST)
    every = json.loads(sscd(*words).out)
    monkeypatch.setattr("sscd_cli.commands.calibrate._ROWS", (20, 20))
    some = json.loads(sscd(*words).out)
    assert some["threshold"] == pytest.approx(every["threshold"], abs=0.1)
    assert some["copies_per_image"] == every["copies_per_image"]


def test_a_sample_that_is_too_small_is_said_to_be(
    sscd: Run, gallery: Path, truth: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*truth, "torn.jpg", "notes.txt"):
        (gallery / name).unlink()  # what is left is 27 different pictures
    monkeypatch.chdir(gallery.parent)
    few = ("calibrate", str(gallery), "--wanted-precision", "0.9", "-q", "-f", "json", *FAST)
    for weights in ((), ("--weights", "all=0,jpeg=1")):  # with or without look-alikes among them
        ran = sscd(*few, *weights)
        found = json.loads(ran.out)
        assert "27 images are too few to promise 0.9 precision" in ran.err
        assert found["enough_images"] > 27
        assert found["sure_threshold"] is None
        at = next(p for p in found["curve"] if p["threshold"] == found["threshold"])
        assert at["precision"]["low"] < 0.9 <= at["precision"]["value"]


def test_no_threshold_is_an_error_and_leaves_no_file(sscd: Run, pictures: Path) -> None:
    hard = ("-p", "0.999999", "--sample", "4", "--weights", "all=0,jpeg=1")
    ran = sscd("calibrate", str(pictures), *hard, "--copies-per-image", "1e-5")
    assert ran.status == 3
    assert "no threshold is expected to reach" in error_line(ran)
    assert not Path("descriptors/threshold.json").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--wanted-precision", "1.5"], "above 0 and below 1"),
        (["--sample", "1"], "use 2 to "),
        (["--images", "1"], "use 2 to "),
        (["--copies-per-image", "0"], "above 0"),
        (["--weights", "crop"], "crop=2"),
        (["--weights", "crop=-1"], "crop=2"),
        (["--weights", "crap=1"], "unknown edit 'crap'"),
        (["--weights", "all=0"], "leaves no edit"),
        (["-f", "yaml"], "unknown format"),
    ],
)
def test_impossible_wishes_are_refused(sscd: Run, words: list[str], says: str) -> None:
    ran = sscd("calibrate", *words)
    assert ran.status == 2
    assert says in error_line(ran)


def test_images_that_are_gone_cannot_be_copied(sscd: Run, pictures: Path) -> None:
    sscd("embed", str(pictures))
    for file in pictures.iterdir():
        file.write_bytes(b"changed")
    ran = sscd("calibrate")
    assert ran.status == 3
    assert "0 are where they were embedded" in error_line(ran)


def test_a_threshold_that_is_not_there_is_refused_before_any_work(
    sscd: Run, pictures: Path
) -> None:
    for name in ("auto", "nowhere.json"):
        ran = sscd("dedup", str(pictures), "--threshold", name)
        assert ran.status == 3
        assert "sscd calibrate" in error_line(ran)
    assert not Path("descriptors").exists()
    assert sscd("pair", "a.png", "b.png", "-t", "auto").status == 3
    assert "no cosine" in error_line(sscd("dedup", "--threshold", "1.5"))


def test_a_threshold_of_other_descriptors_is_refused(
    sscd: Run, pictures: Path, tiny_model: Path
) -> None:
    sscd("calibrate", str(pictures), "-p", "0.3", *FAST)
    sscd("embed", str(pictures), "-d", "other", "--model", str(tiny_model))
    ran = sscd("dedup", "-d", "other", "-t", "descriptors/threshold.json")
    assert ran.status == 3
    assert "other descriptors: sscd_mini" in error_line(ran)
    Path("broken.json").write_text("{")
    assert "no threshold of sscd calibrate" in error_line(sscd("dedup", "-t", "broken.json"))


def test_descriptors_of_a_model_file_need_that_file(
    sscd: Run, pictures: Path, tiny_model: Path
) -> None:
    sscd("embed", str(pictures), "--model", str(tiny_model))
    ran = sscd("calibrate")
    assert (ran.status, error_line(ran)) == (
        2,
        "descriptors was made by tiny, which is a model of one's own; name its file with --model",
    )
    ran = sscd("calibrate", "--model", str(tiny_model), "-p", "0.5", *FAST)
    assert "Traceback" not in ran.err
    ran = sscd("calibrate", "--model", "sscd_mini", "-p", "0.5", *FAST)
    assert "with other weights" in error_line(ran)
