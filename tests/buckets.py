"""An S3 server on this machine, and pictures in buckets of it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from archives import tarred, zipped
from conftest import picture
from servers import Proxy, s3_server

from sscd_cli.storage import servers


@pytest.fixture(scope="session")
def s3() -> Iterator[Proxy]:
    """Return a server with a bucket."""
    import s3fs

    with s3_server() as server:
        s3fs.S3FileSystem(key="someone", secret="secret", endpoint_url=server.url).mkdir("photos")
        yield server


@pytest.fixture
def bucket(s3: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a place of the test's own in the bucket, with pictures 0, 1, 2 and a copy of 0.

    s3fs finds the server by the variables of AWS.
    """
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # our own tries are under test, and do not wait
    monkeypatch.setattr(servers, "PAUSE", 0.01)
    s3.faults.clear()
    url = f"s3://photos/{tmp_path.name}"
    for name, data in pictures(tmp_path).items():
        servers.write_url(f"{url}/in/{name}", data)
    s3.asked.clear()
    return url


def pictures(folder: Path) -> dict[str, bytes]:
    files = {f"{n}.png": picture(folder / f"made/{n}.png", n).read_bytes() for n in range(3)}
    return {**files, "copy.png": files["0.png"]}


def packed(folder: Path, kind: str) -> bytes:
    """Return the pictures as one file."""
    files = pictures(folder)
    if kind == "tar":
        return tarred(files)
    if kind == "zip":
        return zipped(files)
    if kind == "parquet":
        stream = io.BytesIO()
        table = pa.table({"image": list(files.values()), "key": list(files)})
        pq.write_table(table, stream, row_group_size=2)
        return stream.getvalue()
    return "".join(json.dumps({"image": f"in/{name}"}) + "\n" for name in files).encode()
