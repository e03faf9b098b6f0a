"""What was fetched from servers, kept on this machine's disk while the program runs."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Hashable
from functools import lru_cache

BLOCK_BYTES = 4 << 20
MOST_BYTES = 4 << 30
MOST_SHARE = 0.25  # of the free space where temporary files lie


class BlockCache:
    """Blocks of at most `BLOCK_BYTES` in a temporary file of at most `blocks` of them.

    The one that was last used longest ago makes room. Threads may share it. The file has no name,
    so that nothing is left of it however the program ends; where it cannot grow, no block is kept.
    """

    def __init__(self, blocks: int) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        self._free = list(range(blocks))
        self._kept: OrderedDict[Hashable, tuple[int, int]] = OrderedDict()
        self._lock = threading.Lock()

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()

    def get(self, key: Hashable) -> bytes | None:
        """Return a block, None if it is not, or no longer, there."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            slot, size = self._kept[key]
            return os.pread(self._file.fileno(), size, slot * BLOCK_BYTES)

    def put(self, key: Hashable, data: bytes) -> None:
        """Keep a block."""
        with self._lock:
            if key in self._kept:
                return
            if not self._free and self._kept:
                self._free.append(self._kept.popitem(last=False)[1][0])
            if not self._free:
                return
            slot = self._free.pop()
            try:
                whole = os.pwrite(self._file.fileno(), data, slot * BLOCK_BYTES) == len(data)
            except OSError:
                whole = False
            if whole:
                self._kept[key] = slot, len(data)
            else:  # the disk is full, and what lies there is all that fits
                self._free.clear()


def block_cache() -> BlockCache:
    """Return the cache of this process."""
    # a forked process has its parent's file, but not the parent's knowledge of what is in it
    return _of_process(os.getpid())


@lru_cache(maxsize=1)
def _of_process(process: int) -> BlockCache:
    free = int(shutil.disk_usage(tempfile.gettempdir()).free * MOST_SHARE)
    return BlockCache(min(MOST_BYTES, free) // BLOCK_BYTES)
