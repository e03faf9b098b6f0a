"""Reads the pickles inside torch's files as data: nothing in them is imported, called or executed.

Every name that a pickle mentions is looked up in a closed table. The few that matter (a tensor, its
storage, a dictionary) become plain values; harmless ones become `Opaque`; any other is refused.
The interpreter is Python's own in Python, whose memory grows with the file and not with the numbers
it names, with the operations removed that no such file uses.
"""

from __future__ import annotations

import io
import pickle
from io import BufferedIOBase
from typing import IO, Any, ClassVar, cast

from sscd_cli.models.files.tensors import StoredTensor

STORAGES = {
    "DoubleStorage": "F64",
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
}

# training frameworks whose bookkeeping stands beside the weights, and scripted modules
_OPAQUE_PACKAGES = ("__torch__", "pytorch_lightning", "lightning", "lightning_fabric", "sscd")
_OPAQUE_NAMES = {
    ("argparse", "Namespace"),
    ("collections", "Counter"),
    ("collections", "defaultdict"),
    ("pathlib", "PosixPath"),
    ("pathlib", "WindowsPath"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("torch", "Size"),
    ("torch", "device"),
    ("torch.jit._pickle", "build_intlist"),
    ("torch.jit._pickle", "build_doublelist"),
    ("torch.jit._pickle", "build_boollist"),
    ("torch.jit._pickle", "build_tensorlist"),
    ("torch.jit._pickle", "restore_type_tag"),
    ("torch.torch_version", "TorchVersion"),
    *(("torch", name) for name in ("float16", "bfloat16", "float32", "float64", "int64", "uint8")),
}


class Refused(Exception):  # noqa: N818 - a verdict, not a mishap
    """The pickle asks for something that no weight file needs; the message names it."""


class Opaque:
    """An object of a class that does not matter: keeps the state it was given, does nothing."""

    __slots__ = ("state",)

    def __init__(self, *_: Any, **__: Any) -> None:
        self.state: Any = None

    def __new__(cls, *_: Any, **__: Any) -> Opaque:
        made = object.__new__(cls)
        made.state = None
        return made

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        pass

    def extend(self, values: Any) -> None:
        pass


class PickledDict(dict[Any, Any]):
    """A dictionary, ordered or not; attributes that a pickle hangs on it are dropped."""

    __slots__ = ()

    def __init__(self, items: Any = ()) -> None:
        super().__init__(items)

    def __setstate__(self, state: Any) -> None:
        pass


class _StorageType:
    """What a storage class is to the reader: the type of its numbers."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype


class _Call:
    """Base of the functions that stand in for torch's; instances hold nothing to tamper with."""

    __slots__ = ()


class _RebuildTensor(_Call):
    __slots__ = ()

    def __call__(
        self, storage: Any, offset: Any, shape: Any, stride: Any, *_: Any
    ) -> StoredTensor | Opaque:
        if not isinstance(storage, tuple):
            raise Refused("a tensor without a storage")
        name, dtype = storage
        return StoredTensor(name, dtype, offset, shape, stride)


class _RebuildParameter(_Call):
    __slots__ = ()

    def __call__(self, data: Any, *_: Any) -> Any:
        return data


class _Latin1(_Call):
    __slots__ = ()

    def __call__(self, text: str, encoding: str) -> bytes:
        if encoding != "latin1":
            raise Refused("text in an unexpected encoding")
        return text.encode("latin1")


_KNOWN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): PickledDict,
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
    ("_codecs", "encode"): _Latin1(),
    ("torch._utils", "_rebuild_tensor"): _RebuildTensor(),
    ("torch._utils", "_rebuild_tensor_v2"): _RebuildTensor(),
    ("torch._utils", "_rebuild_parameter"): _RebuildParameter(),
}

_UNUSED = (
    pickle.PERSID,
    pickle.INST,
    pickle.OBJ,
    pickle.EXT1,
    pickle.EXT2,
    pickle.EXT4,
    pickle.BYTEARRAY8,
    pickle.NEXT_BUFFER,
    pickle.READONLY_BUFFER,
)


class _Reader(pickle._Unpickler):
    dispatch: ClassVar[dict[int, Any]] = {
        code: action
        for code, action in pickle._Unpickler.dispatch.items()
        if code not in {operation[0] for operation in _UNUSED}
    }

    def __init__(self, stream: IO[bytes] | BufferedIOBase, storages: dict[str, str]) -> None:
        super().__init__(cast(IO[bytes], stream))
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in STORAGES:
            return _StorageType(STORAGES[name])
        if (module, name) in _KNOWN:
            return _KNOWN[module, name]
        package = module.partition(".")[0]
        if package in _OPAQUE_PACKAGES or (module, name) in _OPAQUE_NAMES:
            return Opaque
        raise Refused(f"it asks to run {module}.{name}")

    def persistent_load(self, pid: Any) -> tuple[str, str]:
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
            raise Refused("it refers to something other than a storage")
        kind, key = pid[1], pid[2]
        if not isinstance(kind, _StorageType) or not isinstance(key, str) or not key.isdigit():
            raise Refused("it refers to a storage outside the file")
        self._storages[key] = kind.dtype
        return key, kind.dtype


def read_pickle(data: bytes | BufferedIOBase, storages: dict[str, str] | None = None) -> Any:
    """Return what one pickle holds, as plain values, `PickledDict`, `StoredTensor` and `Opaque`.

    A stream is left behind the pickle's end. `storages` takes the type of each storage it mentions.
    Raises: Refused: it asks for something else. ValueError: it is damaged.
    """
    stream = io.BytesIO(data) if isinstance(data, bytes) else data
    try:
        return _Reader(stream, {} if storages is None else storages).load()
    except Refused:
        raise
    except Exception as error:  # a damaged pickle fails in as many ways as Python can
        raise ValueError(f"the pickle in it is damaged ({type(error).__name__})") from error
