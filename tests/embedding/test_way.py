"""An image's way from file to shard is the one that `sscd_cli.embedding` tells, step by step."""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from conftest import picture

import sscd_cli.embedding
from sscd_cli.commands import embed
from sscd_cli.options.embed import EmbedOptions

WAY = re.findall(r"^ *([a-z_]+(?:\.[a-z_]+)+)", sscd_cli.embedding.__doc__ or "", re.MULTILINE)
ASKED = {  # what a name and a row are, what a format is, may cost and is to become; how far it is
    *("images.refs", "descriptors.schema", "descriptors.provenance", "embedding.job"),
    *("images.signatures", "images.guards", "images.colours", "images.preprocess"),
    *("storage.servers", "storage.files", "storage.locks"),
    *("commands.embed", "machines.hardware", "descriptors.shards"),
}


class Call(NamedTuple):
    """A function of the package: its module, its name, and the module that called it."""

    module: str
    name: str
    caller: str


def calls(folder: Path, images: int) -> list[Call]:
    """Embed some images, and return each call of a function in the package."""
    for number in range(images):
        picture(folder / "photos" / f"{number}.jpg", number)
    sources, descriptors = (str(folder / "photos"),), folder / "descriptors"
    options = EmbedOptions(
        sources=sources, descriptors=descriptors, workers=0, batch_size=1, shard_rows=1
    )
    found: list[Call] = []

    def note(frame: FrameType, event: str, _: Any) -> None:
        module = module_of(frame)
        if event == "call" and module:
            found.append(Call(module, frame.f_code.co_name, module_of(frame.f_back)))

    sys.setprofile(note)
    try:
        embed.run(options)
    finally:
        sys.setprofile(None)
    return found


def module_of(frame: FrameType | None) -> str:
    """Return the module of the package that a frame runs in, "" for any other."""
    name = str(frame.f_globals.get("__name__", "")) if frame else ""
    return name.removeprefix("sscd_cli.") if name.startswith("sscd_cli.") else ""


def test_an_image_goes_the_way_that_is_told(tmp_path: Path) -> None:
    assert len(WAY) <= 12
    calls(tmp_path / "0", 1)  # and import what it takes
    one, three = (calls(tmp_path / str(images), images) for images in (1, 3))
    more = Counter(call.module for call in three) - Counter(call.module for call in one)
    assert more.keys() - ASKED == {*WAY}
    named = max(at for at, call in enumerate(three) if call.name == "is_image_name")  # the last one
    entered = dict.fromkeys(call.module for call in three[named:])
    assert [module for module in entered if module in WAY[3:]] == WAY[3:]


def test_an_image_is_looked_up_read_and_decoded_once(tmp_path: Path) -> None:
    doors = Counter(
        (call.module, call.name)
        for call in calls(tmp_path, 3)
        if call.name != "__init__"
        and call.module in ("images.status", "images.read", "images.decode")
        and call.caller not in ("", call.module)
    )
    assert doors == {
        ("images.status", "stat_image"): 3,
        ("images.read", "read"): 3,
        ("images.decode", "decode_contents"): 3,
    }
