"""`--estimate` of `sscd embed` and `sscd dedup`."""

from __future__ import annotations

from sscd_cli.cli import terminal
from sscd_cli.options.dedup import DedupOptions
from sscd_cli.options.embed import EmbedOptions
from sscd_cli.text import bytes_text, counted


def print_embed_estimate(options: EmbedOptions) -> None:
    """Say on stdout what embedding would take."""
    from sscd_cli.commands import estimate

    found = estimate.run(options)
    todo = found.images - found.unchanged
    pace = (
        f", at {counted(round(found.images_per_second), 'images')}/s with {found.model} on "
        f"{found.device} ({found.precision}), measured with {found.probed:,}"
    )
    lines = (
        f"images   {found.images:,}, {todo:,} of them to embed",
        f"reading  {bytes_text(found.file_bytes)}",
        f"time     about {_duration(found.seconds)}{pace if found.probed else ''}",
        f"memory   about {bytes_text(found.memory_bytes)}",
        f"disk     about {bytes_text(found.disk_bytes)} in {options.descriptors}",
    )
    terminal.print_lines(lines)


def print_join_estimate(options: DedupOptions) -> None:
    """Say on stdout what looking for pairs would take."""
    from sscd_cli.commands import estimate

    found = estimate.run_join(options)
    how = {
        "exact": "all of them",
        "sketch": "all of them by sketches",
        "groups": "by sketches within groups, where they are likely",
    }[found.plan.method]
    how += f", on {found.plan.device}" if found.plan.device else ""
    lines = (
        f"images   {found.images:,}",
        f"pairs    {found.images * (found.images - 1) // 2:,}, looked at {how}",
        f"time     about {_duration(found.plan.seconds)}",
        f"memory   about {bytes_text(found.memory_bytes)}",
    )
    terminal.print_lines(lines)


def _duration(seconds: float) -> str:
    if seconds < 600:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min"
