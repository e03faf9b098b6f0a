"""`sscd models` from the command line."""

from __future__ import annotations

import json
import os
import pwd
from dataclasses import asdict
from pathlib import Path

import pytest

from sscd_cli.__main__ import main
from sscd_cli.images.preprocess import RECIPES
from sscd_cli.models.catalogue.published import PUBLISHED
from sscd_cli.models.catalogue.registry import BUNDLED, BUNDLED_FILE


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSCD_CACHE", str(tmp_path / "cache"))


def test_every_known_model_is_listed(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["name", BUNDLED, *PUBLISHED]
    assert [line.split()[1] for line in lines[1:]] == ["yes", *["no"] * len(PUBLISHED)]
    assert len({len(line) for line in lines}) == 1 and len(lines[0]) <= 80


def test_the_list_is_json_lines_too(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--format", "jsonl"]) == 0
    records = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert records[0]["path"] == str(BUNDLED_FILE)
    assert records[1]["path"] is None
    facts = ("trunk", "trained_on", "augmentations", "threshold_source", "licence")
    assert all(record[fact] for record in records for fact in facts)
    birder = next(r for r in records if r["name"] == "birder:sscd_resnext_101_c1")
    assert birder["preprocessing"] == asdict(RECIPES["birder-320"])
    assert birder["sources"][0]["sha256"].startswith("8ccedaf9efc2")


def test_the_bundled_model_has_a_path_and_a_digest(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "path", BUNDLED]) == 0
    assert capfd.readouterr().out == f"{BUNDLED_FILE}\n"
    assert main(["models", "verify", BUNDLED]) == 0
    file, voucher = capfd.readouterr().err.splitlines()
    assert "SHA-256" in file
    assert voucher == "its digest is that of the network that comes with sscd"


def test_a_damaged_bundled_model_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(BUNDLED_FILE.read_bytes())
    data[-1] ^= 1
    monkeypatch.setattr("sscd_cli.models.catalogue.store.BUNDLED_FILE", tmp_path / "damaged")
    (tmp_path / "damaged").write_bytes(data)
    assert main(["models", "verify", BUNDLED]) == 3
    assert "is not the one of this release; install sscd-cli again" in capfd.readouterr().err


def test_a_model_that_cannot_be_fetched_is_announced_with_its_size(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSCD_MIRROR", "file:///nowhere")
    assert main(["pair", "-m", "sscd_disc_mixup", "a.jpg", "b.jpg"]) == 3
    first, last = capfd.readouterr().err.splitlines()
    file = "sscd_disc_mixup.torchscript.pt"
    assert first == f"fetching sscd_disc_mixup (99 MB) from file:///nowhere/{file}"
    assert last.startswith("sscd: error: ")
    assert last.endswith("sscd_mini works offline")


def test_an_exported_model_gives_the_same_similarity(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    exported = tmp_path / "mini.safetensors"
    assert main(["models", "export", BUNDLED, "-o", str(exported), "-f", "safetensors"]) == 0
    gallery = Path(__file__).parents[1] / "data" / "gallery"
    pictures = [str(gallery / "alps.jpg"), str(gallery / "alps-brighter.jpg")]
    said = []
    for model in (BUNDLED, str(exported)):
        assert main(["pair", "-m", model, *pictures, "--device", "cpu", "--precision", "fp32"]) == 0
        said.append(capfd.readouterr().out)
    assert said[0] == said[1]


def test_a_model_file_is_as_readable_as_others(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        exported = tmp_path / "mini.safetensors"
        assert main(["models", "export", BUNDLED, "-o", str(exported), "-f", "safetensors"]) == 0
    finally:
        os.umask(before)
    assert exported.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["mini.safetensors"]


def test_removing_what_is_not_there_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "remove", "sscd_disc_mixup"]) == 0
    assert capfd.readouterr().err == "sscd_disc_mixup is not installed: nothing to delete\n"


@pytest.mark.parametrize("command", ["pull", "verify", "path", "remove"])
def test_an_unknown_name_is_answered_with_the_known_ones(
    command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", command, "nope"]) == 2
    error = capfd.readouterr().err
    assert error.startswith(
        "sscd: error: unknown model 'nope'; use one of sscd_mini, sscd_disc_mixup"
    )


def test_a_user_without_a_home_is_told_to_name_a_folder(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def nobody(uid: int) -> None:
        raise KeyError(uid)

    for name in ("HOME", "SSCD_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert main(["models"]) == 3
    said = "sscd: error: nobody knows your home folder; set SSCD_CACHE to a folder\n"
    assert capfd.readouterr().err == said
