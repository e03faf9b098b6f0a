"""The page from a server on this machine: previews on demand, decisions written as they are made.

It listens on the loopback address only, and answers only those who know the token that is part
of each address: no other user of the machine, and no page of another site.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sscd_cli.errors import SscdError
from sscd_cli.machines.hardware import core_count
from sscd_cli.text import from_json

LOOPBACK = "127.0.0.1"
MOST_BYTES = 16 << 20  # of decisions in one request
_PREVIEW = re.compile(r"preview/(\d{1,12})(\?full)?")


@dataclass(frozen=True)
class Site:
    """What is served.

    page: pieces of the document. preview: of the image of a number, small or with all pixels, a
    JPEG file or the reason why there is none; raises IndexError. write: keeps decisions.
    """

    page: Callable[[], Iterator[str]]
    preview: Callable[[int, bool], bytes | str]
    write: Callable[[list[Any]], None]


class Server(ThreadingHTTPServer):
    """A site at an address that begins with its token."""

    daemon_threads = True

    def __init__(self, site: Site, port: int = 0) -> None:
        self.site = site
        self.token = secrets.token_urlsafe(18)
        self.decoding = threading.BoundedSemaphore(core_count())
        self.writing = threading.Lock()
        super().__init__((LOOPBACK, port), _Handler)

    @property
    def address(self) -> str:
        """Return the address of the page."""
        return f"http://{LOOPBACK}:{self.server_port}/{self.token}/"


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version, sys_version = "sscd", ""
    timeout = 60

    def do_GET(self) -> None:
        name = self._name()
        if name == "":
            self._send_page()
        elif name is not None and (match := _PREVIEW.fullmatch(name)):
            self._send_preview(int(match[1]), bool(match[2]))
        else:
            self._refuse(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        name = self._name()
        if name == "decisions":
            self._write()
        elif name == "finish":
            self._answer(b"", "text/plain")
            threading.Thread(target=self.server.shutdown).start()
        else:
            self._refuse(HTTPStatus.NOT_FOUND)

    def _name(self) -> str | None:
        """Return what is asked for; None of a stranger."""
        host = f"{LOOPBACK}:{self.server.server_port}"
        origin = self.headers.get("Origin", f"http://{host}")
        # a name that leads here would be another site's page
        if self.headers.get("Host") != host or origin != f"http://{host}":
            return None
        token, slash, name = self.path[1:].partition("/")
        known = secrets.compare_digest(token.encode(), self.server.token.encode())
        return name if known and slash else None

    def _send_page(self) -> None:
        self._begin("text/html; charset=utf-8")
        self.send_header("Connection", "close")
        self.end_headers()
        for piece in self.server.site.page():
            self.wfile.write(piece.encode())

    def _send_preview(self, number: int, full: bool) -> None:
        try:
            with self.server.decoding:
                made = self.server.site.preview(number, full)
        except IndexError:
            made = "there is no such image"
        if isinstance(made, str):
            self._refuse(HTTPStatus.NOT_FOUND, made)
        else:
            self._answer(made, "image/jpeg", "private, max-age=3600")

    def _write(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        if not 0 < size <= MOST_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return
        try:
            decisions = from_json(self.rfile.read(size))
            with self.server.writing:
                self.server.site.write(decisions)
        except (ValueError, KeyError, TypeError) as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
        except (OSError, SscdError) as error:
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
        else:
            self._answer(b"", "text/plain")

    def _answer(self, data: bytes, kind: str, cache: str = "no-store") -> None:
        self._begin(kind, cache)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _begin(self, kind: str, cache: str = "no-store") -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", cache)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")

    def _refuse(self, status: HTTPStatus, reason: str = "") -> None:
        data = (reason or status.phrase).encode("utf-8", "backslashreplace")
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def handle(self) -> None:
        """Answer one request; a browser that goes away is no failure."""
        try:
            super().handle()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def log_message(self, format: str, *values: Any) -> None:
        """Say nothing: stderr is for the summary."""
