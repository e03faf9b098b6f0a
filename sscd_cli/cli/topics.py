"""What `sscd help TOPIC` shows: the pages in `sscd_cli/docs`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from typer.core import TyperGroup

_PAGES = Path(__file__).parents[1] / "docs"


def page(topic: str) -> str | None:
    """Return the text of a page, None where there is none of that name."""
    return (_PAGES / f"{topic}.md").read_text(encoding="utf-8") if topic in titles() else None


def titles() -> dict[str, str]:
    """Return what each page is about, by the page's name: of "# Name: what" the second part."""
    found = {}
    for path in sorted(_PAGES.glob("*.md")):
        with path.open(encoding="utf-8") as file:
            found[path.stem] = file.readline().partition(": ")[2].strip()
    return found


class TopicGroup(TyperGroup):
    """A group of commands whose help lists the pages, too."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the list of pages."""
        with formatter.section("Topics, shown by sscd help TOPIC"):
            formatter.write_dl(list(titles().items()))
