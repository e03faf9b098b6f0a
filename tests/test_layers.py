"""The map of the code: who may import whom, one home per third-party package, and sizes."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "sscd_cli"
FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in FILES
}
# What is below the stages, and may be known to all of them; each knows those before it.
BASE = ("errors", "text", "choices", "machines", "storage")
# Folder -> the folders it may import, besides those of BASE. Work flows one way: from the command
# line to commands, from these to what does the work, and never back.
MAY = {
    "__main__": {"cli"},
    "images": set(),
    "edits": set(),
    "descriptors": set(),
    "matching": set(),
    "options": set(),
    "decisions": {"images", "reports"},
    "models": {"images"},
    "scoring": {"descriptors"},
    "evaluation": {"edits"},
    "reports": {"descriptors", "images", "matching"},
    "embedding": {"descriptors", "images", "models"},
    "joining": {"descriptors", "matching", "scoring"},
    "advice": {"descriptors", "images", "matching"},
    "training": {"edits", "images", "models"},
}
HOMES = {
    "fsspec": ("storage.block_cache", "storage.servers"),
    "typer": ("cli",),
    "tqdm": ("models.load", "commands.notebook"),  # in a notebook no command shows how far it is
    "pyarrow": ("descriptors", "images.containers"),
    "faiss": ("matching",),
    "torch": (
        *("models", "machines.device", "embedding.on_gpu", "training"),
        *("matching.torch_products", "matching.groups", "matching.cuda"),
    ),
    "torchvision": ("models.runtime.nvjpeg",),
    "send2trash": ("decisions.trash",),
    "safetensors": ("models", "scoring.post"),
    "onnx": ("models.files.onnx_file", "models.files.onnx_int8"),
    "onnxruntime": ("models.runtime.onnx_runtime", "models.files.onnx_int8"),
    "PIL": (
        "images",
        "edits",
        "models.pictures",
        "models.runtime.nvjpeg",
        "advice.pixels",
        "training",
    ),
    "cv2": ("advice.pixels", "images.thumbnail", "images.resize"),
    "simplejpeg": ("images.opening", "images.thumbnail"),
    "blake3": ("images.decode",),
    "pillow_heif": ("images.formats",),
    "pillow_jxl": ("images.formats",),
    "rawpy": ("images.formats",),
    "tifffile": ("images.tiff",),
    "imagecodecs": ("images.rare", "images.psd"),
    "pypdfium2": ("images.formats",),
    "matplotlib": ("training", "evaluation.pair_plot"),
    "ray": ("machines.ray",),
}
# reading a version number or naming a type takes no library into a verb's hands
VERBS_MAY = {"PIL", "numpy", "torch"}


@cache
def imports(path: Path, module: str) -> tuple[tuple[str, bool], ...]:
    """Return (absolute module, for types only) of each import, those within functions too."""
    return tuple(_imports(path, module))


def _imports(path: Path, module: str) -> Iterator[tuple[str, bool]]:
    tree = ast.parse(path.read_text())
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and getattr(block.test, "id", "") == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            base = node.module or ""
            names = [
                f"{base}.{a.name}" if f"{base}.{a.name}" in MODULES else base for a in node.names
            ]
        else:
            continue
        for name in names:
            yield name, id(node) in typing_only


def room(module: str) -> str:
    """Return the folder, or the module of the top floor, or "" for the package itself."""
    return [*module.split("."), ""][1]


def allowed(module: str, target: str) -> bool:
    """Say whether a module may know of another; the package itself offers names, and takes none."""
    ours, theirs = room(module), room(target)
    if ours in ("", theirs):
        return True
    if theirs == "":
        return False
    if ours in BASE:
        return theirs in BASE[: BASE.index(ours)]
    if ours == "cli":
        return True
    if ours == "commands":
        return theirs != "cli"
    return theirs in BASE or theirs in MAY[ours]


def test_the_floor_plan_knows_every_room() -> None:
    rooms = {room(module) for module in MODULES} - {""}
    assert rooms == {*BASE, *MAY, "cli", "commands"}


@pytest.mark.parametrize("module", MODULES)
def test_work_flows_one_way(module: str) -> None:
    wrong = [
        target
        for target, _ in imports(MODULES[module], module)
        if target.startswith("sscd_cli") and not allowed(module, target)
    ]
    assert not wrong


def test_the_drawn_floor_plan_has_every_room_above_those_it_knows() -> None:
    text = (PACKAGE / "__init__.py").read_text()
    floors = re.findall(r"^    (\w+)  +\S", text.partition("The floor plan")[2], re.MULTILINE)
    assert sorted(floors) == sorted({*BASE, *MAY, "cli", "commands"})
    for module, path in MODULES.items():
        above = floors[: floors.index(room(module))] if room(module) else []
        assert not {room(to) for to, _ in imports(path, module) if to in MODULES} & {*above}


def test_the_floor_plan_allows_no_more_than_there_is() -> None:
    found: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        there = {room(to) for to, _ in imports(path, module) if to.startswith("sscd_cli")}
        found.setdefault(room(module), set()).update(there & {*MAY, "cli"})
    assert {ours: found[ours] - {ours} for ours in MAY} == MAY


@pytest.mark.parametrize("module", MODULES)
def test_each_third_party_package_has_one_home(module: str) -> None:
    inside = module.removeprefix("sscd_cli").removeprefix(".")
    is_verb = room(module) in {"commands", "embedding", "joining", "advice"}
    for target, typing_only in imports(MODULES[module], module):
        package = target.partition(".")[0]
        if package == "sscd_cli" or package in sys.stdlib_module_names or package == "numpy":
            continue
        homes = HOMES[package]
        at_home = any(inside == home or inside.startswith(f"{home}.") for home in homes)
        assert at_home or typing_only or (is_verb and package in VERBS_MAY), target


def test_no_module_imports_itself_through_others() -> None:
    """Not even by an import within a function; what is for types only takes nothing."""
    edges = {
        module: {
            target
            for target, typing_only in imports(path, module)
            if target in MODULES and not typing_only
        }
        for module, path in MODULES.items()
    }
    refuse_circle(edges)


def test_no_room_imports_itself_through_others() -> None:
    edges: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        ours = edges.setdefault(room(module), set())
        ours.update(room(to) for to, _ in imports(path, module) if to.startswith("sscd_cli"))
    refuse_circle({ours: targets - {ours} for ours, targets in edges.items()})


def refuse_circle(edges: dict[str, set[str]]) -> None:
    """Take away what imports nothing that is left until all is gone."""
    while edges:
        leaves = {name for name, targets in edges.items() if not targets & edges.keys()}
        assert leaves, f"a circle among {sorted(edges)}"
        edges = {name: edges[name] for name in edges.keys() - leaves}


def defined(path: Path) -> set[str]:
    """Return the names that a module has at its top, imported ones too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            found.update((name.asname or name.name).split(".")[0] for name in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


def scripts(path: Path) -> Iterator[ast.Module]:
    """Yield a file as Python, and each text in it that is a script for another process."""
    tree = ast.parse(path.read_text())
    yield tree
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and "\nfrom sscd_cli" in str(node.value):
            yield ast.parse(str(node.value))


@pytest.mark.parametrize("folder", ["bench", "tools"])
def test_what_no_test_runs_imports_what_is_there(folder: str) -> None:
    for path in sorted((Path(__file__).parent / folder).glob("*.py")):
        for node in (node for tree in scripts(path) for node in ast.walk(tree)):
            if not isinstance(node, ast.ImportFrom) or not str(node.module).startswith("sscd_cli."):
                continue
            assert node.module in MODULES, f"{path.name}: {node.module}"
            known = defined(MODULES[str(node.module)])
            for name in (alias.name for alias in node.names):
                there = name in known or f"{node.module}.{name}" in MODULES
                assert there, f"{path.name}: {node.module}.{name}"


@pytest.mark.parametrize("package", sorted({path.parent for path in FILES} - {PACKAGE}))
def test_a_package_file_holds_a_docstring_only(package: Path) -> None:
    body = ast.parse((package / "__init__.py").read_text()).body
    assert len(body) == 1
    assert isinstance(body[0], ast.Expr)


@pytest.mark.parametrize("module", MODULES)
def test_modules_and_functions_stay_short(module: str) -> None:
    text = MODULES[module].read_text()
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            length = (node.end_lineno or 0) - node.body[0].lineno + 1
            assert length <= 60, f"{node.name}: {length} lines"


def test_test_modules_stay_short_and_know_no_other() -> None:
    for path in sorted(Path(__file__).parent.rglob("test_*.py")):
        text = path.read_text()
        assert len(text.splitlines()) <= 400, path.name
        others = set(re.findall(r"^ *(?:from|import) (test_\w+)", text, re.MULTILINE))
        assert others <= {path.stem}, path.name
