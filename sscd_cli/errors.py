"""Everything that can go wrong for a reason the user can act on, and its text in one line.

    SscdError                 exit 3   the run failed
    ├── UsageError            exit 2   the command line asks for something impossible
    ├── NoImagesError         exit 3   a source holds no images
    ├── StoreError            exit 3   a descriptor dataset cannot be read, written or mixed
    └── ModelError            exit 3   a model is missing or damaged
        └── UnknownModelError exit 2   no model has this name

2 is for words that are wrong whatever lies on the disk: mistyped, contradictory, out of range, or
not for these data. 3 is for what is missing, damaged, full, out of reach or there already: a file,
an extra, a device, a server.

One unreadable image is never an error: it is a value (`images.read.Unreadable`) that
travels to the report.
"""

from __future__ import annotations


class SscdError(Exception):
    """A failure with its remedy: `what` is wrong, and `fix` is what to type or change.

    Prints as one line, "what; fix", whatever line breaks a file name may bring.
    """

    exit_code = 3

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what, fix)
        self.what = what
        self.fix = fix

    def __str__(self) -> str:
        return printable(f"{self.what}; {self.fix}")


class SscdWarning(UserWarning):
    """Something that ends no run, but that the user had better know."""


class UsageError(SscdError):
    """The command line asks for something impossible."""

    exit_code = 2


class NoImagesError(SscdError):
    """A source holds no images."""


class StoreError(SscdError):
    """A descriptor dataset cannot be read, written or mixed."""


class ModelError(SscdError):
    """A model is missing or damaged."""


class UnknownModelError(ModelError):
    """No model has this name, and no file."""

    exit_code = 2


def cannot_read(kind: str, path: str, error: Exception, fix: str) -> SscdError:
    """Return the error for a source ("folder", "archive") that `error` keeps from being read."""
    return SscdError(f"cannot read the {kind} {path}: {reason_of(error)}", fix)


def cannot_write(
    place: object, error: Exception, fix: str, kind: type[SscdError] = SscdError
) -> SscdError:
    """Return the error for a file, folder or stream that `error` keeps from being written."""
    return kind(f"cannot write {place}: {reason_of(error)}", fix)


def reason_of(error: Exception) -> str:
    """Return in one line what an exception says, without the file's name that it may repeat."""
    reason = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
    return str(reason).splitlines()[0].rstrip(":")


def printable(text: str) -> str:
    """Return `text` as one line of valid UTF-8: control and undecodable characters escaped."""
    safe = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in safe)
