"""What an ONNX file says of itself, read from its bytes: loads neither torch nor ONNX Runtime.

Protocol buffers are fields of (number, value), where a value is a number or a piece of the file;
the numbers are those of onnx.proto, which never change.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sscd_cli.errors import ModelError, reason_of

ELEMENTS = {1: "float32", 2: "uint8", 10: "float16", 11: "float64"}

Piece = memoryview
Value = int | Piece


@dataclass(frozen=True)
class Port:
    """An input or output: its name, the type of its numbers and its sizes, None where free."""

    name: str
    element: str
    sizes: tuple[int | None, ...]


@dataclass(frozen=True)
class OnnxFile:
    """The ports of a network and the texts that its maker left beside it; untrusted."""

    path: Path
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    notes: dict[str, str]


def is_onnx(path: Path) -> bool:
    """Whether a file is named as one of ONNX."""
    return path.suffix.lower() == ".onnx"


def inspect_onnx(path: Path) -> OnnxFile:
    """Read the ports and notes of an ONNX file.

    Raises: ModelError: it cannot be read, is none, or keeps tensors in other files.
    """
    try:
        model = list(_fields(memoryview(path.read_bytes())))
        (graph,) = (list(_fields(_piece(value))) for number, value in model if number == 7)
        if any(_external(graph)):
            what = f"{path} keeps tensors in other files, which sscd does not open"
            raise ModelError(what, "save the model as one file")
        stored = {_text(tensor, 8) for number, tensor in graph if number == 5}
        ports = {
            key: tuple(_port(_piece(value)) for number, value in graph if number == key)
            for key in (11, 12)
        }
        inputs = tuple(port for port in ports[11] if port.name not in stored)
        notes = {_text(pair, 1): _text(pair, 2) for number, pair in model if number == 14}
    except OSError as error:
        raise ModelError(f"cannot read {path}: {reason_of(error)}", "name a model file") from error
    except (ValueError, IndexError, RecursionError, OverflowError) as error:
        raise ModelError(f"{path} is no ONNX model, or damaged", "copy it again") from error
    return OnnxFile(path, inputs, ports[12], notes)


@dataclass(frozen=True)
class Layout:
    """What a network takes and gives.

    raw: takes uint8 pixels and normalises them itself; else ImageNet's statistics are applied.
    channels_last: (B, H, W, 3), else (B, 3, H, W). side: of the square that it takes, None where
    it takes any size. single: whether it takes one picture at a time. dimensions: of a
    descriptor, 0 where the file does not say.
    """

    input: str
    output: str
    raw: bool
    channels_last: bool
    side: int | None
    single: bool
    dimensions: int


def layout_of(file: OnnxFile) -> Layout:
    """Return how to feed a network of images. Raises ModelError: it is another kind of network."""
    other = "use a network of one image input and one descriptor output"
    output = next((p for p in file.outputs if p.name == "descriptors"), None)
    if len(file.inputs) != 1 or not (output or len(file.outputs) == 1):
        ports = f"{len(file.inputs)} inputs and {len(file.outputs)} outputs"
        raise ModelError(f"{file.path} has {ports}", other)
    taken, given = file.inputs[0], output or file.outputs[0]
    last = _channels_last(taken)
    if last is None or taken.element not in ("uint8", "float32"):
        raise ModelError(f"{file.path} takes no images: {_shown(taken)}", other)
    if len(given.sizes) != 2 or given.element != "float32":
        raise ModelError(f"{file.path} gives no descriptors: {_shown(given)}", other)
    height, width = taken.sizes[1:3] if last else taken.sizes[2:]
    if height != width:
        what = f"{file.path} takes pictures of {width} × {height}, which no recipe makes"
        raise ModelError(what, "export it for squares")
    batch, raw = taken.sizes[0], taken.element == "uint8"
    if batch not in (None, 1):
        raise ModelError(
            f"{file.path} takes {batch} pictures at a time", "export it for any number"
        )
    size = given.sizes[1] or 0
    return Layout(taken.name, given.name, raw, last, height, batch == 1, size)


def _channels_last(port: Port) -> bool | None:
    if len(port.sizes) != 4:
        return None
    return True if port.sizes[3] == 3 else False if port.sizes[1] == 3 else None


def _shown(port: Port) -> str:
    sizes = " × ".join("?" if size is None else str(size) for size in port.sizes)
    return f"{port.name} is {port.element} of {sizes or 'no size'}"


def _fields(data: Piece) -> Iterator[tuple[int, Value]]:
    """Yield the fields of a message; numbers of fixed width come as pieces."""
    place = 0
    while place < len(data):
        key, place = _number(data, place)
        kind = key & 7
        if kind == 0:
            value, place = _number(data, place)
            yield key >> 3, value
            continue
        if kind == 2:
            size, place = _number(data, place)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError("no field of protocol buffers")
        if place + size > len(data):
            raise ValueError("a field goes on behind the end")
        yield key >> 3, data[place : place + size]
        place += size


def _number(data: Piece, place: int) -> tuple[int, int]:
    """Return a number of seven bits a byte, and the place behind it."""
    value = 0
    for position in range(10):
        byte = data[place + position]
        value |= (byte & 127) << 7 * position
        if byte < 128:
            return value, place + position + 1
    raise ValueError("a number of more than 64 bits")


def _piece(value: Value) -> Piece:
    if isinstance(value, int):
        raise ValueError("a number where a message belongs")
    return value


def _text(message: Value, wanted: int) -> str:
    found = (bytes(_piece(value)) for number, value in _fields(_piece(message)) if number == wanted)
    return next(found, b"").decode()


def _inside(message: Value, wanted: int) -> Iterator[Piece]:
    return (_piece(value) for number, value in _fields(_piece(message)) if number == wanted)


def _external(graph: list[tuple[int, Value]]) -> Iterator[bool]:
    """Say of each tensor of a graph, and of the graphs inside it, whether it lies elsewhere."""
    for number, value in graph:
        if number == 5:
            yield _elsewhere(value)
        elif number == 15:  # sparse: its values and their indices
            yield from (_elsewhere(part) for key in (1, 2) for part in _inside(value, key))
        elif number == 1:
            for attribute in _inside(value, 5):
                for key, inner in _fields(attribute):
                    if key in (5, 10):
                        yield _elsewhere(inner)
                    elif key in (6, 11):
                        yield from _external(list(_fields(_piece(inner))))


def _elsewhere(tensor: Value) -> bool:
    return any(
        number == 13 or (number, value) == (14, 1) for number, value in _fields(_piece(tensor))
    )


def _port(message: Piece) -> Port:
    name = _text(message, 1)
    for kind in _inside(message, 2):
        for tensor in _inside(kind, 1):
            element = next((v for n, v in _fields(tensor) if n == 1 and isinstance(v, int)), 0)
            sizes = tuple(_size(dim) for shape in _inside(tensor, 2) for dim in _inside(shape, 1))
            return Port(name, ELEMENTS.get(element, "other"), sizes)
    return Port(name, "other", ())


def _size(dim: Piece) -> int | None:
    return next((v for n, v in _fields(dim) if n == 1 and isinstance(v, int) and v > 0), None)
