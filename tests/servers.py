"""Servers on loopback: S3 (moto) behind a proxy that makes faults, and one of plain files."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseServer
from typing import TypeVar
from urllib.parse import unquote

AnyServer = TypeVar("AnyServer", bound=BaseServer)
OWN_HEADERS = {"content-length", "connection", "transfer-encoding", "server", "date"}


class Proxy(ThreadingHTTPServer):
    """Hands requests on to `upstream`, but for the faults that are due.

    faults: (word, part of "METHOD /path"), each for one request: "500", "503", "cut" (half of the
    body, then the end), "short" (half of the body as if it were all), "slow". asked: all requests.
    """

    def __init__(self, upstream: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.upstream = upstream
        self.faults: list[tuple[str, str]] = []
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def due(self, line: str) -> str:
        self.asked.append(line)
        for fault in self.faults:
            if fault[1] in line:
                self.faults.remove(fault)
                return fault[0]
        return ""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.due(f"{self.command} {self.path}")
        if fault in ("500", "503"):
            self._send(int(fault), [], b"<Error><Code>InternalError</Code></Error>")
            return
        if fault == "slow":
            time.sleep(0.5)
        connection = HTTPConnection("127.0.0.1", self.server.upstream, timeout=20)
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        self._send(answer.status, answer.getheaders(), answer.read(), fault)
        connection.close()

    def _send(
        self, status: int, headers: list[tuple[str, str]], body: bytes, fault: str = ""
    ) -> None:
        length = {k.lower(): v for k, v in headers}.get("content-length", str(len(body)))
        sent = body[: len(body) // 2] if fault in ("cut", "short") else body
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in OWN_HEADERS:
                self.send_header(name, value)
        if length:
            self.send_header("Content-Length", str(len(sent)) if fault == "short" else length)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        if self.command != "HEAD":
            self.wfile.write(sent)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


class _Files(Handler):
    """Files of a folder, with ranges unless the name begins with "whole".

    Of one whose name begins with "unsized" it is not said how long it is.
    """

    server: FileServer  # type: ignore[assignment]

    def _answer(self) -> None:
        path = self.server.folder / unquote(self.path.partition("?")[0].lstrip("/"))
        fault = self.server.due(f"{self.command} {self.path}")
        if fault in ("500", "503"):
            self._send(int(fault), [], b"")
        elif not path.is_file():
            self._send(404, [], b"")
        else:
            data = path.read_bytes()
            when = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(path.stat().st_mtime))
            headers = [("Last-Modified", when)]
            if path.suffix == ".html":
                headers.append(("Content-Type", "text/html; charset=utf-8"))
            span = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "")
            unsized = path.name.startswith("unsized")
            if span and not unsized and not path.name.startswith("whole"):
                start, end = int(span[1]), min(int(span[2]), len(data) - 1)
                headers.append(("Content-Range", f"bytes {start}-{end}/{len(data)}"))
                self._send(206, headers, data[start : end + 1], fault)
            else:
                headers.append(("Content-Length", "" if unsized else str(len(data))))
                self._send(200, headers, data, fault)

    do_GET = do_HEAD = _answer  # noqa: N815


class FileServer(Proxy):
    """Serves the files of a folder by HTTP."""

    def __init__(self, folder: Path) -> None:
        ThreadingHTTPServer.__init__(self, ("127.0.0.1", 0), _Files)
        self.folder = folder
        self.faults = []
        self.asked = []


@contextmanager
def running(server: AnyServer) -> Iterator[AnyServer]:
    """Serve in a thread while the context lasts."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def s3_server() -> Iterator[Proxy]:
    """Serve S3 while the context lasts, empty at first."""
    from moto.server import ThreadedMotoServer

    moto = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    moto.start()
    try:
        with running(Proxy(moto.get_host_and_port()[1])) as proxy:
            yield proxy
    finally:
        moto.stop()
