"""Images in texts, as base64 writes their bytes out: by themselves, or as `data:` URLs."""

from __future__ import annotations

import binascii
import re

from sscd_cli.images.signatures import FIRST_BYTES, kind_of

_URL = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)
_BEGIN = FIRST_BYTES * 4 // 3 // 4 * 4  # characters; all that a signature takes
_FOR_URLS = str.maketrans("-_", "+/")


def is_written_out(text: str) -> bool:
    """Whether a text is an image, by how it begins."""
    begin = _base64_of(text[: 2 * _BEGIN + 300])[:_BEGIN]
    try:
        return kind_of(binascii.a2b_base64(_padded(begin), strict_mode=True)) != ""
    except ValueError:
        return False


def image_in(text: str) -> bytes | None:
    """Return the image that a text is; None if it is none. Raises: ValueError: it is damaged."""
    return binascii.a2b_base64(_padded(_base64_of(text))) if is_written_out(text) else None


def _base64_of(text: str) -> str:
    """Return base64 in its usual letters, on one line."""
    url = _URL.match(text)
    return "".join((text[url.end() :] if url else text).split()).translate(_FOR_URLS)


def _padded(text: str) -> str:
    text = text.rstrip("=")
    return text + "=" * (-len(text) % 4)
