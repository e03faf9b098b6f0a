"""The command between real pipes: bash, find, xargs, head, full and closed streams."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from conftest import SSCD, Run, Store, names_in, picture

A, B = [1.0, 0.0], [0.0, 1.0]
ODD = ("with space.png", "new\nline.png", "-rf.png", "quote'\".png", os.fsdecode(b"caf\xe9.png"))

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


@pytest.fixture
def bash(tmp_path: Path, tiny_model: Path) -> Any:
    def run(script: str) -> subprocess.CompletedProcess[bytes]:
        script = f'set -o pipefail\nsscd() {{ {shlex.quote(str(SSCD))} "$@"; }}\n{script}'
        env = {**os.environ, "SSCD_MODEL": str(tiny_model), "SSCD_WORKERS": "0"}
        return subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, env=env, capture_output=True, check=False
        )

    return run


@pytest.fixture
def many(tmp_path: Path, store: Store) -> Path:
    """Write a dataset whose report is larger than a pipe holds."""
    path = picture(tmp_path / "a.png", 1)
    files: dict[Path, Any] = {path: A}
    for number in range(400):
        name = tmp_path / f"{'long' * 40}{number}.png"
        shutil.copy2(path, name)
        files[name] = A
    return store(tmp_path / "descriptors", files)


def test_find_feeds_embed_and_dedup_feeds_xargs_whatever_the_names(
    bash: Any, tmp_path: Path
) -> None:
    for name in ODD:
        picture(tmp_path / "photos" / name, 1)
    picture(tmp_path / "photos" / "other.png", 9)
    ran = bash(
        "cd photos; find . -name '*.png' -print0 | sscd embed - -q -d ../descriptors"
        " && sscd dedup -d ../descriptors -q --format paths -0 --keep path"
        " | xargs -0 rm --"
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")
    assert names_in(tmp_path / "photos") == ["-rf.png", "other.png"]


def test_names_are_those_of_the_files_in_any_locale(
    bash: Any, tmp_path: Path, store: Store
) -> None:
    names = ("a.png", "caf\u00e9.png", os.fsdecode(b"caf\xe9.png"))
    store(tmp_path / "descriptors", {picture(tmp_path / name, 1): A for name in names})
    ran = bash(
        "export LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0; sscd dedup -q --format paths -0"
        " | xargs -0 rm --"
    )
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert [name for name in names_in(tmp_path) if name.endswith(".png")] == ["a.png"]


def test_a_list_by_lines_and_a_cheap_reader(bash: Any, tmp_path: Path, store: Store) -> None:
    names = ("-a.png", "b c.png", "d.png")
    files: dict[Path, Any] = {picture(tmp_path / name, 1): A for name in names}
    store(tmp_path / "descriptors", files, root=tmp_path)
    ran = bash("sscd dedup --format paths --keep newest,path -0 | xargs -0 ls")
    assert ran.returncode == 0
    assert ran.stdout.decode().splitlines() == ["b c.png", "d.png"]
    ran = bash("sscd dedup --format paths --keep first -0 | xargs -0 ls -1")
    assert ran.stdout.decode().splitlines() == ["b c.png", "d.png"]
    (tmp_path / "d.png").rename(tmp_path / "0.png")
    store(tmp_path / "descriptors", {picture(tmp_path / "0.png", 1): A}, root=tmp_path)
    ran = bash("sscd dedup --format paths --keep path -0 | xargs -0 ls -1")
    assert ran.stdout.decode().splitlines() == ["0.png", "b c.png"]


def test_a_reader_that_stops_early_is_no_error(bash: Any, many: Path) -> None:
    ran = bash("sscd dedup -q --format csv | head -c 1; echo ${PIPESTATUS[0]}")
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert ran.stdout[1:] == b"0\n"


@pytest.mark.parametrize("format", ["jsonl", "text", "csv", "paths", "parquet"])
def test_a_reader_that_stops_early_is_no_error_in_any_format(
    sscd: Run, many: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    reader, writer = os.pipe()

    def read_a_byte() -> None:
        assert len(os.read(reader, 1)) == 1
        os.close(reader)

    thread = Thread(target=read_a_byte)
    thread.start()
    with os.fdopen(writer, "w") as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        ran = sscd("dedup", "-q", "--format", format)
    thread.join()
    assert (ran.status, ran.out, ran.err) == (0, b"", "")


def test_a_closed_pipe_does_not_change_the_verdict(bash: Any, many: Path) -> None:
    dedup, status = "sscd dedup -q -t 0.9 --exit-code", "echo ${PIPESTATUS[0]}"
    ran = bash(f"{dedup} | true; {status}; {dedup} -f csv -o /dev/stdout | true; {status}")
    assert (ran.stdout, ran.stderr) == (b"1\n1\n", b"")


@pytest.mark.parametrize("format", ["jsonl", "text", "csv", "paths", "html", "parquet"])
@pytest.mark.parametrize("more", [[], ["--against", "one"]])
def test_a_closed_pipe_does_not_change_the_verdict_in_any_format(
    *,
    sscd: Run,
    tmp_path: Path,
    store: Store,
    many: Path,
    monkeypatch: pytest.MonkeyPatch,
    format: str,
    more: list[str],
) -> None:
    store(tmp_path / "one", {tmp_path / "a.png": A})
    for to_stdout in (True, False):
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "w") as stream, monkeypatch.context() as patch:
            words = ["-t", "0.9", "--exit-code", "--format", format, *more]
            if to_stdout:
                patch.setattr(sys, "stdout", stream)
            else:
                words += ["-o", f"/dev/fd/{writer}"]
            ran = sscd("dedup", "-q", *words)
        assert (ran.status, ran.out, ran.err) == (1, b"", "")


def test_a_closed_pipe_leaves_pair_and_strict_their_verdict(
    bash: Any, tmp_path: Path, store: Store
) -> None:
    files: dict[Path, Any] = {picture(tmp_path / "a.png", 1): A, picture(tmp_path / "b.png", 2): B}
    torn = tmp_path / "torn.png"
    torn.write_bytes(b"x")
    store(tmp_path / "descriptors", {**files, torn: "no image"})
    ran = bash(
        "sscd pair a.png b.png --exit-code | true; echo ${PIPESTATUS[0]};"
        "sscd dedup -q --strict -f csv | true; echo ${PIPESTATUS[0]}"
    )
    assert ran.stdout == b"1\n4\n"


def test_a_reader_that_never_reads_is_no_error(bash: Any, many: Path) -> None:
    ran = bash("sscd dedup -q | true; sscd --help | true; sscd --version | true")
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_the_first_line_of_json_is_whole(bash: Any, many: Path) -> None:
    ran = bash("sscd dedup --format jsonl | head -1")
    assert ran.returncode == 0
    assert json.loads(ran.stdout)["members"] == 401


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_streams_that_are_full_or_closed_are_one_line_of_error(bash: Any, many: Path) -> None:
    ran = bash("sscd dedup > /dev/full")
    assert (ran.returncode, ran.stderr) == (
        3,
        b"sscd: error: cannot write to stdout: No space left on device; "
        b"send the output somewhere else\n",
    )
    ran = bash("sscd dedup >&-")
    assert (ran.returncode, ran.stderr) == (
        3,
        b"sscd: error: stdout is closed; name a file with -o\n",
    )
    ran = bash(
        "sscd dedup -f paths -o list 2>/dev/full && wc -l < list; sscd dedup -f paths 2>&- | wc -l"
    )
    assert (ran.returncode, ran.stdout) == (0, b"400\n400\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", ["--version", "--help", "models", "models path sscd_mini"])
def test_what_is_told_of_the_tool_itself_notices_a_full_device_too(bash: Any, words: str) -> None:
    ran = bash(f"sscd {words} > /dev/full; echo $? >&2; sscd {words} >&-")
    assert ran.returncode == 3
    assert ran.stderr == (
        b"sscd: error: cannot write to stdout: No space left on device; "
        b"send the output somewhere else\n3\n"
        b"sscd: error: stdout is closed; name a file with -o\n"
    )


def test_summaries_stay_out_of_the_pipe(bash: Any, many: Path) -> None:
    ran = bash("sscd dedup --format csv | wc -l")
    assert ran.stdout.strip() == b"403"
    assert b"401 images, 0 unreadable: 1 cluster, 400 removable" in ran.stderr
