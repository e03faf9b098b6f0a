"""The system's trash: files go there by Send2Trash, and are found again where it keeps a record."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

from sscd_cli.errors import SscdError
from sscd_cli.images.read import content_hash as hash_of


def check() -> None:
    """Raise SscdError where no trash can be used."""
    try:
        import send2trash  # noqa: F401
    except ImportError:
        what = "the trash needs another package"
        raise SscdError(what, "pip install 'sscd-cli[trash]', or leave out --action") from None


def send(path: str) -> None:
    """Move a file to the trash. Raises: OSError."""
    from send2trash import send2trash

    send2trash(path)


def find(path: str, content_hash: str) -> str:
    """Return where a file that lay at `path` is in the trash; "" where it is not, or not told."""
    for info, original in _records(path):
        file = info.parent.parent / "files" / info.stem
        with suppress(OSError):
            if original == path and hash_of(str(file)) == content_hash:
                return str(file)
    return ""


def forget(place: str) -> None:
    """Remove the record of a file that has left the trash."""
    file = Path(place)
    with suppress(OSError):
        (file.parent.parent / "info" / f"{file.name}.trashinfo").unlink()


def _records(path: str) -> Iterator[tuple[Path, str]]:
    """Yield each record of the trash folders that a file may be in, and what it is the record of.

    As the freedesktop.org trash specification has them: one at home, and one at the top of each
    file system.
    """
    home = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "Trash"
    top = Path(path).parent
    while not top.is_mount() and top != top.parent:
        top = top.parent
    user = str(os.getuid())
    for folder in (home, top / ".Trash" / user, top / f".Trash-{user}"):
        for info in sorted((folder / "info").glob("*.trashinfo")):
            with suppress(OSError, UnicodeError):
                for line in info.read_bytes().split(b"\n"):
                    if line.startswith(b"Path="):
                        name = os.fsdecode(unquote(line[5:].decode(), errors="surrogateescape"))
                        yield info, str(top / name) if not name.startswith("/") else name
