"""The options of `sscd demo`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from sscd_cli.options.help import Help, Options


@dataclass(frozen=True, kw_only=True)
class DemoOptions(Options):
    """How the demonstration ends."""

    open: Annotated[bool, Help("Open the page in a browser, where there is one.")] = True
