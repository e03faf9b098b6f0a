"""One file from a web server into the cache: resumed, retried, verified, then renamed into place.

Proxies are those of the environment (`HTTPS_PROXY`, `NO_PROXY`, …). A file appears under its name
only when it is whole; until then it is `NAME.part`, which the next attempt goes on with.
"""

from __future__ import annotations

import http.client
import os
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from sscd_cli.errors import ModelError, cannot_write, reason_of
from sscd_cli.models.catalogue.cache import file_digest, locked
from sscd_cli.models.files.containers import MAX_FILE
from sscd_cli.storage.files import sync_folder
from sscd_cli.text import VERSION

BLOCK = 1 << 18
AGAIN = (
    "check the network or the mirror (SSCD_MIRROR) and run it again; it goes on where it stopped"
)
ELSEWHERE = "use another source or mirror; nothing was installed"
BUSY = (408, 425, 429, 500, 502, 503, 504)
LONGEST_PAUSE = 60.0

# bytes there already, bytes in all or None while unknown
DownloadProgress = Callable[[int, int | None], None]


@dataclass(frozen=True, kw_only=True)
class Download:
    """One file to get. size and sha256: what it must be, None where nobody said.

    most: bytes that are fetched at all, whatever a server says.
    """

    url: str
    target: Path
    size: int | None = None
    sha256: str | None = None
    most: int = MAX_FILE
    attempts: int = 5
    timeout: float = 30.0
    pause: float = 1.0

    @property
    def part(self) -> Path:
        return self.target.with_name(f"{self.target.name}.part")

    @property
    def validator(self) -> Path:
        """Where the server's mark of this version of the file is kept while it is partial."""
        return self.target.with_name(f"{self.target.name}.part.etag")


class _Again(Exception):  # noqa: N818 - not an error yet
    """This attempt failed in a way that another may not.

    pause: seconds that the server asks for. attempts: more than so many are pointless.
    """

    def __init__(self, reason: str, *, pause: float = 0.0, attempts: int = 1 << 30) -> None:
        super().__init__(reason)
        self.pause = pause
        self.attempts = attempts


def download(job: Download, progress: DownloadProgress = lambda done, total: None) -> str:
    """Get the file unless it is there; return its SHA-256.

    Two processes may call it at once: the second waits and finds the first one's file. `progress`
    is called from this thread. Raises: ModelError: not there, not what it must be, no network, no
    room; what came so far is kept unless it is wrong.
    """
    if not _is_web_address(job.url):
        raise ModelError(f"cannot download from {job.url}", "use an http or https address")
    with locked(job.target, lambda: progress(_length(job.part), job.size)):
        if job.target.is_file():
            return file_digest(job.target)
        digest = _get(job, progress)
        _finish(job)
        return digest


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:  # such as "http://["
        return False
    return url.isascii() and parts.scheme in ("http", "https") and bool(parts.hostname)


def _get(job: Download, progress: DownloadProgress) -> str:
    """Complete the part and return its SHA-256, which is the expected one if there is one."""
    # a part from earlier may be of another version: then the whole file gets a second chance
    for _ in range(2 if _length(job.part) else 1):
        _retry(job, progress)
        digest = file_digest(job.part)
        if job.sha256 in (None, digest):
            return digest
        _discard(job)
    raise ModelError(
        f"{job.url} is not the expected file (SHA-256 {digest[:12]}…)",
        ELSEWHERE,
    )


def _retry(job: Download, progress: DownloadProgress) -> None:
    failures, most = 0, _length(job.part)
    while True:
        try:
            return _attempt(job, progress)
        except _Again as reason:
            got = _length(job.part)
            failures, most = (1, got) if got > most else (failures + 1, most)
            if failures >= min(job.attempts, reason.attempts):
                raise ModelError(f"cannot download {job.url}: {reason}", AGAIN) from reason
            pause = max(reason.pause, job.pause * 2 ** (failures - 1))
            time.sleep(min(pause, LONGEST_PAUSE))


def _attempt(job: Download, progress: DownloadProgress) -> None:
    have = _resumable(job)
    if job.size is not None and have == job.size:
        return
    request = urllib.request.Request(job.url, headers=_headers(job, have))
    opener = urllib.request.build_opener(_Redirects)
    try:
        response = opener.open(request, timeout=job.timeout)
    except urllib.error.HTTPError as error:
        _refused(job, error)
    except (OSError, http.client.HTTPException) as error:
        raise _lost(error) from error
    except ValueError as error:  # as urllib says of an address that a server made up
        raise ModelError(
            f"{job.url} leads to a malformed address ({error})", "use another source or mirror"
        ) from error
    else:
        with response:
            _receive(job, response, have, progress)


def _lost(error: Exception) -> _Again:
    cause = getattr(error, "reason", None) or error
    # a machine without a network should not make its user wait
    attempts = 2 if isinstance(cause, socket.gaierror) else 1 << 30
    reason = reason_of(cause) if isinstance(cause, Exception) else str(cause)
    return _Again(reason, attempts=attempts)


def _resumable(job: Download) -> int:
    """Return how many bytes of the part can be kept; a part that cannot is deleted."""
    have = _length(job.part)
    sure = job.sha256 is not None or job.validator.is_file()
    if have and (not sure or have > (job.size or job.most)):
        _discard(job)
        return 0
    return have


def _headers(job: Download, have: int) -> dict[str, str]:
    headers = {"User-Agent": f"sscd-cli/{VERSION}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if job.validator.is_file():
            headers["If-Range"] = job.validator.read_text(encoding="latin-1")
    return headers


def _refused(job: Download, error: urllib.error.HTTPError) -> None:
    error.close()
    if error.code == 416:
        _discard(job)
        raise _Again("the server has no such range") from error
    if error.code in BUSY:
        wait = error.headers.get("Retry-After", "")
        pause = float(wait) if wait.isdecimal() else 0.0
        raise _Again(f"HTTP {error.code} {error.reason}", pause=pause) from error
    raise ModelError(
        f"{job.url} answers HTTP {error.code} {error.reason}", "check the address or the mirror"
    ) from error


def _receive(job: Download, response: Any, have: int, progress: DownloadProgress) -> None:
    start, total = _extent(response.status, response.headers, have)
    if start and start != have:
        _discard(job)
        raise _Again("the server sent another range than it was asked for")
    if start and not _is_same_version(job, response.headers):
        _discard(job)
        raise _Again("the file has changed on the server")
    if not start:
        _discard(job)
    expected = job.size if job.size is not None else total
    if total is not None and (expected != total or total > job.most):
        _discard(job)
        of = f"the published file {expected}" if job.size else f"the model {job.most} at most"
        raise ModelError(f"{job.url} has {total} bytes, {of}", ELSEWHERE)
    with _disk(job):
        if not start and (mark := _mark(response.headers)):
            job.validator.write_text(mark, encoding="latin-1", errors="replace")
        with job.part.open("ab") as out:
            done = _copy(response, out, start, expected or job.most, progress)
            os.fsync(out.fileno())
    if done > (expected or job.most):
        _discard(job)
        raise ModelError(f"{job.url} sends more than the file", ELSEWHERE)
    if expected is not None and done < expected:
        raise _Again(f"the connection ended after {done} of {expected} bytes")


@contextmanager
def _disk(job: Download) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        fix = "free some space or set SSCD_CACHE to another folder, and run it again"
        raise cannot_write(job.part, error, fix, ModelError) from error


def _extent(status: int, headers: Message, have: int) -> tuple[int, int | None]:
    """Return where the body starts in the file and the file's length, None if it is not said."""
    if status != 206:
        length = headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() else None
    span, _, whole = headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
    start = span.partition("-")[0]
    return int(start) if start.isdecimal() else -1, int(whole) if whole.isdecimal() else None


def _copy(response: Any, out: IO[bytes], done: int, total: int, progress: DownloadProgress) -> int:
    """Write what comes and return how long the file is now, in vain if that is above `total`."""
    progress(done, total)
    while done <= total and (block := _read(response)):
        done += len(block)
        out.write(block)
        progress(done, total)
    return done


def _read(response: Any) -> bytes:
    try:
        block: bytes = response.read(BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise _lost(error) from error
    return block


def _is_same_version(job: Download, headers: Message) -> bool:
    """Whether an answer goes on with our part; a server without marks is left to the digest."""
    if not job.validator.is_file():
        return True
    mark = _mark(headers)
    if not mark:
        return job.sha256 is not None
    return mark == job.validator.read_text(encoding="latin-1")


def _mark(headers: Message) -> str:
    etag: str = headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else headers.get("Last-Modified", "")


def _finish(job: Download) -> None:
    with _disk(job):
        job.part.replace(job.target)
        job.validator.unlink(missing_ok=True)
    sync_folder(job.target.parent)


def _discard(job: Download) -> None:
    with _disk(job):
        job.part.unlink(missing_ok=True)
        job.validator.unlink(missing_ok=True)


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to something that can be tampered with."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        schemes = (urlsplit(req.full_url).scheme, urlsplit(newurl).scheme)
        if schemes[1] not in ("http", "https") or schemes == ("https", "http"):
            fp.close()
            raise ModelError(
                f"{req.full_url} redirects to {newurl}, which is not safe", "use another source"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)

    def http_error_302(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any
    ) -> Any:
        try:
            return super().http_error_302(req, fp, code, msg, headers)
        except ValueError:  # a malformed address, before anything closed the answer
            fp.close()
            raise

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302
