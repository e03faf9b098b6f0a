"""The closed lists of words and the limits that all parts share; loads nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, get_args

from sscd_cli.errors import UsageError

Linkage = Literal["leader", "components", "complete"]
Method = Literal["auto", "exact", "sketch", "groups"]
KeepWord = Literal[
    "original", "resolution", "bytes", "format", "source", "oldest", "newest", "path", "first"
]
Transform = Literal["center", "pca", "whiten", "none"]
Decode = Literal["auto", "exact", "fast"]
OutputKind = Literal["descriptor", "embedding", "logits"]
ReportFormat = Literal["text", "html", "jsonl", "csv", "parquet", "paths"]
LeakFormat = Literal["text", "json", "junit", "sarif", "markdown", "github"]
HitFormat = Literal["text", "jsonl", "csv"]
Trunk = Literal[
    "mini",
    "efficientnet_lite0",
    "resnet18",
    "resnet50",
    "resnext101_32x4d",
    "resnext101_32x8d",
]
Augmentations = Literal["simclr", "strong-blur", "advanced", "mixup", "copies"]
LookVerdict = Literal["copy confirmed", "other shot", "cannot tell"]
Reversible = Literal["quarantine", "hardlink", "reflink", "symlink", "trash"]
Action = Literal[Reversible, "delete"]  # on what may go

LINKAGES: tuple[str, ...] = get_args(Linkage)
METHODS: tuple[str, ...] = get_args(Method)
KEEP_WORDS: tuple[str, ...] = get_args(KeepWord)
TRANSFORMS: tuple[str, ...] = get_args(Transform)
OUTPUT_KINDS: tuple[OutputKind, ...] = get_args(OutputKind)

# how a file's name ends that a report of leaks is written to, and in which format
LEAK_SUFFIXES: dict[str, LeakFormat] = {
    ".txt": "text",
    ".json": "json",
    ".xml": "junit",
    ".sarif": "sarif",
    ".md": "markdown",
}

DESCRIPTORS = Path("descriptors")
MODEL = "sscd_mini"
MAX_PIXELS = 200_000_000
MAX_BYTES = 512 << 20
PREVIEWS = 1000  # within a page
SHOWN_ERRORS = 20  # of the images that cannot be read
PREVIEW_SIDE = 640  # pixels
CROWD = 32  # look-alikes of one image: more copies than it has, but pages of text have more
RECALL = 0.99  # the least share of the pairs that must be found, unless said
PLAIN = "cosine"  # the scale of similarities to which nothing was done
AUTO = "auto"  # the threshold that was calibrated for these descriptors

# what a second look at an image and its keeper says
LOOK_VERDICTS: tuple[LookVerdict, ...] = get_args(LookVerdict)
CONFIRMED, OTHER_SHOT, CANNOT_TELL = LOOK_VERDICTS

# how an image is like its keeper; of the last one nothing goes
EXACT_BYTES, SAME_PIXELS, EDITED, LOOK_AT = BANDS = (
    "exact bytes",
    "same pixels",
    "edited copy",
    "look at it",
)


def check_word(kind: str, word: str, known: Sequence[str]) -> None:
    """Raise UsageError unless a word is one of the known ones."""
    if word not in known:
        hint = f"{did_you_mean(word, known)}use one of {', '.join(known)}"
        raise UsageError(f"unknown {kind} {word!r}", hint)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the question for a word that is none of the known ones; "" where none is like it."""
    near = nearest(word.lower(), known)
    return f"did you mean {near}? " if near else ""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that is spelled most like another, None where none is like it."""
    return next(iter(get_close_matches(word, list(known), 1, cutoff=0.7)), None)


def check_threshold(threshold: float | str | None) -> None:
    """Raise UsageError for a number that is no cosine similarity; a word is for who reads files."""
    if isinstance(threshold, float | int) and not -1 <= threshold <= 1:
        raise UsageError(
            f"--threshold {threshold:g} is no cosine similarity", "use a number from -1 to 1"
        )
