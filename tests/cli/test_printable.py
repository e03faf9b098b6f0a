"""Nothing that comes from a file, a name or a server reaches the terminal but as plain text."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from conftest import SSCD, Ran, Run, Store, picture, save_tiny_model

from sscd_cli.errors import printable

# sets the title, clears the screen, colours, writes backwards, begins a sequence by one byte
EVIL = "x\x1b]0;owned\x07\x1b[2J\x1b[31m\u202e\x9by"
A, B = [1.0, 0.0], [0.0, 1.0]


def is_plain(ran: Ran) -> bool:
    lines = f"{ran.out.decode(errors='surrogateescape')}{ran.err}".split("\n")
    return all(line == printable(line) for line in lines)


@pytest.fixture
def evil_model(tmp_path: Path) -> Path:
    """Return a model file whose metadata is made to be printed."""
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    path = save_tiny_model(tmp_path / "evil.safetensors", seed=0)
    with safe_open(path, "pt") as file:
        metadata = json.loads(file.metadata()["sscd"])
    metadata |= {"name": EVIL, "licence": EVIL, "threshold": {"value": 0.9, "source": EVIL}}
    metadata["preprocessing"]["name"] = EVIL
    save_file(load_file(path), path, {"sscd": json.dumps(metadata)})
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for seed in range(4):
        picture(folder / f"{seed}{EVIL}.png", seed)
    (folder / f"copy{EVIL}.png").write_bytes((folder / f"0{EVIL}.png").read_bytes())
    (folder / f"bad{EVIL}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + EVIL.encode())
    return folder


def test_names_of_files_and_models_are_plain_in_every_command(
    sscd: Run, evil_model: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSCD_MODEL", str(evil_model))
    first = next(photos.glob("0*"))
    truth = io.StringIO()
    rows = [(first.name, next(photos.glob("copy*")).name, EVIL)]
    csv.writer(truth).writerows([("left", "right", "group"), *rows])
    Path("truth.csv").write_text(truth.getvalue())
    for words in (
        ["embed", photos, "--estimate"],
        ["embed", photos],
        ["embed", photos, "--dtype", "float32", "--output-kind", "logits"],
        ["index"],
        ["search", first],
        ["search", next(photos.glob("bad*"))],
        ["fit", "-o", f"{EVIL}.post", "--transform", "center"],
        ["dedup"],
        ["dedup", "--explain"],
        ["dedup", "--estimate"],
        ["dedup", "--against", "descriptors"],
        ["dedup", "--post", f"{EVIL}.post"],
        ["dedup", "--post", f"{EVIL}.post", "-t", "0.9"],
        ["dedup", "-m", "sscd_mini", photos],
        ["dedup", "-f", "paths", "-o", "removable"],
        ["filter", photos, "--remove", "removable", "-o", f"out{EVIL}"],
        ["filter", photos, "--remove", "removable", "-o", f"out{EVIL}"],
        ["pair", first, next(photos.glob("1*"))],
        ["pair", first, next(photos.glob("bad*"))],
        ["calibrate", "--sample", "2", "--copies-per-image", "1"],
        ["eval", "self", photos, "--limit", "2"],
        ["eval", "pairs", "truth.csv", "descriptors"],
        ["models"],
        ["models", "export", evil_model, "-o", "exported"],
    ):
        ran = sscd(*words)
        assert is_plain(ran), words
        assert "unexpected" not in ran.err, words


def test_what_stored_descriptors_say_is_plain(sscd: Run, tmp_path: Path, store: Store) -> None:
    files = {picture(tmp_path / name, 1): A for name in (f"a{EVIL}.png", f"b{EVIL}.png")}
    store(tmp_path / "descriptors", files, model=EVIL, tool_version=EVIL)
    store(tmp_path / "other", files, model=f"other {EVIL}", weights="1" * 64)
    (tmp_path / "threshold.json").write_text(json.dumps({"model": EVIL, "threshold": EVIL}))
    for words in (
        ["dedup"],
        ["dedup", "-t", "0.9"],
        ["dedup", "--against", "other", "-t", "0.9"],
        ["dedup", "-t", "threshold.json"],
        ["index"],
        ["search", f"a{EVIL}.png"],
        ["calibrate"],
        ["fit", "-o", "a.post"],
        ["embed", f"a{EVIL}.png"],
    ):
        assert is_plain(sscd(*words)), words


def test_names_within_containers_and_lists_are_plain(tiny: Run, tmp_path: Path) -> None:
    data = picture(tmp_path / "a.png", 1).read_bytes()
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, content in ((f"a{EVIL}.png", data), (f"b{EVIL}.png", b"none")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    (tmp_path / "a.csv").write_text(f'path,{EVIL}\n"nowhere{EVIL}.png",1\n')
    (tmp_path / "a.jsonl").write_text(json.dumps({"path": f"nowhere{EVIL}.png"}) + "\n")
    (tmp_path / "report.jsonl").write_text(json.dumps({"members": [{"path": EVIL}]}) + "\n")
    for words in (
        ["embed", "a.tar"],
        ["embed", "a.csv"],
        ["embed", "a.csv", "--image-column", EVIL],
        ["embed", "a.jsonl"],
        ["embed", "-"],
        ["dedup"],
        ["filter", "a.tar", "--remove", "report.jsonl", "-o", "b.tar"],
        ["filter", "a.csv", "--remove", "report.jsonl", "-o", "b.csv"],
    ):
        assert is_plain(tiny(*words, stdin=f"nowhere{EVIL}\n".encode())), words


def test_what_is_typed_is_plain(sscd: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for words in (
        [EVIL],
        [f"--{EVIL}"],
        ["embed", EVIL],
        ["embed", "a", "-m", EVIL],
        ["dedup", "-f", EVIL],
        ["dedup", "-t", EVIL],
        ["models", "verify", EVIL],
        ["models", "pull", "sscd_disc_mixup", "--mirror", f"http://{EVIL}"],
        ["embed", EVIL, "--debug"],
    ):
        assert is_plain(sscd(*words)), words
    monkeypatch.setenv("SSCD_DEVICE", EVIL)
    assert is_plain(sscd("embed", "a"))


# how far a command is, and the spaces that wipe it
PROGRESS = re.compile(r"(\r[a-z][a-z ]+[ \d:,%█░of/s.]*)+\r +\r")


def on_terminal(*words: str | Path, **variables: str) -> str:
    """Return what a terminal gets of a command, but for its progress."""
    ours, its = pty.openpty()
    env = {**os.environ, "TERM": "xterm", **variables}
    subprocess.run([SSCD, *words], stdout=its, stderr=its, env=env, check=False)
    os.close(its)
    text = b""
    while True:
        try:
            text += os.read(ours, 1 << 16)
        except OSError:
            break
    os.close(ours)
    return PROGRESS.sub("", text.decode().replace("\r\n", "\n"))


@pytest.fixture
def copies(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    files = {picture(tmp_path / name, 1): A for name in ("a.png", f"b{EVIL}.png")}
    return store(tmp_path / "descriptors", files)


@pytest.mark.usefixtures("copies")
@pytest.mark.parametrize("format", ["text", "csv", "jsonl", "paths"])
def test_a_terminal_gets_no_control_characters_in_any_format(format: str) -> None:
    shown = on_terminal("dedup", "-t", "0.9", "-f", format, NO_COLOR="1")
    assert all(line == printable(line) for line in shown.split("\n"))
    assert "owned" in shown


@pytest.mark.usefixtures("copies")
def test_colours_are_for_terminals_that_want_them(sscd: Run) -> None:
    shown = on_terminal("dedup", "-t", "0.9")
    assert "\x1b[32m  keep\x1b[0m  " in shown
    assert "\x1b[31m  remove\x1b[0m  " in shown
    assert "\x1b[31msscd: error:\x1b[0m " in on_terminal("nonsense")
    for variables in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\x1b" not in on_terminal("dedup", "-t", "0.9", **variables)
    assert b"\x1b" not in sscd("dedup", "-t", "0.9").out
