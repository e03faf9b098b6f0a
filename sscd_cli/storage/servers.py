"""Files on servers (s3://, gs://, hf://, http://), read as files here are, through fsspec.

What is read of a file that was opened is kept on disk for a while (see `block_cache`), so that
naming the images of an archive and reading them fetches it once.

Credentials and endpoints are those of each service's own library: AWS_* variables, a Google login,
HF_TOKEN. A request that fails for a passing reason (a busy server, a cut connection, fewer bytes
than asked for) is made again, three times in all; what the libraries retry comes on top.
"""

from __future__ import annotations

import errno
import glob
import io
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import IO, Any, BinaryIO, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

from sscd_cli.errors import SscdError
from sscd_cli.machines.threads import in_order
from sscd_cli.storage import keys
from sscd_cli.storage.block_cache import BLOCK_BYTES, block_cache

SCHEMES = r"(s3|gs|hf|https?)"
URL = re.compile(f"{SCHEMES}://", re.IGNORECASE)
SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
FILE_URL = re.compile(r"file://", re.IGNORECASE)
EXTRAS = {"s3": "s3", "gs": "gcs", "hf": "hf", "http": "http", "https": "http"}
REQUESTS = 16  # at once
TRIES = 3
PAUSE = 0.5  # seconds before the second try, four times as many before the third
TIMES = ("LastModified", "mtime", "updated", "Last-Modified", "last_modified")
VERSIONS = ("ETag", "etag", "blob_id", "md5Hash", "Content-MD5")

LASTING = (
    *(FileNotFoundError, FileExistsError, PermissionError),
    *(NotADirectoryError, IsADirectoryError),
)

S = TypeVar("S")
T = TypeVar("T")


class Entry(NamedTuple):
    """What a path leads to. size: in bytes, None where a server does not say. mtime_ns: where it
    tells no time, a negative number that stands for the version, or 0. version: what a server calls
    the contents, or ""."""

    is_folder: bool
    is_file: bool
    size: int | None
    mtime_ns: int
    version: str = ""


def is_url(path: str) -> bool:
    """Whether `path` is on a server."""
    return URL.match(path) is not None


def has_unknown_scheme(path: str) -> bool:
    """Whether `path` is a URL of a kind that cannot be read, and no path here."""
    return bool(SCHEME.match(path)) and not is_url(path) and not os.path.lexists(path)


def without_file_scheme(path: str) -> str:
    """Return the path that a file:// URL stands for; any other path as it is."""
    return unquote(urlsplit(path).path) if FILE_URL.match(path) else path


def look(path: str) -> Entry:
    """Say what lies at a path, here or on a server. Raises: OSError, ValueError: nothing."""
    if is_url(path):
        info = _asked(path, lambda fs, name: keys.info_of(fs, name, path.endswith("/")))
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
    """List what lies in a folder on a server by its names (see `keys`). Raises: OSError."""
    found = _asked(url, lambda fs, name: [*keys.listing(fs, name.rstrip("/"))])
    return {name: _entry(info) for name, info in found}


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


def read_url(url: str, size: int | None) -> bytes:
    """Return the `size` bytes of a file on a server, None is all of them.

    Raises: OSError: it has not as many.
    """
    if size is None:
        return bytes(_asked(url, lambda fs, name: fs.cat_file(name)))
    if not size:
        return b""
    # asking for one more byte shows a file that has grown, and spares the question for its size
    return _asked(url, lambda fs, name: _checked(fs.cat_file(name, start=0, end=size + 1), size))


def check_takes_files(url: str) -> None:
    """Raise OSError where no file can be written to a server of this kind."""
    if not url.lower().startswith(("s3:", "gs:")):
        raise OSError("on servers, only s3:// and gs:// take files")


def write_url(url: str, data: bytes, *, new: bool = False) -> None:
    """Write a file on a server whole: readers see all of it or nothing.

    new: only if there is none yet, where the server (AWS, MinIO, Google) can see to that.
    Raises: OSError; FileExistsError: there is one.
    """
    check_takes_files(url)
    create = {"mode": "create"} if new else {}
    _asked(url, lambda fs, name: fs.pipe_file(name, data, **create))


def upload(path: str, url: str) -> None:
    """Copy a file from here to a server, where it shows up whole and replaces none.

    Raises: OSError; FileExistsError: there is one, as far as the server can see to that.
    """
    check_takes_files(url)
    try:
        _asked(url, lambda fs, name: fs.put_file(path, name, mode="create"))
    except FileExistsError:
        with open(path, "rb") as ours, open_binary(url) as theirs:  # noqa: PTH123
            if not _same(ours, theirs):  # otherwise an earlier try of ours came through
                raise


def copy_file(source: str, target: str) -> None:
    """Copy a file from or to a server. Raises: OSError; FileExistsError: as `upload`."""
    if not is_url(source):
        upload(source, target)
    elif not is_url(target):
        with open(target, "wb") as file:  # noqa: PTH123
            _download(source, file)
    else:
        # the extension tells the server what kind of file it is
        suffix = os.path.splitext(target)[1]  # noqa: PTH122
        with tempfile.NamedTemporaryFile(suffix=suffix) as file:
            _download(source, file)
            upload(file.name, target)


def _download(url: str, file: IO[bytes]) -> None:
    with open_binary(url) as stream:
        shutil.copyfileobj(stream, file, BLOCK_BYTES)
    file.flush()


def at_once(work: Callable[[S], T], items: Iterable[S]) -> Iterator[T]:
    """Yield what `work`, which waits for servers, makes of items, in their order.

    Raises: what `work` does; by then no other work goes on.
    """
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(REQUESTS) as pool:
        yield from in_order(pool, 2 * REQUESTS, work, items)


def remove_url(url: str) -> None:
    """Remove a file on a server. Raises: OSError."""
    _asked(url, lambda fs, name: fs.rm_file(name))


def _same(one: BinaryIO, other: BinaryIO) -> bool:
    while (data := one.read(BLOCK_BYTES)) == other.read(BLOCK_BYTES):
        if not data:
            return True
    return False


def open_binary(path: str) -> BinaryIO:
    """Open a file here or on a server for reading; it can seek. Raises: OSError."""
    if not is_url(path):
        return open(path, "rb")  # noqa: PTH123
    return io.BufferedReader(_RemoteFile(path, look(path)), BLOCK_BYTES)


class _RemoteFile(io.RawIOBase):
    """A file on a server, read in blocks; `entry` is what it was when it was opened."""

    def __init__(self, url: str, entry: Entry) -> None:
        if entry.size is None:
            raise OSError("the server does not say how large it is: fetch the file")
        self._url = url
        self._size = entry.size
        # what may be another file the next time shares its blocks with none
        known = entry.version or entry.mtime_ns
        self._key: Hashable = (url, entry) if known else object()
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
        if self._at >= self._size:
            return 0
        number, start = divmod(self._at, BLOCK_BYTES)
        data = block_cache().get((self._key, number)) or self._fetched(number)
        data = data[start : start + len(buffer)]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _fetched(self, number: int) -> bytes:
        """Fetch a block; a server that knows no ranges sends all of them."""
        start = number * BLOCK_BYTES
        end = min(start + BLOCK_BYTES, self._size)
        data = _asked(self._url, lambda fs, name: self._range(fs, name, start, end))
        first = start if len(data) == end - start else 0
        blocks = range(0, len(data), BLOCK_BYTES)
        for at in blocks:
            block_cache().put((self._key, (first + at) // BLOCK_BYTES), data[at : at + BLOCK_BYTES])
        return data[start - first : end - first]

    def _range(self, fs: Any, name: str, start: int, end: int) -> bytes:
        data: bytes = fs.cat_file(name, start=start, end=end)
        return data if len(data) == self._size else _checked(data, end - start)


def _checked(data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise OSError(f"the server sent {len(data)} bytes instead of {size}")
    return data


def _asked(url: str, request: Callable[[Any, str], T]) -> T:
    """Make a request of the file system of `url`, again if that may help.

    Raises: OSError: it fails; FileNotFoundError and PermissionError among them. SscdError: the
        scheme needs a package that is not installed.
    """
    # what gcsfs knows beyond usual buckets asks for a login, even where none is needed
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
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
        if isinstance(error, FileNotFoundError):  # libraries say what they asked for instead
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from error
        raise
    except Exception as error:  # each library has its own exceptions
        raise OSError(f"{str(error).strip() or type(error).__name__}") from error


def _http_cause(url: str, error: OSError) -> BaseException | None:
    """Return why a page is called missing, which may be a server that cannot be reached."""
    is_missing = url.lower().startswith("http") and isinstance(error, FileNotFoundError)
    return error.__cause__ if is_missing else None


def _entry(info: Mapping[str, Any]) -> Entry:
    is_folder = info["type"] == "directory"
    version = next((str(info[key]) for key in VERSIONS if info.get(key)), "")
    size = info.get("size", 0)
    return Entry(
        is_folder,
        not is_folder,
        size=None if size is None and not is_folder else int(size or 0),
        mtime_ns=_mtime_ns(info, version),
        version=version,
    )


def _mtime_ns(info: Mapping[str, Any], version: str) -> int:
    import hashlib

    for key in TIMES:
        when = info.get(key)
        if isinstance(when, str) and when:
            when = _parsed(when)
        if isinstance(when, datetime):
            return int(when.timestamp()) * 10**9  # some servers tell less in one answer
    digest = hashlib.blake2b(version.encode(), digest_size=7).digest()
    return -int.from_bytes(digest, "little") if version else 0


def _parsed(when: str) -> datetime | None:
    from email.utils import parsedate_to_datetime

    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            return parse(when)
        except ValueError:
            continue
    return None
