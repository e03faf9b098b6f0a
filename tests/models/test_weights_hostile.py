"""Files that are not what they claim: one clear line each, and nothing in them ever runs."""

from __future__ import annotations

import functools
import io
import json
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from weight_layouts import lightning_checkpoint, seeded

from sscd_cli.errors import ModelError
from sscd_cli.models.files.containers import MAX_RECORDS
from sscd_cli.models.files.weights import inspect_weights, read_network
from sscd_cli.models.network import Network


class Marker:
    """Pickles as a call that creates a file."""

    def __init__(self, marker: Path, call: Callable[..., Any] | None = None) -> None:
        self.marker, self.call = marker, call

    def __reduce__(self) -> tuple[Any, ...]:
        if self.call is not None:
            return self.call, (f"open({str(self.marker)!r}, 'w')",)
        return Path.touch, (self.marker,)


def archive(path: Path, records: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as out:
        for name, data in records.items():
            out.writestr(name, data)
    return path


@functools.cache
def mini() -> dict[str, torch.Tensor]:
    """Return seeded tensors of the smallest trunk in torchvision's names."""
    with torch.device("meta"):
        shapes = {n: tuple(v.shape) for n, v in Network("mini", 8).state_dict().items()}
    return {name: seeded(name, shape) for name, shape in shapes.items()}


def small_state() -> dict[str, torch.Tensor]:
    return {n: v for n, v in mini().items() if not n.startswith("layer4")}


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        inspect_weights(path)
    text = str(caught.value)
    assert "\n" not in text and str(path) in text
    return text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "is a web page"),
        (b'\n <?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "pointer of Git LFS"),
        (b"PK\x03\x04 and then nothing", "truncated or damaged"),
        (b"\x80\x02}q\x00.", "is not a weight file"),
        (b"\x00" * 4096, "is not a weight file"),
        (struct.pack("<Q", 1 << 62) + b'{"a":1}', "truncated or damaged"),
        (struct.pack("<Q", 2) + b"{}", "holds no tensors"),
        (struct.pack("<Q", 8) + b'{"a": []', "truncated or damaged"),
        (struct.pack("<Q", 200_000) + b'{"a":' * 40_000, "truncated or damaged"),
    ],
)
def test_what_is_no_model_is_said_in_one_line(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    assert reason in refusal(path)


def test_networks_without_named_weights_say_what_to_name_instead(tmp_path: Path) -> None:
    network = torch.nn.Linear(2, 2).eval()
    path = archive(tmp_path / "a", {"a/archive_format": b"pt2", "a/models/model.json": b"{}"})
    assert "exported program (.pt2), not weights; name the file that it was" in refusal(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated; the files stay
        traced = torch.jit.trace(network, torch.zeros(1, 2))
        torch.jit.save(torch.jit.freeze(traced), path)
    assert "weights are constants in its code (torch.jit.freeze); name" in refusal(path)
    torch.save(network, path)
    assert "asks to run torch.nn.modules.linear.Linear; name" in refusal(path)
    assert "or a file of its state_dict()" in refusal(path)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    assert "cannot read the model" in refusal(tmp_path / "absent.pt")
    assert "cannot read the model" in refusal(tmp_path)


@pytest.mark.parametrize("call", [None, eval, exec])
@pytest.mark.parametrize("wrapping", ["zip", "torchscript", "old", "plain"])
def test_a_pickle_that_runs_code_is_refused_and_does_not_run(
    tmp_path: Path, wrapping: str, call: Callable[..., Any] | None
) -> None:
    marker, path = tmp_path / "marker", tmp_path / "model.pt"
    hostile = Marker(marker, call)
    if wrapping == "zip":
        torch.save({"fc.weight": torch.zeros(2, 2), "x": hostile}, path)
    elif wrapping == "old":
        torch.save({"x": hostile}, path, _use_new_zipfile_serialization=False)
    elif wrapping == "torchscript":
        data = pickle.dumps(hostile, 2)
        archive(path, {"a/data.pkl": data, "a/constants.pkl": data, "a/code/a.py": b"1/0"})
    else:
        path.write_bytes(pickle.dumps(hostile, 2))
    reason = refusal(path)
    assert not marker.exists()
    assert "asks to run" in reason if wrapping != "plain" else "is not a weight file" in reason


def test_a_class_that_a_pickle_names_is_not_imported(tmp_path: Path) -> None:
    data = b"\x80\x02cantigravity\nfly\n."
    assert "asks to run antigravity.fly" in refusal(
        archive(tmp_path / "a.pt", {"a/data.pkl": data})
    )


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02(ios\nsystem\n.",  # INST
        b"\x80\x05\x96\x00\x00\x00\x00\x00\x00\x10\x00.",  # BYTEARRAY8 of 2^52 bytes
        b"\x80\x02X\xff\xff\xff\x7f.",  # text longer than the file
        b"\x80\x02" + b"(" * 100_000 + b".",
        b"\x80\x02\x82\x01.",  # extension registry
        b"\x80\x02]q\x00h\x07.",  # unknown memo
        b"\x80\x02}X\x01\x00\x00\x00ah\x00s.",
        b"\x80\x02ccollections\nOrderedDict\n(dX\x01\x00\x00\x00aK\x01sb.",
        b"",
    ],
)
def test_damaged_and_crafted_pickles_end_in_one_line(tmp_path: Path, data: bytes) -> None:
    refusal(archive(tmp_path / "a.pt", {"a/data.pkl": data}))


def test_a_memo_index_of_four_billion_needs_no_memory(tmp_path: Path) -> None:
    data = b"\x80\x02]r\xfe\xff\xff\xff."
    assert "holds no tensors" in refusal(archive(tmp_path / "a.pt", {"a/data.pkl": data}))


def test_objects_that_hold_themselves_end_in_one_line(tmp_path: Path) -> None:
    cycle: dict[str, Any] = {}
    cycle |= {"a": cycle, "b": cycle}
    data = pickle.dumps({"state_dict": cycle}, 2)
    assert "without end" in refusal(archive(tmp_path / "a.pt", {"a/data.pkl": data}))


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pt"
    archive(path, {"a/data.pkl": bytes(80 << 20)}, zipfile.ZIP_DEFLATED)
    assert "zip bomb" in refusal(path)


def test_archives_of_other_things_are_refused(tmp_path: Path) -> None:
    assert "no weight file" in refusal(archive(tmp_path / "a.zip", {"photo.jpg": b"x"}))
    many = {f"a/{number}": b"" for number in range(MAX_RECORDS)} | {"a/data.pkl": b"."}
    assert "too many" in refusal(archive(tmp_path / "b.zip", many))
    odd = archive(tmp_path / "c.zip", {"a/data.pkl": b"."}, zipfile.ZIP_LZMA)
    assert "oddly packed" in refusal(odd)
    big = {"a/data.pkl": b"\x80\x02}.", "a/byteorder": b"big"}
    assert "big-endian" in refusal(archive(tmp_path / "d.zip", big))


def storage_pickle(shape: str, stride: str, offset: int = 0, key: str = "0") -> bytes:
    """Return the pickle of {"conv1.weight": tensor over storage `key` of 4 numbers}."""
    return (
        b"\x80\x02}X\x0c\x00\x00\x00conv1.weightctorch._utils\n_rebuild_tensor_v2\n("
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX"
        + struct.pack("<I", len(key))
        + key.encode()
        + b"X\x03\x00\x00\x00cpuK\x04tQ"
        + f"I{offset}\n".encode()
        + "".join(
            f"({''.join(f'I{n}' + chr(10) for n in v.split())}t" for v in (shape, stride)
        ).encode()
        + b"\x89}tRs."
    )


@pytest.mark.parametrize(
    ("shape", "stride", "offset"),
    [
        ("5", "1", 0),
        ("4", "2", 0),
        ("4", "1", 1),
        ("4", "1", -1),
        ("-4", "-1", 0),
        ("1000000000000", "0", 0),
        ("2 2", "1", 0),
        ("0", "1", 0),
        ("2147483648 2147483648 4", "0 0 1", 0),
    ],
)
def test_a_tensor_must_lie_inside_its_storage(
    tmp_path: Path, shape: str, stride: str, offset: int
) -> None:
    records = {"a/data.pkl": storage_pickle(shape, stride, offset), "a/data/0": bytes(16)}
    assert "outside the file" in refusal(archive(tmp_path / "a.pt", records))


@pytest.mark.parametrize("key", ["../../etc/passwd", "7", "0x0", ""])
def test_a_storage_must_be_in_the_file(tmp_path: Path, key: str) -> None:
    records = {"a/data.pkl": storage_pickle("4", "1", key=key), "a/data/0": bytes(16)}
    assert "outside the file" in refusal(archive(tmp_path / "a.pt", records))


def test_safetensors_that_point_outside_the_file_are_refused(tmp_path: Path) -> None:
    for entry in (
        {"dtype": "F32", "shape": [4], "data_offsets": [0, 99]},
        {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]},
        {"dtype": "F32", "shape": 4, "data_offsets": [0, 16]},
        {"dtype": "F32"},
        [],
    ):
        header = json.dumps({"conv1.weight": entry}).encode()
        path = tmp_path / "a.safetensors"
        path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(16))
        assert "truncated or damaged" in refusal(path)


def test_other_networks_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    assert "not those of an SSCD network" in refusal(path)
    tensors = mini()
    save_file(tensors | {"layer1.0.se.weight": torch.zeros(2)}, path)
    assert "layer1.0.se.weight" in refusal(path)
    save_file({n: v for n, v in tensors.items() if "layer4.1" not in n}, path)
    assert "no SSCD network has (2, 2, 2, 1)" in refusal(path)
    save_file({n: v for n, v in tensors.items() if not n.startswith("fc")}, path)
    assert "no fc.weight" in refusal(path)
    save_file(tensors | {"fc.weight": torch.zeros(8, 320, dtype=torch.int8)}, path)
    assert "quantised" in refusal(path)


def test_two_tensors_for_one_place_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    tensors = mini()
    save_file(tensors | {"backbone.fc.bias": torch.zeros(8)}, path)
    assert "same place" in refusal(path)


def test_another_pooling_power_is_refused(tmp_path: Path) -> None:
    torch.save(lightning_checkpoint(small_state(), power=1.0), tmp_path / "a.ckpt")
    assert "no SSCD" in refusal(tmp_path / "a.ckpt")
    torch.save(lightning_checkpoint(mini(), 1.0), tmp_path / "b.ckpt")
    assert "GeM power 1.0" in refusal(tmp_path / "b.ckpt")


@pytest.mark.parametrize("old", [False, True])
def test_every_truncation_is_noticed(tmp_path: Path, old: bool) -> None:
    path = tmp_path / "a.pt"
    buffer = io.BytesIO()
    torch.save(mini(), buffer, _use_new_zipfile_serialization=not old)
    whole = buffer.getvalue()
    for length in (1, 9, 100, 10_000, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        refusal(path)


def test_shapes_and_numbers_are_checked_when_reading(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    tensors = dict(mini())
    save_file(tensors | {"layer2.0.bn1.bias": torch.zeros(3)}, path)
    with pytest.raises(ModelError, match=r"layer2\.0\.bn1\.bias, a mini needs \(64,\)"):
        read_network(inspect_weights(path))
    bad = tensors["fc.bias"].clone()
    bad[3] = float("nan")
    save_file(tensors | {"fc.bias": bad}, path)
    with pytest.raises(ModelError, match="not finite"):
        read_network(inspect_weights(path))
    save_file({n: v for n, v in tensors.items() if n != "bn1.running_var"}, path)
    with pytest.raises(ModelError, match=r"no bn1\.running_var"):
        read_network(inspect_weights(path))


def test_a_flipped_bit_in_an_archive_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save(dict(mini()), path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match="truncated or damaged"):
        read_network(inspect_weights(path))


def test_missing_counters_and_half_precision_load(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    tensors = mini()
    kept = {n: v.half() for n, v in tensors.items() if not n.endswith("num_batches_tracked")}
    kept["conv1.weight"] = kept["conv1.weight"].to(memory_format=torch.channels_last)
    torch.save(kept, path)
    network = read_network(inspect_weights(path))
    assert network.fc.weight.dtype == torch.float32
    assert torch.equal(network.conv1.weight, tensors["conv1.weight"].half().float())
