"""The files that hold tensors: safetensors, torch's zip archives, torch's old pickles.

A container lists its tensors without reading them and hands out the bytes of one storage at a time.
Which kind a file is follows from its bytes, never from its name; no torch is loaded.
Source: safetensors format description; torch `serialization.py` and `jit/docs/serialization.md`.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedIOBase
from pathlib import Path
from typing import Any, Protocol, cast
from zipfile import ZIP_DEFLATED, ZIP_STORED

from sscd_cli.errors import ModelError, reason_of
from sscd_cli.machines.hardware import lacking
from sscd_cli.models.files.tensors import ITEM_BYTES, StoredTensor, as_shape, contiguous
from sscd_cli.models.files.unpickle import Opaque, Refused, read_pickle
from sscd_cli.text import from_json

LEGACY_MAGIC = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")

# the largest published file is 178 MB; a training checkpoint of its network about three times that
MAX_FILE = 4 << 30
MAX_HEADER = 64 << 20
MAX_RECORDS = 5_000
MAX_NODES = 100_000
MAX_EXTRA = 1 << 20
MAX_INFLATION = 20
AGAIN = "download or copy it again"
# what torch.export writes, the first by newer versions
PROGRAM = ("/archive_format", "serialized_exported_program.json")
UNFROZEN = "name the file that it was made from, or one of its state_dict()"
OTHER = "name the file of a published SSCD model or of one that `sscd train` wrote"


class Storages(Protocol):
    """The bytes behind the tensors of an open file."""

    def size(self, name: str) -> int | None:
        """Return the length of a storage in bytes, None if there is none of that name."""

    def read(self, name: str) -> bytearray:
        """Return the whole storage. Raises OSError, EOFError or BadZipFile: it is damaged."""


@dataclass(frozen=True)
class ModelContents:
    """What a file says it holds.

    kind: "safetensors", "torchscript", "state dict" or "old state dict". tree: the pickle's value,
    or a flat mapping of safetensors' tensors. notes: text that stands beside the tensors, by name.
    """

    kind: str
    tree: Any
    notes: Mapping[str, str]
    storages: Storages


@contextmanager
def opened(path: Path) -> Iterator[ModelContents]:
    """Open a weight file and list its contents.

    Raises: ModelError: no such file, not a weight file, damaged, or one that asks to run code.
    """
    try:
        with path.open("rb") as file:
            yield _contents(path, file)
    except Refused as refusal:
        fix = f"{OTHER}, or a file of its state_dict()"
        raise ModelError(f"{path} is not safe to read: {refusal}", fix) from refusal
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, ValueError) as error:
        if lacking(error):
            raise
        raise ModelError(f"{path} is truncated or damaged ({error})", AGAIN) from error
    except (OSError, NotImplementedError, RuntimeError) as error:
        raise ModelError(f"cannot read the model {path}: {reason_of(error)}", AGAIN) from error


def _contents(path: Path, file: BufferedIOBase) -> ModelContents:
    size = path.stat().st_size
    start = file.read(512)
    if not size:
        raise ModelError(f"{path} is empty", AGAIN)
    if size > MAX_FILE:
        raise ModelError(f"{path} has {size / 1e9:.1f} GB, too many for an SSCD network", OTHER)
    file.seek(0)
    if start.startswith(b"PK"):
        return _zip(path, file, size)
    if start.startswith(LEGACY_MAGIC):
        return _legacy(file, size)
    if len(start) > 8 and start[8:9] == b"{":
        return _safetensors(file, size)
    raise _foreign(path, start)


def _foreign(path: Path, start: bytes) -> ModelError:
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return ModelError(f"{path} is a web page, not a model", AGAIN)
    if text.startswith(b"version https://git-lfs"):
        return ModelError(f"{path} is a pointer of Git LFS, not a model", "run `git lfs pull`")
    return ModelError(f"{path} is not a weight file", OTHER)


def _safetensors(file: BufferedIOBase, size: int) -> ModelContents:
    (length,) = struct.unpack("<Q", file.read(8))
    if length > min(size - 8, MAX_HEADER):
        raise ValueError("the header is longer than the file")
    header = from_json(file.read(length))
    notes = header.pop("__metadata__", None) or {}
    if not isinstance(notes, dict):
        raise ValueError("its metadata is no table")
    tree, spans = {}, {}
    for name, entry in header.items():
        tree[name], spans[name] = _safetensors_entry(name, entry, 8 + length, size)
    texts = {key: value for key, value in notes.items() if isinstance(value, str)}
    return ModelContents("safetensors", tree, texts, FileStorages(file, spans))


def _safetensors_entry(
    name: str, entry: Any, base: int, size: int
) -> tuple[StoredTensor, tuple[int, int]]:
    try:
        dtype, shape = str(entry["dtype"]), as_shape(entry["shape"])
        start, end = as_shape(entry["data_offsets"])
    except (TypeError, KeyError) as error:
        raise ValueError(f"the entry of {name!r:.60} is malformed") from error
    if not start <= end <= size - base:
        raise ValueError(f"{name!r:.60} ends behind the end of the file")
    return StoredTensor(name, dtype, 0, shape, contiguous(shape)), (base + start, end - start)


@dataclass
class FileStorages:
    """Storages that lie in a plain file, as (start, length) in bytes."""

    file: BufferedIOBase
    spans: Mapping[str, tuple[int, int]] = field(repr=False)

    def size(self, name: str) -> int | None:
        return self.spans[name][1] if name in self.spans else None

    def read(self, name: str) -> bytearray:
        start, length = self.spans[name]
        self.file.seek(start)
        return _read_exactly(self.file, length)


@dataclass
class ZipStorages:
    """Storages that are members of a zip archive; reading one checks its CRC."""

    archive: zipfile.ZipFile
    folder: str

    def size(self, name: str) -> int | None:
        try:
            return self.archive.getinfo(f"{self.folder}/data/{name}").file_size
        except KeyError:
            return None

    def read(self, name: str) -> bytearray:
        info = self.archive.getinfo(f"{self.folder}/data/{name}")
        with self.archive.open(info) as member:
            return _read_exactly(cast(BufferedIOBase, member), info.file_size)


def _read_exactly(file: BufferedIOBase, length: int) -> bytearray:
    data = bytearray(length)
    view, done = memoryview(data), 0
    while done < length:
        got = file.readinto(view[done:])
        if not got:
            raise EOFError("it ends too early")
        done += got
    return data


def _zip(path: Path, file: BufferedIOBase, size: int) -> ModelContents:
    archive = zipfile.ZipFile(file)
    infos = archive.infolist()
    unpacked = sum(info.file_size for info in infos)
    if unpacked > MAX_FILE or unpacked > max(MAX_HEADER, MAX_INFLATION * size):
        raise ModelError(f"{path} unpacks to {unpacked / 1e9:.1f} GB, a zip bomb", OTHER)
    names = {info.filename for info in infos}
    plain = all(info.compress_type in (ZIP_STORED, ZIP_DEFLATED) for info in infos)
    if len(infos) > MAX_RECORDS or len(names) != len(infos) or not plain:
        raise ModelError(f"{path} has too many, repeated or oddly packed records", OTHER)
    if any(name.endswith(PROGRAM) for name in names):
        raise ModelError(f"{path} is an exported program (.pt2), not weights", UNFROZEN)
    roots = [name for name in names if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise ModelError(f"{path} is a zip archive, but no weight file", OTHER)
    root = roots[0].removesuffix("/data.pkl")
    if f"{root}/byteorder" in names and _record(archive, f"{root}/byteorder") != b"little":
        raise ModelError(f"{path} holds big-endian numbers", OTHER)
    kind = "torchscript" if f"{root}/constants.pkl" in names else "state dict"
    tree = read_pickle(_record(archive, roots[0], MAX_HEADER))
    return ModelContents(kind, tree, _extras(archive, root), ZipStorages(archive, root))


def _record(archive: zipfile.ZipFile, name: str, limit: int = MAX_EXTRA) -> bytes:
    if archive.getinfo(name).file_size > limit:
        raise ValueError(f"{name!r:.60} is too large")
    return archive.read(name)


def _extras(archive: zipfile.ZipFile, root: str) -> dict[str, str]:
    folder = f"{root}/extra/"
    names = [name for name in archive.namelist() if name.startswith(folder)]
    return {
        name.removeprefix(folder): _record(archive, name).decode("utf-8", "replace")
        for name in names[:32]
    }


def _legacy(file: BufferedIOBase, size: int) -> ModelContents:
    """List a pickle of torch before 1.6: header pickles, the object, the storages one by one."""
    for _ in range(2):
        read_pickle(file)
    system = read_pickle(file)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ValueError("numbers of an unknown byte order")
    types: dict[str, str] = {}
    tree = read_pickle(file, types)
    keys = read_pickle(file)
    if not isinstance(keys, list) or len(keys) > MAX_RECORDS:
        raise ValueError("the list of storages is malformed")
    spans, position = {}, file.tell()
    for key in keys:
        file.seek(position)
        (count,) = struct.unpack("<q", file.read(8))
        if key not in types:
            raise ValueError("a storage belongs to no tensor")
        start, length = position + 8, count * ITEM_BYTES[types[key]]
        if not 0 <= length <= size - start:
            raise EOFError("it ends too early")
        spans[key], position = (start, length), start + length
    return ModelContents("old state dict", tree, {}, FileStorages(file, spans))


def named_tensors(tree: Any) -> Iterator[tuple[str, StoredTensor]]:
    """Walk mappings and script modules; yield each tensor with its dotted name.

    Raises: ValueError: the tree refers to itself or is larger than any network.
    """
    waiting: list[tuple[str, Any]] = [("", tree)]
    for _ in range(MAX_NODES):
        if not waiting:
            return
        if len(waiting) > MAX_NODES:
            break
        name, node = waiting.pop()
        if isinstance(node, StoredTensor):
            yield name, node
        inner = node.state if isinstance(node, Opaque) else node
        if isinstance(inner, dict) and name.count(".") < 32:
            prefix = f"{name}." if name else ""
            waiting.extend(
                (f"{prefix}{key}", value)
                for key, value in reversed(inner.items())
                if isinstance(key, str) and len(key) < 200
            )
    raise ValueError("it nests objects without end")
