"""What starting costs: help loads no library, and stored descriptors need no torch."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import numpy as np
import pytest
from conftest import Store, picture

DRIVER = """
import json, sys
before = set(sys.modules)
status = 0
if len(sys.argv) > 1:
    from sscd_cli.__main__ import main
    status = main(sys.argv[1:])
else:
    import sscd_cli
loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
print(json.dumps([status, sorted(loaded)]), file=sys.stderr)
"""


def loaded(*words: str, cwd: Path | None = None) -> set[str]:
    """Return the top-level modules that a fresh process loads to run a command line."""
    ran = subprocess.run(
        [sys.executable, "-c", DRIVER, *words], capture_output=True, text=True, cwd=cwd, check=True
    )
    status, modules = json.loads(ran.stderr.splitlines()[-1])
    assert status == 0, ran.stderr
    return set(modules) - set(sys.stdlib_module_names) - {"sscd_cli"}


def needed_by_typer() -> set[str]:
    """Return the import names of typer and of everything that it requires."""
    todo, seen = ["typer"], set[str]()
    while todo:
        name = todo.pop().lower().replace("_", "-")
        if name in seen:
            continue
        seen.add(name)
        try:
            lines = requires(name) or []
        except PackageNotFoundError:
            continue
        todo += [re.split(r"[^\w-]", line)[0] for line in lines if "extra ==" not in line]
    return {name.replace("-", "_") for name in seen}


# modules that an editable install or the platform brings in, whatever is run
PLATFORM = re.compile(r"_sysconfigdata.*|_distutils_hack|__editable__.*|__mp_main__")


@pytest.mark.parametrize("words", [["--help"], ["dedup", "--help"], ["--version"]])
def test_help_loads_the_standard_library_and_typer(words: list[str]) -> None:
    strange = loaded(*words) - needed_by_typer()
    assert not {name for name in strange if not PLATFORM.fullmatch(name)}


def test_importing_the_package_loads_nothing() -> None:
    assert not {name for name in loaded() if not PLATFORM.fullmatch(name)}


@pytest.mark.parametrize(
    "words", [["dedup", "-f", "jsonl"], ["index"], ["dedup", "--against", "."]]
)
def test_stored_descriptors_are_read_without_torch(
    words: list[str], tmp_path: Path, store: Store
) -> None:
    vectors = np.eye(8)[[0, 0, 1]]
    files = {picture(tmp_path / f"{i}.png", i): vector for i, vector in enumerate(vectors)}
    store(tmp_path / "descriptors", files)
    modules = loaded(
        *[str(tmp_path / "descriptors") if w == "." else w for w in words], cwd=tmp_path
    )
    assert "pyarrow" in modules
    assert not modules & {"torch", "safetensors"}
    # pictures are looked at to tell the original, and another shot from a copy
    assert ("PIL" in modules) == (words[0] == "dedup")


def test_comparing_two_images_loads_what_it_needs_only(tmp_path: Path) -> None:
    files = [str(picture(tmp_path / f"{i}.jpg", i)) for i in range(2)]
    modules = loaded("pair", *files)
    assert {"onnxruntime", "PIL", "cv2"} <= modules  # OpenCV resizes, after 20 ms
    strangers = {"torch", "pyarrow", "faiss", "pydantic", "pillow_heif", "safetensors"}
    assert not modules & strangers


def test_comparing_two_images_loads_no_compiler(tmp_path: Path) -> None:
    files = [str(picture(tmp_path / f"{i}.png", i)) for i in range(2)]
    code = "import sys; from sscd_cli.__main__ import main; main(sys.argv[1:]); " + (
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, "pair", *files], check=True)


def test_nothing_is_reported_to_anyone_and_no_number_of_the_machine_is_kept(tmp_path: Path) -> None:
    files = [str(picture(tmp_path / f"{i}.png", i)) for i in range(2)]
    home = tmp_path / "home"
    home.mkdir()
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ORT_", "XDG_", "CI"))}
    code = "import sys; from sscd_cli.__main__ import main; sys.exit(main(sys.argv[1:]))"
    ran = subprocess.run(
        [sys.executable, "-c", code, "pair", *files],
        capture_output=True,
        text=True,
        check=True,
        env=kept | {"HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert "telemetry" not in ran.stderr
    assert list(home.rglob("*")) == []


def test_fit_needs_no_torch(tmp_path: Path, store: Store) -> None:
    files = {picture(tmp_path / f"{i}.png", i): np.eye(8)[i] for i in range(3)}
    store(tmp_path / "descriptors", files)
    modules = loaded("fit", "-o", "post", cwd=tmp_path)
    assert {"pyarrow", "safetensors"} <= modules
    assert not modules & {"torch", "PIL", "faiss"}
