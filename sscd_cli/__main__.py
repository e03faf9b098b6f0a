"""`python -m sscd_cli` and the console script."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status (see `sscd_cli.errors`)."""
    # Arrow's own allocator keeps what is freed, 50 MB after a shard; must be said before it loads
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    try:
        if argv is None:
            _speak_utf8()
        from sscd_cli.cli.app import run, run_alone

        return run_alone(sys.argv[1:]) if argv is None else run(argv)
    except KeyboardInterrupt:  # before there was anything to interrupt
        return 130


def _speak_utf8() -> None:
    """Start again in Python's UTF-8 mode where the locale has another encoding.

    Stored names and reports are UTF-8, or bytes as they are: in another encoding a name that is
    not ASCII would not be found, or be that of another file.
    """
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, sys.orig_argv)


if __name__ == "__main__":
    sys.exit(main())
