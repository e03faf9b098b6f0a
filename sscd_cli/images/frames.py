"""How many pictures a file holds: of an animation or a file of pages only the first is compared."""

from __future__ import annotations

from PIL import Image

# what else these formats hold are layers, sizes, a gain map or a second eye of the one picture
SEVERAL = frozenset({"GIF", "PNG", "WEBP", "TIFF", "AVIF", "HEIF", "JXL"})


def frames_of(image: Image.Image) -> int:
    """Return the number of frames or pages of an open file; the image is of no use after that.

    Decodes none of them. A file that is damaged behind its first frame counts as two.
    """
    if image.format not in SEVERAL:
        return 1
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # whatever a damaged frame raises, there is more than the first
        return 2
