"""The built wheel alone, without the repository beside it, does what it promises."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import DATA

ROOT = Path(__file__).parents[1]
MOST_BYTES = 16_000_000


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    words = ["-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_the_network_and_the_notices_and_no_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    inside = {name.partition("/")[0] for name in names}
    assert len(inside) == 2
    assert {"sscd_cli/py.typed", "sscd_cli/models/sscd_mini.safetensors"} < set(names)
    for notice in ("LICENSE", "NOTICE.md", "efficientnet_lite0.LICENSE"):
        assert any("licenses/" in name and name.endswith(notice) for name in names)
    assert wheel.stat().st_size < MOST_BYTES


def test_the_wheel_alone_finds_copies(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    start = f"import sys; sys.path.insert(0, {str(site)!r}); import sscd_cli.__main__ as tool; "
    start += "assert tool.__file__.startswith(sys.path[0]); sys.exit(tool.main(sys.argv[1:]))"

    def sscd(*words: str) -> subprocess.CompletedProcess[str]:
        # -P: the folder that it runs in is not looked into for modules
        command = [sys.executable, "-P", "-c", start, *words]
        return subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)

    assert "dedup" in sscd("--help").stdout
    done = sscd("dedup", str(DATA / "gallery"), "-f", "paths")
    assert done.returncode == 0, done.stderr
    assert done.stdout
