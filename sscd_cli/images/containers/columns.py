"""Which column of a table holds images: as bytes, as base64, or as the paths of files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sscd_cli.images.containers.listing import KEYS, is_name
from sscd_cli.images.containers.written_out import is_written_out
from sscd_cli.images.refs import image_column

_BYTES = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
_TEXT = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_LISTS = (
    *(pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list),
    *(pa.types.is_list_view, pa.types.is_large_list_view),
)


class Column:
    """A column by its name and type, and what it may hold.

    is_list: whether a row may hold several. resizable: its type, or that of lists of any length.
    """

    def __init__(self, field: pa.Field) -> None:
        self.name: str = field.name
        self.is_list = _is(_LISTS, field.type)
        self._kind = field.type.value_type if self.is_list else field.type
        is_fixed = pa.types.is_fixed_size_list(field.type)
        self.resizable = pa.list_(self._kind) if is_fixed else field.type
        if pa.types.is_dictionary(self._kind):  # as categories of pandas are stored
            self._kind = self._kind.value_type
        fields = self._kind.fields if pa.types.is_struct(self._kind) else []
        self._parts = {part.name: part.type for part in fields}

    @property
    def holds_images(self) -> bool:
        """Whether its type is that of images: bytes, or `{bytes, path}`."""
        return _is(_BYTES, self._parts.get("bytes", self._kind))

    @property
    def may_hold_paths(self) -> bool:
        """Whether its type is that of paths, and of base64: text, or `{path}`."""
        return _is(_TEXT, self._kind) or self._path != ""

    @property
    def _path(self) -> str:
        texts = (key for key in KEYS if key in self._parts and _is(_TEXT, self._parts[key]))
        return next(texts, "")

    def first_text(self, arrays: Iterable[pa.Array]) -> str:
        """Return the first of its texts, or paths, that is not empty; "" if there is none."""
        for array in arrays:
            values = pc.list_flatten(array) if self.is_list else array
            values = values.field(self._path) if self._path else values
            found = next((text for value in values if (text := value.as_py())), "")
            if found:
                return str(found)
        return ""


def find_column(
    path: str, schema: pa.Schema, chosen: str, arrays: Callable[[str], Iterable[pa.Array]]
) -> Column:
    """Return the column of images, or else of texts that are or name some; a chosen one may hold
    any text.

    Args: arrays: returns the values of a column.
    Raises: UsageError: none holds them, or it is not clear which.
    """
    columns = {field.name: Column(field) for field in schema}
    found = [name for name, column in columns.items() if column.holds_images]
    texts = [name for name, column in columns.items() if column.may_hold_paths]
    if chosen in texts:
        return columns[chosen]
    if not found:
        first = {name: columns[name].first_text(arrays(name)) for name in texts}
        found = [name for name, text in first.items() if is_name(text) or is_written_out(text)]
    others = [name for name in columns if name not in found]
    return columns[image_column(path, chosen, found, others, found or texts)]


def holds_bytes(array: pa.Array) -> bool:
    """Whether any value of a column is binary, or has a part that is."""
    kind = array.type
    if pa.types.is_struct(kind):
        return any(holds_bytes(array.field(at)) for at in range(kind.num_fields))
    if _is(_LISTS, kind):
        return holds_bytes(array.flatten())
    if pa.types.is_dictionary(kind):
        return _is(_BYTES, kind.value_type)
    return _is(_BYTES, kind) and array.null_count < len(array)


def _is(tests: Iterable[Any], kind: pa.DataType) -> bool:
    return any(test(kind) for test in tests)
