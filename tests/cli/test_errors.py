"""Bad input: the exact message, no traceback, nothing half-written."""

from __future__ import annotations

import inspect
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import SSCD, Run, Store, error_line, names_in, picture, save_tiny_model

from sscd_cli import errors

A = [1.0, 0.0]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
no_root = pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")


def failed(run: Run, status: int, message: str, *words: str | Path, **how: Any) -> None:
    ran = run(*words, **how)
    assert error_line(ran) == message
    assert (ran.status, ran.out) == (status, b"")


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


def test_folder_without_images(tiny: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("no image")
    fix = "name a folder with images, or image files themselves"
    failed(tiny, 3, f"no images in empty; {fix}", "embed", "empty")
    failed(tiny, 3, f"no images in empty, empty; {fix}", "dedup", "empty", "empty")
    failed(tiny, 3, f"no images in the list on stdin; {fix}", "embed", "-")
    assert not (tmp_path / "descriptors").exists()


def test_a_list_without_nul_bytes_with_the_option(tiny: Run, tmp_path: Path) -> None:
    message = "the list on stdin holds no NUL byte; leave out --from0"
    failed(tiny, 2, message, "embed", "-", "--from0", stdin=b"a\nb\n")


def test_no_descriptors(sscd: Run, tmp_path: Path) -> None:
    message = "there are no descriptors in descriptors; run sscd embed SOURCE first"
    for command in (["dedup"], ["index"], ["search", "a.png"]):
        failed(sscd, 3, message, *command)
    (tmp_path / "file").write_text("")
    failed(sscd, 3, "file is a file; name a folder of descriptors with -d", "dedup", "-d", "file")


def test_images_where_descriptors_belong(tiny: Run, tmp_path: Path) -> None:
    picture(tmp_path / "my photos" / "a.png", 1)
    what = "my photos holds images, not descriptors"
    read = f"{what}; run sscd embed 'my photos' first"
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


def test_missing_cuda(tiny: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    picture(tmp_path / "a.png", 1)
    message = "this machine has no CUDA device 'cuda'; use --device cpu"
    failed(tiny, 3, message, "embed", "a.png", "--device", "cuda")
    message = "unknown device 'gpu'; use --device cpu, cuda or cuda:N"
    failed(tiny, 2, message, "embed", "a.png", "--device", "gpu")
    assert not (tmp_path / "descriptors").exists()


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


@contextmanager
def small_disk(folder: Path, size: str, mode: str = "rw") -> Iterator[Path]:
    """Mount a file system of its own; skip where that is not allowed."""
    folder.mkdir()
    ran = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},{mode}", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if ran.returncode:
        pytest.skip("cannot mount a tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@needs_root
@pytest.mark.parametrize("format", ["torchvision", "torchscript"])
def test_a_full_disk_holds_no_part_of_a_model(sscd: Run, tmp_path: Path, format: str) -> None:
    with small_disk(tmp_path / "disk", "100k") as disk:
        ran = sscd("models", "export", "sscd_mini", "-f", format, "-o", "disk/m.pt")
        assert ran.status == 3
        assert "No space left on device" in error_line(ran)
        assert names_in(disk) == []


@needs_root
def test_a_full_disk_leaves_whole_shards_only_and_the_next_run_goes_on(
    tiny: Run, tmp_path: Path
) -> None:
    for seed in range(12):
        picture(tmp_path / "photos" / f"{seed:02}.png", seed)
    with small_disk(tmp_path / "disk", "64k") as disk:
        ballast = disk / ".ballast"
        ballast.write_bytes(bytes(52 << 10))
        words = ("embed", "photos", "-d", disk / "d", "--shard-rows", "2", "--batch-size", "2")
        ran = tiny(*words)
        assert ran.status == 3
        assert error_line(ran) == (
            f"cannot write to {disk}/d: the disk is full; free some space and run the same "
            "command again"
        )
        assert not [name for name in names_in(disk / "d") if name.endswith(".part")]
        if any(name.endswith(".parquet") for name in names_in(disk / "d")):
            assert tiny("dedup", "-d", disk / "d").status == 0
        ballast.unlink()
        tiny("embed", "photos", "-d", tmp_path / "whole")
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        ran = tiny(*words)
        assert ran.status == 0
        assert "12 images: " in ran.err
        report = tiny("dedup", "-d", disk / "d", "-t", "0", "-f", "csv").out
        whole = tiny("dedup", "-d", tmp_path / "whole", "-t", "0", "-f", "csv").out
        # the first line names the dataset
        assert report.split(b"\n", 1)[1] == whole.split(b"\n", 1)[1]


@needs_root
def test_a_read_only_place_is_an_error(tiny: Run, tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 1)
    with small_disk(tmp_path / "disk", "64k", "ro") as disk:
        message = f"cannot write to {disk}/d: Read-only file system; choose another place with -d"
        failed(tiny, 3, message, "embed", "a.png", "-d", disk / "d")


@no_root
def test_a_folder_without_permission_is_an_error(tiny: Run, tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 1)
    (tmp_path / "shut").mkdir(mode=0o500)
    message = "cannot write to shut/d: Permission denied; choose another place with -d"
    failed(tiny, 3, message, "embed", "a.png", "-d", "shut/d")
    (tmp_path / "locked").mkdir(mode=0)
    message = "cannot read the folder {}: Permission denied; make it readable"
    failed(tiny, 3, message.format(tmp_path / "locked"), "embed", "locked")


@pytest.mark.parametrize("name", ["torn.png", "nowhere.png"])
def test_an_image_that_pair_or_search_cannot_read(tiny: Run, tmp_path: Path, name: str) -> None:
    picture(tmp_path / "a.png", 1)
    (tmp_path / "torn.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    assert tiny("embed", "a.png").status == 0
    for words in (["pair", "a.png", name], ["search", name]):
        ran = tiny(*words)
        assert (ran.status, ran.out) == (3, b"")
        assert error_line(ran).startswith(f"cannot read {name}: ")
        assert error_line(ran).endswith("; name an image file")


def test_a_working_directory_that_is_gone_is_told(
    sscd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    message = "the working directory is gone; cd to a folder that is there"
    for words in (["embed", tmp_path], ["dedup", "-d", tmp_path], ["models", "list"]):
        failed(sscd, 3, message, *words)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_too_small_an_address_space_is_told_before_a_library_ends_the_process() -> None:
    ran = subprocess.run(
        ["bash", "-c", f"ulimit -v 300000; {SSCD} dedup -d nowhere"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (3, "")
    assert ran.stderr == (
        "sscd: error: ulimit -v leaves 307 MB of memory; raise it to 2 GB or more\n"
    )


LACKS = {
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9"): "out of memory;",
    RuntimeError("std::bad_alloc"): "out of memory;",
    MemoryError(): "out of memory;",
    ImportError("libtorch_cpu.so: failed to map segment from shared object"): "out of memory;",
    OSError(24, "Too many open files"): "too many open files; raise the limit (ulimit -n)",
    RuntimeError("can't start new thread"): "no more threads; raise the limits",
    ImportError("libgomp.so.1: no such file", name="faiss"): "cannot load faiss: libgomp.so.1: no",
}


@pytest.mark.parametrize("error", LACKS, ids=str)
def test_what_the_machine_lacks_is_told_whatever_the_library_says(
    sscd: Run, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr("sscd_cli.commands.index.run", fail)
    ran = sscd("index")
    assert ran.status == 3
    assert error_line(ran).startswith(LACKS[error])


def test_a_shard_that_memory_does_not_suffice_for_is_not_called_damaged(
    sscd: Run, tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow as pa

    store(tmp_path / "descriptors", {picture(tmp_path / "a.png", 1): A})
    for error in (pa.ArrowException("Failed to launch worker thread"), pa.ArrowMemoryError("")):

        def fail(*_: Any, error: Exception = error, **__: Any) -> None:
            raise error

        monkeypatch.setattr("pyarrow.parquet.ParquetFile", fail)
        ran = sscd("dedup", "-t", "0.9")
        assert ran.status == 3
        assert "damaged" not in ran.err
        assert error_line(ran).startswith(("no more threads", "out of memory"))


def test_a_pattern_of_many_files_is_no_page_of_names(sscd: Run) -> None:
    said = error_line(sscd("pair", *(f"photos/holiday-{number:04}.jpg" for number in range(500))))
    assert said.startswith("got unexpected extra argument(s) (photos/holiday-0002.jpg ")
    assert said.endswith(" …; see sscd pair --help")
    assert len(said) < 300
