"""Names of files as they arrive on stdin, one by one."""

from __future__ import annotations

import codecs
import io
import os
from collections.abc import Iterator
from itertools import chain

from sscd_cli.errors import UsageError
from sscd_cli.images.containers.listing import UTF_16

PIPE_BYTES = 1 << 16


def iter_names(stream: io.BufferedIOBase, *, from0: bool) -> Iterator[str]:
    """Yield the names of a list as they arrive, each byte of them kept; empty ones are none.

    UTF-16 is told by its mark at the start, and its names are encoded as those of files are.

    What is read first tells how they are separated: no name holds a NUL, but one may hold a line
    feed. So the list is one of NULs if it has one among its first bytes, up to a whole name. A
    carriage return before the end of a line, as Windows writes it, belongs to no name, but to
    that of a file which exists. from0: the names are separated by NULs.
    Raises: UsageError: NUL bytes after lines; a list of lines with `from0`.
    """
    rest, separator = b"", b"\0" if from0 else b""
    for chunk in _chunks(stream):
        rest += chunk
        if not separator and (b"\0" in rest or b"\n" in rest):
            separator = b"\0" if b"\0" in rest else b"\n"
        if separator == b"\n" and b"\0" in chunk:
            raise UsageError("the list on stdin holds line feeds and NUL bytes", "add --from0")
        if separator:
            *names, rest = rest.split(separator)
            yield from (_as_name(name, separator) for name in names if name)
            from0 = from0 and not names
    if from0 and b"\n" in rest:
        raise UsageError("the list on stdin holds no NUL byte", "leave out --from0")
    if rest:
        yield _as_name(rest, separator)


def _chunks(stream: io.BufferedIOBase) -> Iterator[bytes]:
    """Yield what arrives, without a mark at the start, and UTF-16 as names of files."""
    first = stream.read1(PIPE_BYTES)
    while _begins_a_mark(first) and (more := stream.read1(PIPE_BYTES)):
        first += more
    chunks = chain([first], iter(lambda: stream.read1(PIPE_BYTES), b""))
    if first.startswith(UTF_16):
        yield from map(os.fsencode, codecs.iterdecode(chunks, "utf-16", "replace"))
    else:
        yield next(chunks).removeprefix(codecs.BOM_UTF8)
        yield from chunks


def _begins_a_mark(start: bytes) -> bool:
    marks = (*UTF_16, codecs.BOM_UTF8)
    return any(mark.startswith(start) and mark != start for mark in marks)


def _as_name(line: bytes, separator: bytes) -> str:
    name = os.fsdecode(line)
    if separator != b"\0" and name.endswith("\r") and not os.path.lexists(name):
        return name[:-1]
    return name
