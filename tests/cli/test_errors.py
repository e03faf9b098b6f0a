"""Bad input: the exact message, no traceback, nothing half-written."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from conftest import Run, Store, error_line, failed, names_in, picture, save_tiny_model

from sscd_cli import errors

A = [1.0, 0.0]


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    tree = {
        name: error.exit_code
        for name, error in vars(errors).items()
        if inspect.isclass(error) and issubclass(error, errors.SscdError)
    }
    drawn = {}
    for line in (errors.__doc__ or "").splitlines():
        if " exit " in line:
            words = line.replace("├──", "").replace("└──", "").split()
            drawn[words[0]] = int(words[2])
    assert drawn == tree


def test_an_error_is_one_line_whatever_the_name() -> None:
    error = errors.StoreError("cannot read a\nb\x1b[31m\udcff", "look")
    assert str(error) == "cannot read a\\nb\\x1b[31m\\xff; look"


def test_missing_folder(tiny: Run, tmp_path: Path) -> None:
    message = "cannot read the source nowhere: No such file or directory; check the path"
    failed(tiny, 3, message, "embed", "nowhere")
    failed(tiny, 3, message, "dedup", "nowhere")
    assert not (tmp_path / "descriptors").exists()


def test_a_pattern_that_nothing_matches_and_a_link_to_nowhere_are_called_so(
    tiny: Run, tmp_path: Path
) -> None:
    failed(tiny, 3, "no file matches photos/*.png; check the pattern", "embed", "photos/*.png")
    (tmp_path / "link").symlink_to("gone")
    message = "cannot read the source link: No such file or directory"
    failed(tiny, 3, f"{message}; check where this link leads", "dedup", "link")


def test_folder_without_images(tiny: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("no image")
    fix = "name a folder with images, or image files themselves"
    failed(tiny, 3, f"no images in empty, but 1 .txt; {fix}", "embed", "empty")
    for name in ("a.mp4", "b.mp4", "c.mp4", "c.svg", "d.svg"):
        (tmp_path / "empty" / name).touch()
    (tmp_path / "void").mkdir()
    failed(tiny, 3, f"no images in void, void; {fix}", "dedup", "void", "void")
    what = "no images in empty, void, but 3 .mp4, 2 .svg, 1 .txt"
    failed(tiny, 3, f"{what}; {fix}", "dedup", "empty", "void")
    failed(tiny, 3, f"no images in the list on stdin; {fix}", "embed", "-")
    assert not (tmp_path / "descriptors").exists()


def test_a_list_without_nul_bytes_with_the_option(tiny: Run, tmp_path: Path) -> None:
    message = "the list on stdin holds no NUL byte; leave out --from0"
    failed(tiny, 2, message, "embed", "-", "--from0", stdin=b"a\nb\n")


def test_no_descriptors(sscd: Run, tmp_path: Path) -> None:
    message = "there are no descriptors in descriptors; run sscd embed SOURCE first"
    for command in (["dedup"], ["index"], ["search", "a.png"]):
        failed(sscd, 3, message, *command)
    there = "there are no descriptors in a b; run sscd embed SOURCE -d 'a b' first"
    failed(sscd, 3, there, "dedup", "-d", "a b")
    (tmp_path / "file").write_text("")
    failed(sscd, 3, "file is a file; name a folder of descriptors with -d", "dedup", "-d", "file")


def test_images_where_descriptors_belong(tiny: Run, tmp_path: Path) -> None:
    picture(tmp_path / "my photos" / "a.png", 1)
    what = "my photos holds images, not descriptors"
    made = "'my photos-descriptors'"
    read = f"{what}; run sscd embed 'my photos' -d {made}, and name {made} instead"
    failed(tiny, 3, read, "dedup", "-d", "my photos")
    failed(tiny, 3, read, "index", "-d", "my photos")
    write = f"{what}; choose a new or empty folder with -d"
    failed(tiny, 3, write, "embed", "my photos", "-d", "my photos")
    assert names_in(tmp_path / "my photos") == ["a.png"]


def test_descriptors_where_images_belong(tiny: Run, tmp_path: Path, store: Store) -> None:
    store(tmp_path / "descriptors", {picture(tmp_path / "a.png", 1): A})
    message = "descriptors holds descriptors, not images; name it with -d descriptors"
    failed(tiny, 3, message, "dedup", "descriptors")
    failed(tiny, 3, message, "embed", "descriptors")


@pytest.mark.parametrize("threshold", ["1.5", "-2", "nan", "inf"])
def test_threshold_out_of_range(sscd: Run, threshold: str) -> None:
    message = f"--threshold {threshold} is no cosine similarity; use a number from -1 to 1"
    failed(sscd, 2, message, "dedup", f"--threshold={threshold}")
    failed(sscd, 2, message, "pair", "a", "b", f"--threshold={threshold}")


def test_threshold_that_is_no_number(sscd: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = sscd("dedup", "-t", "high")
    assert ran.status == 2
    assert error_line(ran) == (
        "--threshold high is neither a number nor auto nor a file; use a number from -1 to 1"
    )
    monkeypatch.setenv("SSCD_THRESHOLD", "high")
    assert sscd("dedup").status == 2


def test_a_malformed_variable_is_named(sscd: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSCD_BATCH_SIZE", "x")
    ran = sscd("embed", "photos")
    assert ran.status == 2
    assert "SSCD_BATCH_SIZE" in error_line(ran)
    assert "--batch-size" in error_line(sscd("embed", "photos", "--batch-size", "y"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["dedup", "-f", "xml"],
            "unknown format 'xml'; use one of text, html, jsonl, csv, parquet, paths",
        ),
        (
            ["dedup", "-f", "json"],
            "unknown format 'json'; did you mean jsonl? "
            "use one of text, html, jsonl, csv, parquet, paths",
        ),
        (
            ["dedup", "--linkage", "x"],
            "unknown linkage 'x'; use one of leader, components, complete",
        ),
        (["dedup", "--method", "x"], "unknown method 'x'; use one of auto, exact, sketch, groups"),
        (
            ["dedup", "--keep", "path,best"],
            "unknown keep word 'best'; use one of original, resolution, bytes, format, "
            "source, oldest, newest, path, first",
        ),
        (
            ["dedup", "--keep", ""],
            "unknown keep word ''; use one of original, resolution, bytes, format, "
            "source, oldest, newest, path, first",
        ),
        (["search", "a", "-f", "xml"], "unknown format 'xml'; use one of text, jsonl, csv"),
        (["search", "a", "-k", "0"], "-k 0 is too small; use 1 to 1,048,576"),
        (["pair", "a", "b", "-f", "csv"], "unknown format 'csv'; use one of text, json"),
        (["eval", "self", "a", "-f", "csv"], "unknown format 'csv'; use one of text, json"),
        (["eval", "self", "a", "--limit", "1"], "--limit 1 is too small; use 2 to 10,000,000"),
        (["embed", "a", "--dtype", "int8"], "unknown dtype 'int8'; use one of float16, float32"),
        (["embed", "a", "--batch-size", "0"], "--batch-size 0 is too small; use 1 to 1,048,576"),
        (["embed", "a", "--workers", "-1"], "--workers -1 is too small; use 0 to 256"),
    ],
)
def test_impossible_words_are_refused_before_any_work(
    sscd: Run, words: list[str], message: str
) -> None:
    failed(sscd, 2, message, *words)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["embed", ""], "'SOURCE'"),
        (["dedup", "-d", ""], "'--descriptors' / '-d'"),
        (["dedup", "-t", ""], "'--threshold' / '-t'"),
        (["dedup", "-m", ""], "'--model' / '-m'"),
        (["fit", "-o", ""], "'--output' / '-o'"),
        (["pair", "a", ""], "'B'"),
    ],
)
def test_an_empty_word_is_no_value(sscd: Run, words: list[str], name: str) -> None:
    failed(sscd, 2, f"invalid value for {name}: it is empty; see sscd {words[0]} --help", *words)


@pytest.mark.parametrize(
    ("variable", "word", "reason"),
    [
        ("SSCD_K", "2.5", "'2.5' is no whole number"),
        ("SSCD_QUIET", "maybe", "'maybe' is neither 1 nor 0"),
    ],
)
def test_nonsense_in_the_environment_is_told_by_the_variables_name(
    sscd: Run, monkeypatch: pytest.MonkeyPatch, variable: str, word: str, reason: str
) -> None:
    monkeypatch.setenv(variable, word)
    failed(
        sscd, 2, f"invalid value for {variable}: {reason}; see sscd search --help", "search", "a"
    )


def test_unknown_model(sscd: Run, tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 1)
    for words in (["embed", "a.png"], ["dedup", "a.png"], ["pair", "a.png", "a.png"]):
        ran = sscd(*words, "-m", "nonsense")
        assert (ran.status, ran.out) == (2, b"")
        assert error_line(ran).startswith("unknown model 'nonsense'; use a name ")
    assert not (tmp_path / "descriptors").exists()


def test_a_model_file_that_is_none(sscd: Run, tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 1)
    (tmp_path / "m.safetensors").write_bytes(b"nonsense")
    ran = sscd("embed", "a.png", "-m", "m.safetensors")
    assert ran.status == 3
    assert "m.safetensors" in error_line(ran)


def test_mixing_models(tiny: Run, tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 1)
    other = save_tiny_model(tmp_path / "other.safetensors", seed=1)
    assert tiny("embed", "a.png").status == 0
    ran = tiny("embed", "a.png", "-m", other)
    assert ran.status == 3
    message = error_line(ran)
    assert message.startswith("descriptors/shard-000000.parquet holds descriptors that cannot be ")
    assert "mixed with this run's: tiny (weights " in message
    assert message.endswith("; choose another folder with -d, or remove descriptors")
    ran = tiny("search", "a.png", "-m", other)
    assert ran.status == 3
    assert error_line(ran).startswith("descriptors was made by tiny with other weights (")
    assert error_line(ran).endswith(f"than {other}; name the file of its model with --model")


def test_a_corrupt_shard_is_named_with_its_remedy(sscd: Run, tmp_path: Path, store: Store) -> None:
    shard = store(tmp_path / "descriptors", {picture(tmp_path / "a.png", 1): A}) / (
        "shard-000000.parquet"
    )
    shard.write_bytes(shard.read_bytes()[:-20])
    message = f"{shard.relative_to(tmp_path)} is damaged; delete it and run sscd embed again"
    for command in ("dedup", "index"):
        failed(sscd, 3, message, command)


@pytest.mark.parametrize("format", ["csv", "jsonl", "paths", "text"])
def test_paths_with_line_breaks_need_nul(
    sscd: Run, tmp_path: Path, store: Store, format: str
) -> None:
    names = ("a.png", "b.png", "new\nline.png")
    store(tmp_path / "descriptors", {picture(tmp_path / name, 1): A for name in names})
    if format == "paths":
        message = "the path new\\nline.png holds a line break; add -0 for NUL-separated paths"
        failed(sscd, 2, message, "dedup", "-f", "paths")
        assert sscd("dedup", "-f", "paths", "-0").out == b"b.png\0new\nline.png\0"
    else:
        assert sscd("dedup", "-f", format).status == 0


def test_a_pattern_of_many_files_is_no_page_of_names(sscd: Run) -> None:
    said = error_line(sscd("pair", *(f"photos/holiday-{number:04}.jpg" for number in range(500))))
    assert said.startswith("got unexpected extra argument(s) (photos/holiday-0002.jpg ")
    assert said.endswith(" …; see sscd pair --help")
    assert len(said) < 300
