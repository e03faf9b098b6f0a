"""A download is whole and right, or absent: against a server on this machine that misbehaves."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from servers import running

from sscd_cli.errors import ModelError
from sscd_cli.models.catalogue.pull import Download, download

CONTENT = bytes(range(256)) * 2000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Site:
    """What the server does next: one step a request, the last one repeated.

    A step is "ok", "cut" (half of what was asked, then the line goes dead), "slow", a status code,
    "page" (an error page that claims success), "no ranges", "mixed" (ranges of any version),
    "endless" (more than the file, of no stated length), "huge" (of an absurd one), or a path to
    redirect to.
    """

    address: str = ""
    steps: list[Any] = field(default_factory=lambda: ["ok"])
    content: bytes = CONTENT
    etag: str | None = '"v1"'
    requests: list[tuple[str, str | None]] = field(default_factory=list)

    def step(self) -> Any:
        return self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]


def pour(handler: BaseHTTPRequestHandler, length: int | None) -> None:
    """Send until the other side has enough."""
    handler.send_response(200)
    if length:
        handler.send_header("Content-Length", str(length))
    handler.end_headers()
    with suppress(OSError):
        while True:
            handler.wfile.write(bytes(1 << 16))


ODD: dict[Any, Callable[[Any], None]] = {
    "page": lambda handler: handler.answer(200, b"<!DOCTYPE html><p>log in</p>", {}),
    "endless": lambda handler: pour(handler, None),
    "huge": lambda handler: pour(handler, 1 << 50),
}


def handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            site.requests.append((self.path, self.headers.get("Range")))
            step = "ok" if self.path == "/moved" else site.step()
            if isinstance(step, int):
                self.answer(step, b"no", {"Retry-After": "0"})
            elif str(step).startswith(("/", "ftp:", "http:")):
                self.answer(302, b"", {"Location": step})
            elif step in ODD:
                ODD[step](self)
            else:
                self.serve(step)

        def serve(self, step: str) -> None:
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            fresh = self.headers.get("If-Range", site.etag) == site.etag or step == "mixed"
            start = int(asked[1]) if asked and fresh and step != "no ranges" else 0
            size = len(site.content)
            if start >= size:
                self.answer(416, b"", {})
                return
            headers = {"ETag": site.etag} if site.etag else {}
            if start:
                headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
            body = site.content[start:]
            sent = body[: len(body) // 2] if step == "cut" else body
            self.answer(206 if start else 200, sent, headers, len(body), slow=step == "slow")

        def answer(
            self,
            status: int,
            body: bytes,
            headers: dict[str, str],
            length: int | None = None,
            slow: bool = False,
        ) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body) if length is None else length))
            self.end_headers()
            pieces = 8 if slow else 1
            for number in range(pieces):
                low, high = (len(body) * n // pieces for n in (number, number + 1))
                self.wfile.write(body[low:high])
                self.wfile.flush()
                time.sleep(0.05 if slow else 0)

    return Handler


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    found = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(found))
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    found.address = f"http://127.0.0.1:{server.server_address[1]}"
    with running(server):
        yield found


@pytest.fixture
def job(site: Site, tmp_path: Path) -> Download:
    return Download(
        url=f"{site.address}/model.pt",
        target=tmp_path / "models" / "model.pt",
        size=len(CONTENT),
        sha256=DIGEST,
        attempts=3,
        timeout=5,
        pause=0.01,
    )


def left_over(job: Download) -> set[str]:
    """Return what lies in the folder, the lock file aside."""
    return {path.name for path in job.target.parent.iterdir()} - {".model.pt.lock"}


def refusal(job: Download) -> str:
    with pytest.raises(ModelError) as caught:
        download(job)
    assert not job.target.exists()
    return str(caught.value)


@pytest.mark.parametrize(
    ("steps", "requests"),
    [
        (["ok"], 1),
        (["slow"], 1),
        ([500, 503, "ok"], 3),
        ([429, "ok"], 2),
        (["cut", "ok"], 2),
        (["cut", "cut", "cut", "cut", "cut", "ok"], 6),
        (["cut", "no ranges"], 2),
        (["/moved"], 2),
        ([500, "/moved"], 3),
    ],
)
def test_the_file_arrives_whole(site: Site, job: Download, steps: list[Any], requests: int) -> None:
    site.steps = steps
    assert download(job) == DIGEST
    assert job.target.read_bytes() == CONTENT
    assert left_over(job) == {"model.pt"}
    assert len(site.requests) == requests


@pytest.mark.parametrize("pinned", [True, False])
def test_a_cut_download_goes_on_where_it_stopped(site: Site, job: Download, pinned: bool) -> None:
    site.steps = ["cut", "ok"]
    download(job if pinned else replace(job, size=None, sha256=None))
    assert [asked for _, asked in site.requests] == [None, f"bytes={len(CONTENT) // 2}-"]


def test_progress_counts_up_to_the_size(site: Site, job: Download) -> None:
    site.steps = ["cut", "slow"]
    seen: list[tuple[int, int | None]] = []
    download(job, lambda done, total: seen.append((done, total)))
    assert seen[0] == (0, len(CONTENT)) and seen[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_a_part_of_another_version_is_not_mixed_in(site: Site, job: Download) -> None:
    unpinned = replace(job, size=None, sha256=None, attempts=1)
    site.steps = ["cut"]
    refusal(unpinned)
    site.steps, site.etag, site.content = ["ok"], '"v2"', CONTENT[::-1]
    download(unpinned)
    assert job.target.read_bytes() == CONTENT[::-1]


def test_a_server_that_mixes_versions_is_not_trusted(site: Site, job: Download) -> None:
    unpinned = replace(job, size=None, sha256=None)
    site.steps = ["cut"]
    refusal(replace(unpinned, attempts=1))
    site.steps, site.etag, site.content = ["mixed"], '"v2"', CONTENT[::-1]
    download(unpinned)
    assert job.target.read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("step", ["endless", "huge"])
@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_a_server_that_never_ends_does_not_fill_the_disk(
    site: Site, job: Download, step: str, size: int | None
) -> None:
    site.steps = [step]
    most: list[int] = []
    unpinned = replace(job, size=size, sha256=None, most=2 * len(CONTENT))
    with pytest.raises(ModelError, match=r"more than the file|bytes, the .*; use another source"):
        download(unpinned, lambda done, total: most.append(done))
    assert max(most, default=0) <= 3 * len(CONTENT)
    assert left_over(job) == set()


def test_a_part_that_nothing_vouches_for_is_dropped(site: Site, job: Download) -> None:
    job.target.parent.mkdir()
    job.part.write_bytes(b"x" * 1000)
    download(replace(job, size=None, sha256=None))
    assert job.target.read_bytes() == CONTENT
    assert site.requests[0][1] is None


def test_a_wrong_part_under_a_pinned_digest_is_fetched_anew(site: Site, job: Download) -> None:
    job.target.parent.mkdir()
    job.part.write_bytes(b"x" * 1000)
    assert download(job) == DIGEST
    assert [asked for _, asked in site.requests] == ["bytes=1000-", None]


@pytest.mark.parametrize("surplus", [0, 5])
def test_a_part_of_full_length_is_verified_too(site: Site, job: Download, surplus: int) -> None:
    job.target.parent.mkdir()
    job.part.write_bytes(b"x" * (len(CONTENT) + surplus))
    assert download(job) == DIGEST


@pytest.mark.parametrize(
    ("steps", "reason", "kept"),
    [
        ([404], "HTTP 404", set()),
        ([403], "HTTP 403", set()),
        ([500], "HTTP 500", set()),
        (["page"], "bytes, the published file", set()),
        (["ftp://127.0.0.1/x"], "not safe", set()),
        (["/loop"], "HTTP 302", set()),
        (["http://["], "malformed address", set()),
        (["http://..."], "malformed address", set()),
    ],
)
def test_what_cannot_be_had_leaves_nothing(
    site: Site, job: Download, steps: list[Any], reason: str, kept: set[str]
) -> None:
    site.steps = steps
    assert reason in refusal(job)
    assert left_over(job) == kept


def test_a_wrong_digest_installs_nothing(site: Site, job: Download) -> None:
    site.content = CONTENT[::-1]
    assert "not the expected file" in refusal(job)
    assert left_over(job) == set()
    assert len(site.requests) == 1


def test_a_truncated_download_keeps_its_part(site: Site, job: Download) -> None:
    site.steps = ["cut"]
    text = refusal(replace(job, attempts=1))
    assert f"ended after {len(CONTENT) // 2} of {len(CONTENT)} bytes" in text
    assert job.part.stat().st_size == len(CONTENT) // 2


def test_no_server_and_no_network_are_told(job: Download, site: Site) -> None:
    closed = replace(job, url="http://127.0.0.1:9/model.pt")
    assert "model.pt: Connection refused; check" in refusal(closed)
    assert "cannot download" in refusal(replace(job, url="http://no.invalid/model.pt"))
    for url in ("file:///etc/passwd", "nonsense", "http://[bad/a", "https:///a", "http://é.org/a"):
        assert "http or https" in refusal(replace(job, url=url))


def test_a_folder_that_cannot_be_written_is_told(job: Download, site: Site, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file is in the way")
    with pytest.raises(ModelError, match="SSCD_CACHE"):
        download(job)


def test_a_full_disk_is_told(site: Site, job: Download, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert "No space left on device" in refusal(job)


def test_an_installed_file_is_not_fetched_again(site: Site, job: Download) -> None:
    download(job)
    assert download(job) == DIGEST
    assert len(site.requests) == 1


def test_two_at_once_fetch_it_once(site: Site, job: Download) -> None:
    site.steps = ["slow"]
    digests: list[str] = []
    threads = [threading.Thread(target=lambda: digests.append(download(job))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert digests == [DIGEST] * 3
    assert len(site.requests) == 1


def test_proxies_of_the_environment_are_used(
    site: Site, job: Download, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", site.address)
    download(replace(job, url="http://models.invalid/model.pt"))
    assert site.requests[0][0] == "http://models.invalid/model.pt"


def test_a_killed_process_leaves_a_part_that_the_next_one_finishes(
    site: Site, job: Download
) -> None:
    site.content = CONTENT * 4
    whole = replace(job, size=len(site.content), sha256=hashlib.sha256(site.content).hexdigest())
    site.steps = ["slow", "ok"]
    script = (
        "import os, signal, sys; from pathlib import Path;"
        "from sscd_cli.models.catalogue.pull import Download, download;"
        "kill = lambda done, total: done > 600_000 and os.kill(os.getpid(), signal.SIGKILL);"
        "download(Download(url=sys.argv[1], target=Path(sys.argv[2])), kill)"
    )
    dead = subprocess.run([sys.executable, "-c", script, job.url, str(job.target)], check=False)
    assert dead.returncode == -signal.SIGKILL
    assert not job.target.exists() and job.part.stat().st_size > 0
    assert download(whole) == whole.sha256
    assert site.requests[-1][1] is not None
