"""Every option of every command: its type, its default, and what `--help` says of it.

The one place where they are stated: a class is what a command's verb takes, and the command line
is made of its fields (`words`, `cli.command`). Those of `sscd eval` and `sscd train` are in
`evaluation.options` and `training.options`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

from sscd_cli import words
from sscd_cli.errors import UsageError
from sscd_cli.storage.places import place
from sscd_cli.words import SHARE, Argument, Help, Range

Linkage = Literal["leader", "components", "complete"]
Method = Literal["auto", "exact", "sketch", "groups"]
KeepWord = Literal["original", "resolution", "bytes", "oldest", "newest", "path", "first"]
Transform = Literal["center", "pca", "whiten", "none"]
Decode = Literal["auto", "exact", "fast"]
OutputKind = Literal["descriptor", "embedding", "logits"]
ReportFormat = Literal["text", "html", "jsonl", "csv", "parquet", "paths"]
HitFormat = Literal["text", "jsonl", "csv"]
LINKAGES: tuple[str, ...] = get_args(Linkage)
METHODS: tuple[str, ...] = get_args(Method)
KEEP_WORDS: tuple[str, ...] = get_args(KeepWord)
TRANSFORMS: tuple[str, ...] = get_args(Transform)
DECODES: tuple[Decode, ...] = get_args(Decode)
OUTPUT_KINDS: tuple[OutputKind, ...] = get_args(OutputKind)

DESCRIPTORS = Path("descriptors")
MODEL = "sscd_mini"
MAX_PIXELS = 200_000_000
MAX_BYTES = 512 << 20
CROWD = 32  # look-alikes of one image: more copies than it has, but pages of text have more
_NEEDS = Range(least=0, most=(1 << 20) - 1)
_BYTES = Range(least=1, most=(1 << 48) - 1)
AUTO = "auto"  # the threshold that was calibrated for these descriptors


@dataclass(frozen=True, kw_only=True)
class ClusterOptions(words.Options):
    """What each task of a job on a Ray cluster gets; all may be fractions, the first two of one."""

    gpus_per_task: Annotated[
        float | None, Help("GPUs; by default one, if there are any.", within=_NEEDS)
    ] = None
    cpus_per_task: Annotated[
        float | None, Help("Cores; by default a GPU's share, or one.", within=_NEEDS)
    ] = None
    memory_per_task: Annotated[float | None, Help("Memory in GiB.", within=_NEEDS)] = None

    def of(self, engine: str) -> ClusterOptions | None:
        """Return what `--engine` stands for; None is this machine alone.

        Raises: UsageError: no task can have what is asked for.
        """
        self.check()
        return self if engine == "ray" else None

    def check(self) -> None:
        """Raise UsageError for what no task can have."""
        for name, number in asdict(self).items():
            option = "--" + name.replace("_", "-")
            if number and number > 1 and number % 1 and name != "memory_per_task":
                raise UsageError(f"{option} {number:g} is no whole number", "only below 1 it may")


@dataclass(frozen=True, kw_only=True)
class SourceOptions(words.Options):
    """Which images are read, and which network makes descriptors of them."""

    sources: words.Sources
    descriptors: words.Descriptors = DESCRIPTORS
    model: words.Model = MODEL
    include: words.Include = ()
    exclude: words.Exclude = ()
    from0: words.From0 = False
    image_column: words.ImageColumn = ""
    id_column: words.IdColumn = ""
    exif: words.Exif = True
    decode: Annotated[
        Decode,
        Help("exact; fast, large images at a lower resolution; or auto, as the model says."),
    ] = "auto"
    device: words.Devices = "auto"
    precision: words.Precision = "auto"
    batch_size: words.BatchSize = None
    workers: words.Workers = None

    @property
    def devices(self) -> list[str]:
        """Those that embed; what needs one device takes the first."""
        return self.device.split(",")


@dataclass(frozen=True, kw_only=True)
class EmbedOptions(SourceOptions):
    """From images to a descriptor dataset. cluster: of which Ray runs all parts; None is none."""

    prune: Annotated[bool, Help("Drop rows of files that are gone.")] = False
    dtype: Annotated[
        Literal["float16", "float32"], Help("How descriptors are stored: float16 or float32.")
    ] = "float16"
    output_kind: Annotated[
        OutputKind,
        Help("descriptor; embedding, the pooled features; or logits, before normalisation."),
    ] = "descriptor"
    shard_rows: Annotated[
        int, Help("Images in a shard.", within=Range(least=1, most=(1 << 31) - 1))
    ] = 4096
    max_pixels: Annotated[int, Help("An image with more pixels is unreadable.", within=_BYTES)] = (
        MAX_PIXELS
    )
    max_bytes: Annotated[int, Help("A file with more bytes is unreadable.", within=_BYTES)] = (
        MAX_BYTES
    )
    task: words.Task = None
    cluster: ClusterOptions | None = None


@dataclass(frozen=True, kw_only=True)
class FitOptions(words.Options):
    """From a descriptor dataset to a post-processing file."""

    output: words.Output
    descriptors: Annotated[
        Path,
        Argument("The descriptor dataset to learn from.", value="DESCRIPTORS", parse=place),
    ] = DESCRIPTORS
    transform: Annotated[
        Transform,
        Help(
            "center, pca or whiten, each followed by L2 normalisation; none keeps only the "
            "background."
        ),
    ] = "center"
    dimensions: Annotated[
        int | None,
        Help("How many to keep; by default all.", within=Range(least=1, most=(1 << 16) - 1)),
    ] = None
    background: Annotated[
        int,
        Help("Images kept for --score-norm, at most.", within=Range(least=0, most=(1 << 31) - 1)),
    ] = 10_000
    seed: Annotated[int, Help("Of the choice of these.", within=words.SEEDS)] = 0


@dataclass(frozen=True, kw_only=True)
class IndexOptions(words.Options):
    """From a descriptor dataset to a FAISS index beside it."""

    descriptors: words.Descriptors = DESCRIPTORS
    post: words.Post = None
    factory: Annotated[str, Help("auto by size, or a FAISS factory string.")] = "auto"
    rebuild: Annotated[bool, Help("Build anew.")] = False


@dataclass(frozen=True, kw_only=True)
class SearchOptions(words.Options):
    """The nearest images of a dataset to some query images. model, precision: by default those of
    the descriptors."""

    images: Annotated[tuple[str, ...], Argument("Image files.", value="IMAGE")]
    descriptors: words.Descriptors = DESCRIPTORS
    model: words.OwnModel = None
    post: words.Post = None
    score_norm: words.ScoreNorm = None
    k: Annotated[int, Help("Nearest images to show.", "-k", within=words.NEAREST)] = 10
    device: words.Device = "auto"
    precision: words.Precision = "auto"


@dataclass(frozen=True, kw_only=True)
class DedupOptions(words.Options):
    """From a descriptor dataset to clusters, or to its matches with the dataset `against`.

    The model's own threshold holds for plain cosine only. device: where every pair is looked at;
    "auto" is a GPU where there is one and the CPU would take more than seconds. cluster: as in
    EmbedOptions.
    """

    descriptors: words.Descriptors = DESCRIPTORS
    threshold: words.Threshold = None
    against: Annotated[
        Path | None,
        Help(
            "Report only matches with this second descriptor dataset.",
            value="FOLDER",
            parse=place,
        ),
    ] = None
    post: words.Post = None
    score_norm: words.ScoreNorm = None
    linkage: Annotated[
        Linkage,
        Help(
            "leader: what goes is a copy of what stays; components: one stays; "
            "complete: all of a group are copies of all."
        ),
    ] = "leader"
    keep: Annotated[
        tuple[str, ...],
        Help(
            "What decides which copy stays, in this order: original, what its pixels say is no "
            "edited copy; resolution, bytes, oldest, newest, path, first.",
            value="WORD,…",
            separator=",",
        ),
    ] = ("original", "resolution", "bytes", "oldest", "path")
    keep_path: Annotated[
        tuple[str, ...],
        Help("What has a path like this stays before all others.", value="GLOB"),
    ] = ()
    low_content: Annotated[
        bool,
        Help(
            "Compare pictures with next to nothing in them, too, not only find their exact copies."
        ),
    ] = False
    yes: Annotated[
        bool,
        Help("Believe the threshold even where everything resembles everything: let such go, too."),
    ] = False
    method: Annotated[
        Method, Help("How pairs are found: auto by the time it takes, exact, sketch or groups.")
    ] = "auto"
    min_recall: Annotated[
        float,
        Help("Of the pairs, the share that must be found at least.", within=Range(above=0, most=1)),
    ] = 0.99
    device: words.Devices = "auto"
    cluster: ClusterOptions | None = None

    def check(self) -> None:
        """Raise UsageError for what no dataset can make possible, before any work is done."""
        check_threshold(self.threshold, self.descriptors)
        check_word("linkage", self.linkage, LINKAGES)
        check_word("method", self.method, METHODS)
        for word in self.keep or ("",):
            check_word("keep word", word, KEEP_WORDS)
        if self.cluster:
            self.check_divisible()

    def check_divisible(self) -> None:
        """Raise UsageError for what only one machine can do."""
        for option in ("against", "post", "score_norm"):
            if getattr(self, option):
                word = "--" + option.replace("_", "-")
                raise UsageError(f"{word} runs on one machine", "leave out --task and --engine")
        if self.method == "sketch":
            raise UsageError("--method sketch runs on one machine", "use exact, groups or auto")


@dataclass(frozen=True, kw_only=True)
class CalibrateOptions(words.Options):
    """The threshold of a wanted precision, for one's own images. model: None is that of the
    descriptors, by its name."""

    descriptors: words.Descriptors = DESCRIPTORS
    wanted_precision: Annotated[
        float, Help("Share of the reported pairs that are to be copies.", "-p", within=SHARE)
    ] = 0.99
    copies_per_image: Annotated[
        float | None,
        Help(
            "Copies that an image has on average, as 0.1; by default estimated from the images.",
            within=Range(above=0, most=1_000_000),
        ),
    ] = None
    images: Annotated[
        int | None,
        Help(
            "How many images will be compared; by default as many as there are.",
            within=Range(least=2, most=10**12),
        ),
    ] = None
    sample: Annotated[
        int,
        Help("Images of which edited copies are made.", within=Range(least=2, most=10_000_000)),
    ] = 100
    weights: Annotated[
        str,
        Help(
            "How often each edit is expected, as crop=2,flip=0 or all=0,jpeg=1; else all alike.",
            value="EDIT=NUMBER,…",
        ),
    ] = ""
    output: Annotated[
        Path | None,
        Help(
            "Write the threshold here; by default to threshold.json with the descriptors.",
            "-o",
            parse=words.file_to_write,
        ),
    ] = None
    post: words.Post = None
    score_norm: words.ScoreNorm = None
    seed: words.Seed = 0
    model: words.OwnModel = None
    device: words.Device = "auto"


@dataclass(frozen=True, kw_only=True)
class FilterOptions(words.Options):
    """A source without the removable images of a report."""

    source: Annotated[
        str,
        Argument(
            "A folder, a tar, zip or Parquet file, a list, or a quoted pattern of such files.",
            value="SOURCE",
        ),
    ]
    remove: Annotated[
        Path,
        Help(
            "A report of sscd dedup in jsonl, csv or parquet; - is stdin.",
            value="REPORT",
            parse=place,
        ),
    ]
    output: Annotated[
        Path, Help("What to write; it must not exist yet.", "-o", value="PLACE", parse=place)
    ]
    never_remove: Annotated[
        tuple[str, ...],
        Help("No image whose path, or a folder or file name in it, matches this.", value="GLOB"),
    ] = ()
    link: Annotated[bool, Help("Of a folder, make hard links instead of copies.")] = False
    image_column: words.ImageColumn = ""
    id_column: words.IdColumn = ""


@dataclass(frozen=True, kw_only=True)
class PairOptions(words.Options):
    """Two images, compared."""

    left: Annotated[str, Argument("An image file.", value="A")]
    right: Annotated[str, Argument("Another.", value="B")]
    model: words.Model = MODEL
    post: words.Post = None
    score_norm: words.ScoreNorm = None
    threshold: words.Threshold = None
    descriptors: Annotated[
        Path,
        Help(
            "The descriptor dataset whose threshold --threshold auto is.",
            "-d",
            value="FOLDER",
            parse=place,
        ),
    ] = DESCRIPTORS
    explain: Annotated[
        bool,
        Help("Tell which single edit accounts for the pair; embeds a few hundred more images."),
    ] = False
    exif: words.Exif = True
    device: words.Device = "auto"
    precision: words.Precision = "auto"


def check_word(kind: str, word: str, known: Sequence[str]) -> None:
    """Raise UsageError unless a word is one of the known ones."""
    if word not in known:
        raise UsageError(f"unknown {kind} {word!r}", f"use one of {', '.join(known)}")


def check_threshold(threshold: float | str | None, descriptors: Path = DESCRIPTORS) -> None:
    """Raise UsageError unless a threshold is a cosine similarity, a file that exists, or None."""
    if isinstance(threshold, str):
        path = threshold_path(threshold, descriptors)
        if not path.is_file():
            what = f"--threshold {threshold}: there is no file {path}"
            fix = "run sscd calibrate first" if threshold == AUTO else "name one of sscd calibrate"
            raise UsageError(what, f"{fix}, or a number from -1 to 1")
    elif threshold is not None and not -1 <= threshold <= 1:
        raise UsageError(
            f"--threshold {threshold:g} is no cosine similarity", "use a number from -1 to 1"
        )


def threshold_path(threshold: str, descriptors: Path) -> Path:
    """Return the file that `--threshold` names; "auto" is that which lies with the descriptors."""
    return descriptors / "threshold.json" if threshold == AUTO else place(threshold)
