"""What a file is by its name, or by its first bytes where that does not tell; folders by name."""

from __future__ import annotations

import mimetypes
import os
import re
from collections.abc import Set
from functools import lru_cache
from importlib.util import find_spec
from pathlib import PurePosixPath

IMAGE_NAME = re.compile(
    r"\.(apng|avifs?|bmp|dds|dib|gif|hei[cf]|hif|icns|ico|j2[ck]|jfif|jp[2efgx]|jpeg|jxl|mpo"
    r"|pbm|pcx|pfm|pgm|png|pnm|ppm|psd|qoi|ras|rgba?|sgi|tga|tiff?|webp"
    r"|3fr|arw|cr[23w]|dcr|dng|erf|gpr|iiq|kdc|mef|mos|mrw|nef|nrw|orf|pef|raf|rw[2l]|s?rw|x3f)\Z",
    re.IGNORECASE,
)
PDF = ".pdf"

# what people threw away, and thumbnails, on network drives and Windows: their owners keep others
BINS = re.compile(
    r"#recycle|@recycle|@eadir|\$recycle\.bin|system volume information|#snapshot"
    r"|recycle[rd]|network trash folder|\.trash.*|\.thumbnails",
    re.IGNORECASE,
)

# captions, settings and annotations beside an image, which mean nothing without it
BESIDE = frozenset(
    {".aae", ".caption", ".cls", ".json", ".pp3", ".txt", ".xml", ".xmp", ".yaml", ".yml"}
)

FIRST_BYTES = 64
JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
# how a file of each kind begins; a kind stands before those that its signature is one of, too
KINDS = {
    "JPEG": re.escape(JPEG),
    "PNG": re.escape(PNG),
    "GIF": rb"GIF8[79]a",
    "WebP": rb"RIFF.{4}WEBP",
    "AVIF": rb".{4}ftypavi[fs]",
    "HEIC": rb".{4}ftyp(?:hei[cxms]|hev[cxms]|mif1|msf1)",
    "JPEG XL": rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n",
    "JPEG 2000": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    # more than TIFF: of Canon, Fujifilm, Panasonic, Olympus, Sigma, Minolta, Phase One
    "raw file": rb"II\*\0.{4}CR\x02|.{4}ftypcrx |II.{4}HEAPCCDR|FUJIFILMCCD-RAW|II(?:RO|RS|U\0)"
    rb"|MMOR|FOVb|\0MRM|II\*\0.{4}IIII.waR|MM\0\*.{4}MMMMRaw",
    "TIFF": rb"II[*+]\0|MM\0[*+]",
    "BMP": rb"BM.{4}\0\0\0\0",
    "PSD": rb"8BPS",
    "QOI": rb"qoif",
    "ICNS": rb"icns",
    "ICO": rb"\0\0\x01\0[\x01-\x40]\0",
    "DDS": rb"DDS ",
    "SGI": rb"\x01\xda[\0\x01][\x01\x02]",
    "Sun raster": rb"\x59\xa6\x6a\x95",
    "PNM": rb"P[1-6][\s#]|P[Ff]\s",
}
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
LFS_REASON, LFS_FIX = "a Git LFS pointer, not the file itself", "run git lfs pull"
# of files that are on their way, or that editors left: what is in them is not what it will be
UNFINISHED = (".part", ".partial", ".crdownload", ".download", ".tmp", ".temp", ".swp")
# without the machine's own table, so that a folder holds the same images everywhere
TYPES = mimetypes.MimeTypes()


def starts_as(kind: str, data: bytes) -> bool:
    """Whether a file begins as those of a kind do."""
    return re.match(KINDS[kind], data, re.DOTALL) is not None


def kind_of(data: bytes) -> str:
    """Return the kind that a file begins as, "" for none."""
    return next((kind for kind in KINDS if starts_as(kind, data)), "")


def may_be_image(name: str) -> bool:
    """Whether it is worth opening a file that is not named as an image: no other type is known."""
    return TYPES.guess_type(name)[0] is None and not name.lower().endswith(UNFINISHED)


def starts_like_image(path: str) -> bool:
    """Whether a file here begins as images do; one that cannot be read does not."""
    return kind_of(first_bytes(path)) != ""


def is_lfs_pointer(path: str) -> bool:
    """Whether a file here is what Git keeps in place of a large file."""
    return first_bytes(path).startswith(LFS_POINTER)


def first_bytes(path: str) -> bytes:
    """Return how a regular file here begins; nothing of any other, or of one out of reach."""
    try:
        # without O_NONBLOCK, opening a pipe waits for its writer
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return b""
    try:
        return os.read(file, FIRST_BYTES)
    except OSError:  # a folder, an empty pipe
        return b""
    finally:
        os.close(file)


def is_image_name(name: str) -> bool:
    """Whether the extension of `name` is that of an image format, in either case.

    That of a PDF counts where the extra that reads it is installed.
    """
    return IMAGE_NAME.search(name) is not None or (name.lower().endswith(PDF) and reads_pdf())


@lru_cache(maxsize=1)
def reads_pdf() -> bool:
    """Whether the extra for PDF files is installed; loads nothing."""
    return find_spec("pypdfium2") is not None


def is_bin(name: str) -> bool:
    """Whether a folder of this name holds what was thrown away, or thumbnails."""
    return BINS.fullmatch(name) is not None


def is_hidden(key: str) -> bool:
    """Whether a name inside a container is hidden, or lies in a hidden folder or a recycle bin."""
    parts = PurePosixPath(key).parts
    hidden = any(part.startswith(".") and part != ".." for part in parts)
    return hidden or any(map(is_bin, parts[:-1]))


def bin_of(key: str) -> str:
    """Return the recycle bin that a name inside a container lies in, "" if in none."""
    parts = PurePosixPath(key).parts
    depth = next((depth for depth, part in enumerate(parts[:-1], 1) if is_bin(part)), 0)
    return "/".join(parts[:depth])


def suffix_of(name: str) -> str:
    """Return the suffix of a file's name in lower case, as ".txt"; "" without one."""
    stem, _, suffix = name.rpartition("/")[2].rpartition(".")
    return f".{suffix.lower()}" if stem else ""


class Sidecars:
    """Which files go with images that go.

    `photo.jpg.json` goes with `photo.jpg`, and `photo.txt` with the last image called `photo`.
    """

    def __init__(self, removed: Set[str]) -> None:
        self._removed = removed
        self._stems = {_stem(key) for key in removed}

    def stays(self, image: str) -> None:
        """Note an image that stays, and with it what lies beside it."""
        self._stems.discard(_stem(image))

    def goes(self, key: str) -> bool:
        """Say whether a file that is no image goes, once all that stay are noted."""
        body, suffix = os.path.splitext(key)  # noqa: PTH122
        return suffix.lower() in BESIDE and (body in self._removed or body in self._stems)


def _stem(key: str) -> str:
    return os.path.splitext(key)[0]  # noqa: PTH122
