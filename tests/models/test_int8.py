"""Eight-bit trunks: calibrated once from the user's images, recorded, never mixed with others."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Run, error_line, picture

from sscd_cli.descriptors.read import read_descriptors
from sscd_cli.descriptors.schema import Provenance, Row, difference
from sscd_cli.descriptors.write import ShardWriter
from sscd_cli.errors import StoreError
from sscd_cli.models.runtime.int8 import int8_file


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SSCD_CACHE", str(tmp_path / "cache"))
    for i in range(20):
        picture(tmp_path / "photos" / f"{i:02}.png", i, (90, 70))
    return tmp_path / "photos"


def test_int8_without_its_libraries_names_what_to_install(
    tiny: Run, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    assert error_line(tiny("embed", "photos", "--precision", "int8")) == (
        "int8 needs OpenVINO and NNCF; pip install 'sscd-cli[int8]'"
    )
    assert not Path("descriptors").exists()


def test_int8_is_calibrated_by_embedding_a_folder(tiny: Run, photos: Path) -> None:
    ran = tiny("pair", "photos/00.png", "photos/01.png", "--precision", "int8")
    assert error_line(ran) == (
        "tiny is not calibrated for int8 yet; run sscd embed FOLDER --precision int8 once"
    )
    ran = tiny("embed", "-", "--precision", "int8", stdin=b"photos/00.png\n")
    assert error_line(ran) == (
        "int8 is calibrated from a folder, not from a list; name a folder first"
    )


def test_int8_descriptors_mix_with_none_but_their_own_calibration() -> None:
    int8 = Provenance("m", "0" * 64, 8, {}, "float16", "int8-aaaa", "0", "0")
    assert difference(int8, int8) is None
    for other in ("int8-bbbb", "fp32", "bf16"):
        assert difference(int8, replace(int8, precision=other)) == f"int8-aaaa against {other}"
    fp32 = replace(int8, precision="fp32")
    assert difference(fp32, replace(int8, precision="bf16")) is None


def test_a_folder_of_int8_descriptors_names_its_precision(tmp_path: Path) -> None:
    int8 = Provenance("m", "0" * 64, 2, {}, "float16", "int8-aaaa", "0", "0")
    with ShardWriter(tmp_path / "int8", int8) as writer:
        writer.add([Row("a.jpg", "/", np.ones(2, np.float32), content_hash=bytes(16))])
    for precision, fix in (("fp32", "use --precision int8, or choose"), ("int8-bbbb", "choose")):
        with (
            pytest.raises(StoreError) as caught,
            ShardWriter(tmp_path / "int8", replace(int8, precision=precision)),
        ):
            pass
        assert caught.value.fix.startswith(f"{fix} another folder with -d"), caught.value.fix


@pytest.mark.slow
def test_int8_descriptors_are_near_those_of_float32(
    sscd: Run, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("nncf")
    pytest.importorskip("openvino")
    assert sscd("embed", "photos", "-d", "exact", "--precision", "fp32").status == 0
    for workers in ("0", "2"):
        ran = sscd("embed", "photos", "-d", "int8", "--precision", "int8", "--workers", workers)
        assert ran.status == 0, ran.err
    int8, exact = (read_descriptors(Path(name)) for name in ("int8", "exact"))
    file = int8_file(exact.provenance.weights_sha256)
    assert file is not None
    assert int8.provenance.precision == f"int8-{file.stem.rpartition('-')[2]}"
    cosine = (int8.descriptors.astype(np.float32) * exact.descriptors).sum(axis=1)
    assert 0.9 < cosine.min() < 0.99999
    assert error_line(sscd("embed", "photos", "-d", "int8", "--precision", "fp32")).startswith(
        "int8/shard-000000.parquet holds descriptors that cannot be mixed with this run's: int8-"
    )
    ran = sscd("search", "photos/07.png", "-d", "int8", "-k", "1", "-f", "csv")
    assert ran.lines[1].startswith("photos/07.png,1,")
    assert ran.lines[1].endswith(",photos/07.png,cosine")
    assert sscd("pair", "photos/00.png", "photos/00.png", "--precision", "int8").status == 0
