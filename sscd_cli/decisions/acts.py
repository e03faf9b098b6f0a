"""One file that goes, how it goes, and how it comes back, whatever stopped either half-way.

Nothing is ever overwritten: a file is moved by making its new name, which must not be there, and
then removing the old one; a link is made beside the file that it then replaces at once.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sscd_cli.choices import Action
from sscd_cli.decisions import trash
from sscd_cli.images.read import content_hash
from sscd_cli.images.refs import QUARANTINE
from sscd_cli.storage.files import sync_folder

LINKS = frozenset({"hardlink", "reflink", "symlink"})
_FICLONE = 0x40049409
_NO_NAMES = {errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS}  # no more of one file
_NO_LINKS = _NO_NAMES | {errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV}


@dataclass(frozen=True, slots=True)
class Act:
    """What becomes of one file; paths are absolute and led to by no link.

    to: where it lies in the quarantine, else "". content_hash, mtime_ns, mode: what it had.
    keeper, keeper_hash: what stays for it. sidecar_of: the number of the image that it goes with;
    0 for an image.
    """

    number: int
    action: Action
    path: str
    to: str
    content_hash: str
    file_bytes: int
    mtime_ns: int
    mode: int
    keeper: str
    keeper_hash: str
    sidecar_of: int = 0

    @property
    def part(self) -> str:
        """Return where a link is made before it takes the name of the file."""
        folder, name = os.path.split(self.path)
        return os.path.join(folder, f".{name}.sscd-part")

    @property
    def folders(self) -> set[str]:
        """Return the folders that were there before, and whose times it changes."""
        found = {os.path.dirname(self.path)}
        root, inside, _ = self.to.partition(f"{os.sep}{QUARANTINE}{os.sep}")
        return found | {root} if inside else found


class NotRestoredError(Exception):
    """A file could not be brought back, and why."""


def perform(act: Act) -> None:
    """Do it. Raises: OSError: it could not be done, and the file is where it was."""
    if act.action == "quarantine":
        _make_folders(os.path.dirname(act.to))
        _move_new(act.path, act.to)
    elif act.action == "trash":
        trash.send(act.path)
    elif act.action == "delete":
        os.unlink(act.path)
    else:
        _make_link(act)
        os.replace(act.part, act.path)
    sync_folder(Path(act.path).parent)


def settle(act: Act) -> bool:
    """Bring an act that was stopped to an end, and say whether it has been done.

    Raises: OSError: neither could be found out.
    """
    if act.action in LINKS:
        with suppress(FileNotFoundError):
            os.unlink(act.part)
        if act.action == "symlink":
            return os.path.islink(act.path)
        return act.action == "hardlink" and is_one_file(act.path, act.keeper)
    there = os.path.lexists(act.path)
    if act.action != "quarantine" or not there:
        return not there
    if is_one_file(act.path, act.to):
        os.unlink(act.path)
        return True
    if os.path.lexists(act.to) and not os.path.getsize(act.to):  # it held the name
        os.unlink(act.to)
    _remove_empty(os.path.dirname(act.to))
    return False


def reverse(act: Act, *, begun: bool = False) -> None:
    """Bring a file back as it was. begun: an earlier run may have been stopped doing so.

    Raises: NotRestoredError: it cannot be. OSError.
    """
    if act.action == "delete":
        raise NotRestoredError("it was deleted")
    if act.action in LINKS:
        _unlink_from_keeper(act)
    else:
        _bring_back(act, begun)
    sync_folder(Path(act.path).parent)


def _move_new(path: str, to: str) -> None:
    """Move a file to a name that must not be there, on the same file system."""
    try:
        os.link(path, to, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_NAMES:
            raise
        # a file system without hard links: an empty file holds the name
        os.close(os.open(to, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        os.replace(path, to)
    else:
        sync_folder(Path(to).parent)  # before the old name goes
        try:
            os.unlink(path)
        except OSError:  # in a folder that may be read only
            os.unlink(to)
            raise


def _make_folders(folder: str) -> None:
    """Make folders, each of which has reached the disk before anything lies in it."""
    if not os.path.isdir(folder):
        _make_folders(os.path.dirname(folder))
        os.mkdir(folder)
        sync_folder(Path(folder).parent)


def _make_link(act: Act) -> None:
    """Make, beside a file, the link that shall take its name."""
    try:
        if act.action == "hardlink":
            os.link(act.keeper, act.part)
        elif act.action == "symlink":
            os.symlink(os.path.relpath(act.keeper, os.path.dirname(act.path)), act.part)
        else:
            _clone(act)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        what = f"a {act.action} to what stays cannot be made here: {error.strerror}"
        raise OSError(error.errno, what) from None


def _clone(act: Act) -> None:
    import fcntl

    try:
        with open(act.keeper, "rb") as keeper, open(act.part, "xb") as part:
            fcntl.ioctl(part.fileno(), _FICLONE, keeper.fileno())
        _dress(act, act.part)
    except OSError:
        with suppress(FileNotFoundError):
            os.unlink(act.part)
        raise


def _dress(act: Act, path: str) -> None:
    """Give a file the mode and time of the one that went."""
    os.chmod(path, act.mode)
    os.utime(path, ns=(act.mtime_ns, act.mtime_ns))


def _bring_back(act: Act, begun: bool) -> None:
    """Move a file back from the quarantine or the trash."""
    place = act.to if act.action == "quarantine" else trash.find(act.path, act.content_hash)
    if os.path.lexists(act.path):
        if place and is_one_file(act.path, place):
            os.unlink(place)
        elif place and begun and not os.path.getsize(act.path) and act.file_bytes:
            os.unlink(act.path)  # it held the name
            _move_new(place, act.path)
        elif os.path.islink(act.path) or content_hash(act.path) != act.content_hash:
            raise NotRestoredError(f"another file has its name; it stays in {place or 'the trash'}")
    elif not place or not os.path.lexists(place):
        raise NotRestoredError(f"it is no longer in {act.to or 'the trash'}")
    elif content_hash(place) != act.content_hash:
        raise NotRestoredError(f"it has changed in {place}")
    else:
        _make_folders(os.path.dirname(act.path))
        _move_new(place, act.path)
    if act.action == "quarantine":
        _remove_empty(os.path.dirname(act.to))
    elif place:
        trash.forget(place)


def _remove_empty(folder: str) -> None:
    """Remove the folders of a quarantine that are empty; some may be gone already."""
    with suppress(OSError):
        while QUARANTINE in folder.split(os.sep):
            with suppress(FileNotFoundError):
                os.rmdir(folder)
            folder = os.path.dirname(folder)


def _unlink_from_keeper(act: Act) -> None:
    """Make a file of its own again of a link to what has the same bytes."""
    with suppress(FileNotFoundError):
        os.unlink(act.part)
    source = next((p for p in (act.path, act.keeper) if _has(p, act.content_hash)), "")
    if not source:
        raise NotRestoredError(f"neither it nor {act.keeper} holds its bytes any more")
    own = not os.path.islink(act.path) and not is_one_file(act.path, act.keeper)
    if own and os.path.lexists(act.path):
        if source != act.path:
            raise NotRestoredError("another file has its name")
        _dress(act, act.path)
        return
    with open(source, "rb") as old, open(act.part, "xb") as new:
        new.write(old.read())
        new.flush()
        os.fsync(new.fileno())
    _dress(act, act.part)
    os.replace(act.part, act.path)


def _has(path: str, digest: str) -> bool:
    try:
        return content_hash(path) == digest
    except OSError:
        return False


def is_one_file(path: str, other: str) -> bool:
    """Say whether two names, no symbolic links, are of one file."""
    try:
        return os.path.samestat(os.lstat(path), os.lstat(other))
    except OSError:
        return False
