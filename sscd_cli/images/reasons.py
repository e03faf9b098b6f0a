"""Why an image cannot be read, in one line and in the words of who has the file."""

from __future__ import annotations

import re

from PIL import Image, UnidentifiedImageError

from sscd_cli.errors import printable
from sscd_cli.images.signatures import LFS_FIX, LFS_POINTER, LFS_REASON, kind_of

REASON_CHARACTERS = 200
# sound files of which nothing here makes pixels, by how they begin
_NOT_READ = (
    (rb"Rar!\x1a\x07", "a RAR archive"),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (rb"PK\x03\x04", "a zip archive of another name than .zip or .cbz"),
    (rb"\x1f\x8b\x08", "a file packed by gzip"),
    (rb"BZh[1-9]1AY", "a file packed by bzip2"),
    (rb"\xfd7zXZ\0", "a file packed by xz"),
    (rb"\x28\xb5\x2f\xfd", "a file packed by Zstandard"),
    (rb"\x04\x22\x4d\x18", "a file packed by LZ4"),
    (rb".{4}ftyp(?:iso[m2-9]|mp4[12]|avc1|qt  |M4V |3gp)", "a video"),
    (rb"\x1a\x45\xdf\xa3|RIFF.{4}AVI ", "a video"),
    (rb"\s*<(?:!doctype )?html", "a web page"),
    (rb"\s*(?:<\?xml.{0,200}?>\s*)?(?:<!.{0,999}?>\s*)?<svg", "a drawing in SVG"),
    (rb"%!PS", "a PostScript file"),
    (rb"gimp xcf", "a GIMP file"),
    (rb"v/1\x01", "an OpenEXR file"),
    (rb"#\?RADIANCE", "a Radiance file"),
    (rb".{128}DICM", "a DICOM file"),
    (rb"SIMPLE  =", "a FITS file"),
    (rb"\x93NUMPY", "a NumPy array"),
    (rb"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (rb"SQLite format 3\0", "a SQLite database"),
)
_CUT = re.compile(r"truncat|unexpected end|end of file|not enough|premature|too short", re.I)
_UNKNOWN_KIND = re.compile(
    r"unsupported|not supported|unknown (?:mode|compression)|cannot handle", re.I
)


class RefusedError(ValueError):
    """An image that is not read, for a reason that is said in our own words already."""


class MissingFormatError(RefusedError):
    """A format that only an extra reads, which is not installed."""

    def __init__(self, format: str, extra: str) -> None:
        super().__init__(f"{format} needs pip install 'sscd-cli[{extra}]'")


def reason_of_failure(error: Exception, data: bytes = b"") -> str:
    """Say in one line, the same in every run, why an image could not be read.

    data: the bytes of its file, where they could be read: then the codec's words are left out.
    """
    if data.startswith(LFS_POINTER):
        return f"{LFS_REASON}; {LFS_FIX}"
    if isinstance(error, RefusedError | Image.DecompressionBombError):
        return _line(str(error))
    return _of_bytes(error, data) if data else _of_reading(error)


def _of_bytes(error: Exception, data: bytes) -> str:
    for start, kind in _NOT_READ:
        if re.match(start, data, re.DOTALL | re.IGNORECASE):
            return f"{kind}, which is not read"
    name = "PDF" if data.startswith(b"%PDF-") else kind_of(data)
    if not name:
        unknown = isinstance(error, UnidentifiedImageError)
        return "not an image in a known format" if unknown else "damaged image"
    text = str(error)
    if isinstance(error, NotImplementedError) or _UNKNOWN_KIND.search(text):
        return f"{name} of a kind that is not read"
    cut = isinstance(error, EOFError) or _CUT.search(text)
    return f"truncated {name}" if cut else f"damaged {name}"


def _of_reading(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text, kind = str(error), type(error).__name__
    if isinstance(error, ValueError) and "null" in text:  # each Python has words of its own for it
        return "a null byte in its name"
    # such as "'x'" of a KeyError, which says nothing without its kind
    told = not isinstance(error, LookupError | TypeError | AttributeError | SyntaxError)
    return _line(text if text and told else f"{kind}: {text}" if text else kind)


def _line(text: str) -> str:
    return printable(text)[:REASON_CHARACTERS]
