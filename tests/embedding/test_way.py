"""An image's way from file to shard is the one that `sscd_cli.embedding` tells, step by step."""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from conftest import picture

import sscd_cli.embedding
from sscd_cli.commands import embed
from sscd_cli.options.embed import EmbedOptions

WAY = re.findall(r"^ *([a-z_]+(?:\.[a-z_]+)+)", sscd_cli.embedding.__doc__ or "", re.MULTILINE)
ASKED = {  # what a name and a row are, what a format is, may cost and is to become; how far it is
    *("images.refs", "descriptors.schema", "descriptors.provenance", "embedding.job"),
    *("images.signatures", "images.guards", "images.colours", "images.preprocess"),
    *("storage.servers", "storage.files", "storage.locks"),
    *("commands.embed", "machines.hardware"),
}


def calls(folder: Path, images: int) -> list[tuple[str, str]]:
    """Embed some images, and return the module and name of each function called in the package."""
    for number in range(images):
        picture(folder / "photos" / f"{number}.jpg", number)
    sources, descriptors = (str(folder / "photos"),), folder / "descriptors"
    options = EmbedOptions(
        sources=sources, descriptors=descriptors, workers=0, batch_size=1, shard_rows=1
    )
    found: list[tuple[str, str]] = []

    def note(frame: FrameType, event: str, _: Any) -> None:
        name = frame.f_globals.get("__name__", "")
        if event == "call" and name.startswith("sscd_cli."):
            found.append((name.removeprefix("sscd_cli."), frame.f_code.co_name))

    sys.setprofile(note)
    try:
        embed.run(options)
    finally:
        sys.setprofile(None)
    return found


def test_an_image_goes_the_way_that_is_told(tmp_path: Path) -> None:
    assert len(WAY) <= 12
    calls(tmp_path / "0", 1)  # and import what it takes
    one, three = (calls(tmp_path / str(images), images) for images in (1, 3))
    more = Counter(module for module, _ in three) - Counter(module for module, _ in one)
    assert more.keys() - ASKED == {*WAY}
    named = max(at for at, call in enumerate(three) if call[1] == "is_image_name")  # the last one
    entered = dict.fromkeys(module for module, _ in three[named:])
    assert [module for module in entered if module in WAY[3:]] == WAY[3:]
