"""Files on servers (s3://, gs://, hf://, http://), read as files here are, through fsspec.

Credentials and endpoints are those of each service's own library: AWS_* variables, a Google login,
HF_TOKEN. A request that fails for a passing reason (a busy server, a cut connection, fewer bytes
than asked for) is made again, three times in all; what the libraries retry comes on top.
"""

from __future__ import annotations

import glob
import hashlib
import io
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, BinaryIO, NamedTuple, TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

from sscd_cli.errors import SscdError

URL = re.compile(r"(s3|gs|hf|https?)://", re.IGNORECASE)
SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
FILE_URL = re.compile(r"file://", re.IGNORECASE)
EXTRAS = {"s3": "s3", "gs": "gcs", "hf": "hf", "http": "http", "https": "http"}
READ_AHEAD = 4 << 20
TRIES = 3
PAUSE = 0.5  # seconds before the second try, four times as many before the third
TIMES = ("LastModified", "mtime", "updated", "Last-Modified", "last_modified")
VERSIONS = ("ETag", "etag", "blob_id", "md5Hash", "Content-MD5")

LASTING = (
    *(FileNotFoundError, FileExistsError, PermissionError),
    *(NotADirectoryError, IsADirectoryError),
)

T = TypeVar("T")


class Entry(NamedTuple):
    """What a path leads to. mtime_ns: where a server tells no time, a negative number that stands
    for the version that it tells instead, or 0."""

    is_folder: bool
    is_file: bool
    size: int
    mtime_ns: int


def is_url(path: str) -> bool:
    """Whether `path` is on a server."""
    return URL.match(path) is not None


def has_unknown_scheme(path: str) -> bool:
    """Whether `path` is a URL of a kind that cannot be read, and no path here."""
    return bool(SCHEME.match(path)) and not is_url(path) and not os.path.lexists(path)


def without_file_scheme(path: str) -> str:
    """Return the path that a file:// URL stands for; any other path as it is."""
    return url2pathname(urlsplit(path).path) if FILE_URL.match(path) else path


def look(path: str) -> Entry:
    """Say what lies at a path, here or on a server. Raises: OSError, ValueError: nothing."""
    if is_url(path):
        info = _asked(path, lambda fs, name: fs.info(name))
        if info.get("mimetype") == "text/html":
            raise IsADirectoryError("a page, not a file: http has no folders, name the files")
        return _entry(info)
    status = os.stat(path)  # noqa: PTH116
    mode = status.st_mode
    return Entry(stat.S_ISDIR(mode), stat.S_ISREG(mode), status.st_size, status.st_mtime_ns)


def exists(path: str) -> bool:
    """Whether anything lies at a path. Raises: OSError: a server does not say."""
    if not is_url(path):
        return os.path.lexists(path)
    try:
        look(path)
    except FileNotFoundError:
        return False
    return True


def join(folder: str, name: str) -> str:
    """Return the path of `name` in a folder, here or on a server."""
    return f"{folder.rstrip('/')}/{name}" if is_url(folder) else os.path.join(folder, name)  # noqa: PTH118


def list_folder(url: str) -> dict[str, Entry]:
    """List what lies in a folder on a server by its names. Raises: OSError."""
    infos = _asked(url, lambda fs, name: fs.ls(name, detail=True))
    entries = {info["name"].rstrip("/").rpartition("/")[2]: _entry(info) for info in infos}
    # a bucket may hold an empty object that stands for the folder itself
    own = url.rstrip("/").rpartition("/")[2]
    return {
        name: entry
        for name, entry in entries.items()
        if name and not (name == own and not entry.is_folder and not entry.size)
    }


def matching(pattern: str) -> list[str]:
    """Return the paths that match a shell pattern, here or on a server, by their bytes."""
    if not is_url(pattern):
        found = glob.glob(pattern)  # noqa: PTH207
    elif pattern.lower().startswith("http"):
        found = []  # a server of pages lists no files, and "?" begins a query there
    else:
        scheme = pattern.partition("://")[0]
        names = _asked(pattern, lambda fs, name: fs.glob(name))
        found = [f"{scheme}://{name}" for name in names]
    return sorted(found, key=os.fsencode)


def read_url(url: str, size: int) -> bytes:
    """Return the `size` bytes of a file on a server. Raises: OSError: it has not as many."""
    if not size:
        return b""
    # asking for one more byte shows a file that has grown, and spares the question for its size
    return _asked(url, lambda fs, name: _checked(fs.cat_file(name, start=0, end=size + 1), size))


def write_url(url: str, data: bytes, *, new: bool = False) -> None:
    """Write a file on a server whole: readers see all of it or nothing.

    new: only if there is none yet, where the server (AWS, MinIO, Google) can see to that.
    Raises: OSError; FileExistsError: there is one.
    """
    mode = {"mode": "create"} if new and url.lower().startswith(("s3:", "gs:")) else {}
    _asked(url, lambda fs, name: fs.pipe_file(name, data, **mode))


def upload(path: str, url: str) -> None:
    """Copy a file from here to a server, where it shows up whole. Raises: OSError."""
    _asked(url, lambda fs, name: fs.put_file(path, name))


def remove_url(url: str) -> None:
    """Remove a file on a server. Raises: OSError."""
    _asked(url, lambda fs, name: fs.rm_file(name))


def open_binary(path: str) -> BinaryIO:
    """Open a file here or on a server for reading; it can seek. Raises: OSError."""
    if not is_url(path):
        return open(path, "rb")  # noqa: PTH123
    return io.BufferedReader(_RemoteFile(path, look(path).size), READ_AHEAD)


class _RemoteFile(io.RawIOBase):
    """A file on a server, read in ranges; `size` is what it was when it was opened."""

    def __init__(self, url: str, size: int) -> None:
        self._url = url
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        end = min(self._at + len(buffer), self._size)
        if end <= self._at:
            return 0
        data = _asked(self._url, lambda fs, name: self._range(fs, name, end))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _range(self, fs: Any, name: str, end: int) -> bytes:
        data = fs.cat_file(name, start=self._at, end=end)
        if len(data) == self._size:  # the server knows no ranges
            data = data[self._at : end]
        return _checked(data, end - self._at)


def _checked(data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise OSError(f"the server sent {len(data)} bytes instead of {size}")
    return data


def _asked(url: str, request: Callable[[Any, str], T]) -> T:
    """Make a request of the file system of `url`, again if that may help.

    Raises: OSError: it fails; FileNotFoundError and PermissionError among them. SscdError: the
        scheme needs a package that is not installed.
    """
    with _as_os_errors(url):
        from fsspec.core import url_to_fs

        fs, name = url_to_fs(url, use_listings_cache=False)
    for attempt in range(TRIES):
        with _as_os_errors(url):
            try:
                return request(fs, name)
            except LASTING as error:
                if attempt == TRIES - 1 or not isinstance(_http_cause(url, error), OSError):
                    raise
            except Exception:
                if attempt == TRIES - 1:
                    raise
        time.sleep(PAUSE * 4**attempt)
    raise AssertionError("unreachable")


@contextmanager
def _as_os_errors(url: str) -> Iterator[None]:
    scheme = url.partition("://")[0].lower()
    try:
        yield
    except ImportError as error:
        what = f"{scheme}:// needs a package that is not installed ({error.name or error})"
        raise SscdError(what, f"run pip install 'sscd-cli[{EXTRAS[scheme]}]'") from error
    except OSError as error:
        cause = _http_cause(url, error)
        if isinstance(cause, OSError):
            number = cause.errno or 0
            raise OSError(os.strerror(number) if number > 0 else str(cause.strerror)) from error
        if status := getattr(cause, "status", None):
            raise FileNotFoundError(f"{status} {getattr(cause, 'message', '')}") from error
        raise
    except Exception as error:  # each library has its own exceptions
        raise OSError(f"{str(error).strip() or type(error).__name__}") from error


def _http_cause(url: str, error: OSError) -> BaseException | None:
    """Return why a page is called missing, which may be a server that cannot be reached."""
    is_missing = url.lower().startswith("http") and isinstance(error, FileNotFoundError)
    return error.__cause__ if is_missing else None


def _entry(info: Mapping[str, Any]) -> Entry:
    is_folder = info["type"] == "directory"
    return Entry(is_folder, not is_folder, int(info.get("size") or 0), _mtime_ns(info))


def _mtime_ns(info: Mapping[str, Any]) -> int:
    for key in TIMES:
        when = info.get(key)
        if isinstance(when, str) and when:
            when = _parsed(when)
        if isinstance(when, datetime):
            return int(when.timestamp()) * 10**9  # some servers tell less in one answer
    for key in VERSIONS:
        if version := info.get(key):
            digest = hashlib.blake2b(str(version).encode(), digest_size=7).digest()
            return -int.from_bytes(digest, "little")
    return 0


def _parsed(when: str) -> datetime | None:
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            return parse(when)
        except ValueError:
            continue
    return None
