"""Keys of buckets as folders and files: one may hold "//", or be that of a file and of a folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def info_of(fs: Any, name: str, named_as_folder: bool) -> Mapping[str, Any]:
    """Return what a server tells of a name, which in a bucket may be a file's and a folder's.

    Then it is the folder if it is named so, or if the file is an empty mark of it.
    """
    info: Mapping[str, Any] = fs.info(name)
    if _is_bucket(fs) and info["type"] == "file" and (named_as_folder or not info.get("size")):
        below = f"{name.rstrip('/')}/"
        if any(other["name"].startswith(below) for other in fs.ls(name, detail=True)):
            return {"name": name, "type": "directory", "size": 0}
    return info


def listing(fs: Any, folder: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield what lies in a folder by its names, with what the server tells of it.

    No folder can be listed whose name is empty, so all that lies below it comes with names that
    begin with "/"; nor one in such a folder of the bucket itself, of which all comes at once.
    """
    nameless, (bucket, _, key) = f"{folder}/", folder.partition("/")
    if _is_bucket(fs) and key.startswith("/"):
        infos = [*fs.find(bucket, prefix=f"{key}/", detail=True).values()]
    else:
        infos = fs.ls(folder, detail=True)
    if any(info["name"] == nameless and info["type"] == "directory" for info in infos):
        infos += fs.find(folder, prefix="/", detail=True).values()
    for info in infos:
        path = info["name"].rstrip("/")
        # an empty object may stand for the folder that it is called
        is_mark = path == folder or info["name"].endswith("/")
        if not is_mark or info.get("size"):
            below = path.startswith(nameless)
            name = path.removeprefix(nameless) if below else path.rpartition("/")[2]
            yield name, info


def _is_bucket(fs: Any) -> bool:
    return "s3" in fs.protocol or "gs" in fs.protocol
