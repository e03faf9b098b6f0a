"""Options that cannot act are refused, and the name of an output says its format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import Run, Store, error_line, names_in, picture

from sscd_cli.cli.combinations import RULES

A = [1.0, 0.0]


@pytest.fixture
def stored(tmp_path: Path, store: Store) -> Path:
    files: dict[Path, Any] = {
        picture(tmp_path / "a.png", 1, (50, 40)): A,
        picture(tmp_path / "b.png", 1, (50, 40)): A,
    }
    torn = tmp_path / "torn.png"
    torn.write_bytes(b"x")
    return store(tmp_path / "descriptors", {**files, torn: "no image"})


def refused(sscd: Run, typed: str, message: str) -> None:
    ran = sscd(*typed.split())
    assert error_line(ran) == message
    assert (ran.status, ran.out) == (2, b"")


def test_the_table_names_options_that_there_are() -> None:
    from sscd_cli.cli.app import tree

    root = tree()
    for name, rules in RULES.items():
        command = root
        for word in name.split():
            command = command.commands[word]
        there = {parameter.name for parameter in command.params}
        for rule in rules:
            assert set(rule.options.split()) <= there, name


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (f"dedup {option}", f"{option.split()[0]} does nothing without SOURCE; add SOURCE, or ")
        for option in [
            "--include x*",
            "--exclude x*",
            "--image-column x",
            "--id-column x",
            "--no-exif",
            "--decode fast",
            "--precision fp32",
            "--batch-size 2",
            "--workers 0",
        ]
    ]
    + [
        ("dedup -m sscd_mini", "--model does nothing without SOURCE or --explain; "),
        ("dedup --from0 a", "--from0 does nothing without - as SOURCE; "),
        ("embed --from0 a", "--from0 does nothing without - as SOURCE; "),
        ("dedup -0", "--null does nothing without --format paths; "),
        ("dedup -f paths --explain", "--explain does nothing with --format paths; "),
        ("dedup --exact --method groups", "--method does nothing with --exact; "),
        ("dedup --exact --min-recall 0.9", "--min-recall does nothing with an exact join; "),
        ("dedup --method sketch --device cpu", "--device does nothing without SOURCE, or "),
        ("dedup --gpus-per-task 1", "--gpus-per-task does nothing without --engine ray; "),
        ("embed a --memory-per-task 1", "--memory-per-task does nothing without --engine ray; "),
        ("pair a b -d d", "--descriptors does nothing without --threshold auto; "),
        ("eval disc a --metadata x", "--metadata does nothing without --format csv; "),
        ("train a -o b --init c --trunk mini", "--trunk does nothing with --init; "),
        ("train a -o b --holdout 0 --validate-every 2", "--validate-every does nothing with "),
        ("train a -o b --momentum 0.5", "--momentum does nothing without --optimizer sgd; "),
        ("embed a --estimate --strict", "--strict does nothing with --estimate; "),
        ("embed a --estimate --engine ray", "--engine does nothing with --estimate; "),
    ]
    + [
        (f"dedup --task 1/1 {option}", f"{option.split()[0]} does nothing with --task; ")
        for option in [
            "--format html",
            "--explain",
            "--exit-code",
            "--strict",
            "--output x",
            "--estimate",
            "--keep path",
            "--linkage leader",
        ]
    ]
    + [
        (f"dedup --estimate {option}", f"{option.split()[0]} does nothing with --estimate; ")
        for option in ["--exit-code", "--strict", "--output x", "--explain", "--against d"]
    ]
    + [
        (f"dedup --against d {option}", f"{option.split()[0]} does nothing with --against; ")
        for option in ["--keep path", "--linkage leader", "--exact", "--explain"]
    ],
)
def test_an_option_that_cannot_act_is_a_usage_error(sscd: Run, typed: str, message: str) -> None:
    ran = sscd(*typed.split())
    assert error_line(ran).startswith(message)
    assert (ran.status, ran.out) == (2, b"")


@pytest.mark.parametrize("typed", ["embed photos", "dedup photos", "filter photos --remove r -o o"])
@pytest.mark.parametrize("option", ["--image-column", "--id-column"])
def test_columns_of_a_plain_folder_are_refused(
    sscd: Run, tmp_path: Path, typed: str, option: str
) -> None:
    picture(tmp_path / "photos" / "a.png", 1)
    (tmp_path / "r").touch()
    what = "a Parquet file or a list as SOURCE"
    refused(
        sscd,
        f"{typed} {option} x",
        f"{option} does nothing without {what}; add {what}, or leave out {option}",
    )


def test_a_variable_that_one_command_has_no_use_for_is_no_error(
    sscd: Run, stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, word in (("MODEL", "x"), ("PRECISION", "fp32"), ("NULL", "1"), ("INCLUDE", "x")):
        monkeypatch.setenv(f"SSCD_{name}", word)
    assert sscd("dedup", "-f", "csv").status == 0


def test_a_sketch_is_of_one_machine(sscd: Run, stored: Path) -> None:
    message = "--method sketch runs on one machine; use exact, groups or auto"
    refused(sscd, "dedup --method sketch --task 1/1", message)
    refused(sscd, "dedup --method sketch --engine ray", message)


def test_a_threshold_is_calibrated_on_one_dataset(sscd: Run, stored: Path) -> None:
    message = (
        "--descriptors does nothing with a descriptor dataset as SOURCE; leave out --descriptors"
    )
    refused(sscd, "calibrate descriptors -d other", message)


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("x.html", b"<!doctype html>"),
        ("x.HTM", b"<!doctype html>"),
        ("x.jsonl", b"{"),
        ("x.ndjson", b"{"),
        ("x.csv", b"# {"),
        ("x.parquet", b"PAR1"),
        ("x.txt", b"cluster "),
        ("x", b"cluster "),
    ],
)
def test_the_suffix_of_the_output_says_its_format(
    sscd: Run, stored: Path, tmp_path: Path, name: str, start: bytes
) -> None:
    assert sscd("dedup", "-o", name).status == 0
    assert (tmp_path / name).read_bytes().startswith(start)


def test_a_suffix_outweighs_a_variable_and_fits_two_formats(
    sscd: Run, stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sscd("dedup", "-f", "paths", "-o", "x.txt").status == 0
    assert (tmp_path / "x.txt").read_bytes() == b"b.png\n"
    monkeypatch.setenv("SSCD_FORMAT", "jsonl")
    assert sscd("dedup", "-o", "x.csv").status == 0
    assert (tmp_path / "x.csv").read_bytes().startswith(b"# {")


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (
            "dedup -o x.html -f csv",
            "--output x.html is not named as --format csv is; leave out --format, or name the "
            "output otherwise",
        ),
        (
            "dedup -o x.json",
            "sscd dedup writes no .json file; use *.txt, *.html, *.htm, *.jsonl, *.ndjson, *.csv, "
            "*.parquet",
        ),
        (
            "eval pairs t.csv -o x.html",
            "sscd eval pairs writes no .html file; use *.txt, *.json, *.csv",
        ),
        (
            "models export sscd_mini -o x.csv",
            "sscd models export writes no .csv file; use *.pt, *.pth, *.onnx, *.safetensors",
        ),
        (
            "models export sscd_mini -o x.onnx -f torchscript",
            "--output x.onnx is not named as --model-format torchscript is; leave out "
            "--model-format, or name the output otherwise",
        ),
    ],
)
def test_a_suffix_of_another_format_is_refused(
    sscd: Run, tmp_path: Path, typed: str, message: str
) -> None:
    refused(sscd, typed, message)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("word", ["json", "jsonl"])
def test_one_record_is_json_and_json_lines(sscd: Run, word: str, tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 1)
    ran = sscd("pair", "a.png", "a.png", "-f", word, "-q")
    assert (ran.status, ran.out[:1], ran.out.count(b"\n")) == (0, b"{", 1)


def test_a_variable_for_reports_is_no_format_of_models(
    sscd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSCD_FORMAT", "jsonl")
    assert sscd("models", "export", "sscd_mini", "-o", "x.safetensors").status == 0
    assert sscd("pair", "x", "y").status == 3  # for want of the images


def test_strict_names_its_errors_whatever_quiet_says(sscd: Run, tiny: Run, stored: Path) -> None:
    ran = sscd("dedup", "-q", "--strict", "-f", "paths")
    assert (ran.status, ran.out, ran.err) == (4, b"b.png\n", "unreadable: torn.png: no image\n")
    ran = tiny("embed", "a.png", "torn.png", "-q", "--strict", "-d", "other")
    assert ran.status == 4
    assert ran.err.startswith("unreadable: torn.png: ")
    assert sscd("dedup", "-q").err == ""


def test_what_cannot_be_explained_is_told_before_pairs_are_looked_for(
    sscd: Run, stored: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "sscd_cli.commands.dedup.run", lambda *_: pytest.fail("pairs were looked for")
    )
    ran = sscd("dedup", "--explain")
    assert ran.status == 2
    assert error_line(ran) == (
        "descriptors was made by drawn, which is a model of one's own; name its file with --model"
    )
    ran = sscd("dedup", "--explain", "-m", tiny_model)
    assert "descriptors was made by drawn with other weights" in error_line(ran)


def test_the_threshold_of_pair_is_that_of_the_dataset_that_the_environment_names(
    sscd: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSCD_DESCRIPTORS", "elsewhere")
    ran = sscd("pair", "a", "b", "-t", "auto")
    assert "nothing was calibrated in elsewhere" in error_line(ran)


def test_a_setting_that_stored_descriptors_do_not_have_is_refused(
    tiny: Run, tmp_path: Path
) -> None:
    picture(tmp_path / "a.png", 1)
    assert tiny("embed", "a.png", "--precision", "fp32", "--decode", "exact").status == 0
    ran = tiny("embed", "a.png", "--precision", "bf16")
    assert ran.status == 3
    assert error_line(ran) == (
        "the descriptors in descriptors are fp32, and stay so; leave out --precision bf16, or "
        "choose another folder with -d"
    )
    assert tiny("embed", "a.png", "--precision", "fp32").status == 0
    assert tiny("embed", "a.png").status == 0


def test_an_estimate_is_of_the_output_that_was_asked_for(tiny: Run, tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 1)
    assert tiny("embed", "a.png", "--output-kind", "embedding").status == 0
    ran = tiny("embed", "a.png", "--output-kind", "embedding", "--estimate")
    assert ran.lines[0] == "images   1, 0 of them to embed"


@pytest.mark.parametrize("name", ["clean.tar", "clean.zip", "clean.parquet", "clean.csv"])
def test_a_folder_does_not_get_the_name_of_a_file(tiny: Run, tmp_path: Path, name: str) -> None:
    for number in (1, 2):
        picture(tmp_path / "photos" / f"{number}.png", 1)
    assert tiny("dedup", "photos", "-o", "report.jsonl").status == 0
    ran = tiny("filter", "photos", "--remove", "report.jsonl", "-o", name)
    assert ran.status == 2
    assert error_line(ran) == (
        f"{name} is the name of a {Path(name).suffix} file, and what becomes of photos, a folder, "
        "is a folder; name a folder with -o"
    )
    ran = tiny("train", "photos", "-o", "model.safetensors")
    assert error_line(ran) == (
        "--output model.safetensors is the run's folder, not a model file; name a folder, in which "
        "model.safetensors will lie"
    )
