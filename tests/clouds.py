"""Small servers that speak the interfaces of Google's storage and of the Hugging Face Hub.

They know what `gcsfs` and `huggingface_hub` ask of them for reading, writing (Google) and listing,
and can fail as `servers.Proxy` does; a "drop" ends the connection without an answer.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from servers import Handler, Proxy

WHEN = "2026-01-02T03:04:05.678Z"

Answer = tuple[int, dict[str, str], bytes]


class _Cloud(Handler):
    server: Cloud  # type: ignore[assignment]

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.due(f"{self.command} {unquote(self.path)}")
        if fault == "drop":
            self.close_connection = True
        elif fault.isdigit():
            self._send(int(fault), [], b"")
        else:
            url = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            status, headers, data = self.server.answer(self.command, url.path, query, body)
            span = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "")
            if status == 200 and span:
                start, end = int(span[1]), min(int(span[2]), len(data) - 1)
                headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
                status, data = 206, data[start : end + 1]
            self._send(status, list(headers.items()), data, fault)

    do_GET = do_HEAD = do_POST = do_DELETE = _answer  # noqa: N815


def _json(value: Any, status: int = 200) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(value).encode()


class Cloud(Proxy):
    """Objects by their names, and how they are asked for."""

    def __init__(self) -> None:
        ThreadingHTTPServer.__init__(self, ("127.0.0.1", 0), _Cloud)
        self.faults = []
        self.asked = []
        self.objects: dict[str, bytes] = {}

    def handle_error(self, *_: object) -> None:
        """Let clients hang up when they have seen enough."""

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> Answer:
        raise NotImplementedError

    def below(self, prefix: str) -> tuple[list[str], list[str]]:
        """Return the objects right below a prefix, and the folders."""
        names = sorted(name for name in self.objects if name.startswith(prefix))
        rests = [name.removeprefix(prefix) for name in names]
        folders = sorted({prefix + rest.partition("/")[0] for rest in rests if "/" in rest})
        return [prefix + rest for rest in rests if "/" not in rest], folders


class GoogleStorage(Cloud):
    """One bucket, "photos"."""

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> Answer:
        if path.startswith("/upload/"):
            return self._upload(query, body)
        name = unquote(path.rpartition("/b/photos/o")[2].lstrip("/"))
        if path.endswith("/b/photos/o"):
            files, folders = self.below(query.get("prefix", ""))
            items = [self._told(file) for file in files]
            return _json({"items": items, "prefixes": [f"{folder}/" for folder in folders]})
        if name not in self.objects or "/b/photos/" not in path:
            return _json({"error": {"code": 404, "message": "Not Found"}}, 404)
        if method == "DELETE":
            del self.objects[name]
            return 204, {}, b""
        if query.get("alt") == "media":
            return 200, {}, self.objects[name]
        return _json(self._told(name))

    def _upload(self, query: dict[str, str], body: bytes) -> Answer:
        head, _, rest = body.partition(b"\n--==0==\nContent-Type: ")
        name = json.loads(head.partition(b"\n\n")[2])["name"]
        if query.get("ifGenerationMatch") == "0" and name in self.objects:
            return _json({"error": {"code": 412, "message": "Precondition Failed"}}, 412)
        self.objects[name] = rest.partition(b"\n\n")[2].removesuffix(b"\n--==0==--")
        return _json(self._told(name))

    def _told(self, name: str) -> dict[str, Any]:
        md5 = base64.b64encode(hashlib.md5(self.objects[name]).digest()).decode()
        facts = {"name": name, "bucket": "photos", "size": str(len(self.objects[name]))}
        return {**facts, "md5Hash": md5, "etag": md5, "updated": WHEN, "generation": "1"}


class Hub(Cloud):
    """One data set, someone/photos, with one revision, "main"."""

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> Answer:
        path = unquote(path)
        tree = "/api/datasets/someone/photos/tree/main"
        if path.startswith(tree):
            return self._tree(path.removeprefix(tree).strip("/"))
        if path == "/api/datasets/someone/photos/paths-info/main":
            names = parse_qs(body.decode())["paths"]
            return _json([self._told(name) for name in names if name in self.objects])
        if path in ("/api/datasets/someone/photos", "/api/datasets/someone/photos/revision/main"):
            return _json({"id": "someone/photos", "sha": "0" * 40})
        name = path.removeprefix("/datasets/someone/photos/resolve/main/")
        if name not in self.objects:
            error = "EntryNotFound" if "someone/photos" in path else "RepoNotFound"
            return 404, {"X-Error-Code": error}, b""
        return 200, {"ETag": self._told(name)["oid"]}, self.objects[name]

    def _tree(self, folder: str) -> Answer:
        files, folders = self.below(f"{folder}/" if folder else "")
        if not files + folders:
            return 404, {"X-Error-Code": "EntryNotFound"}, b""
        told = [{"type": "directory", "oid": "0", "size": 0, "path": path} for path in folders]
        return _json(told + [self._told(name) for name in files])

    def _told(self, name: str) -> dict[str, Any]:
        data = self.objects[name]
        oid = hashlib.sha1(data).hexdigest()
        return {"type": "file", "oid": oid, "size": len(data), "path": name}
