"""Every option of every command with its default; the one place where defaults are stated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from sscd_cli.errors import UsageError
from sscd_cli.tasks import Task

Linkage = Literal["leader", "components", "complete"]
Method = Literal["auto", "exact", "groups"]
KeepWord = Literal["resolution", "bytes", "oldest", "newest", "path", "first"]
LINKAGES: tuple[str, ...] = get_args(Linkage)
METHODS: tuple[str, ...] = get_args(Method)
ENGINES = ("local", "ray")
KEEP_WORDS: tuple[str, ...] = get_args(KeepWord)

DESCRIPTORS = Path("descriptors")
MODEL = "sscd_mini"
MAX_PIXELS = 200_000_000
MAX_BYTES = 512 << 20
AUTO = "auto"  # the threshold that was calibrated for these descriptors
TRANSFORMS = ("center", "pca", "whiten", "none")
Decode = Literal["auto", "exact", "fast"]
DECODES: tuple[Decode, ...] = get_args(Decode)
OutputKind = Literal["descriptor", "embedding", "logits"]
OUTPUT_KINDS: tuple[OutputKind, ...] = get_args(OutputKind)


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """What each task of a job on a Ray cluster gets.

    gpus_per_task: None is one where the cluster has any. cpus_per_task: None is a GPU's share of
    the cores, and one without GPUs. Both may be fractions of one. memory_per_task: GiB.
    """

    gpus_per_task: float | None = None
    cpus_per_task: float | None = None
    memory_per_task: float | None = None

    def check(self) -> None:
        """Raise UsageError for what no task can have."""
        for name, number in asdict(self).items():
            option = "--" + name.replace("_", "-")
            if number is not None and not 0 <= number < 1 << 20:
                raise UsageError(f"{option} {number:g} is impossible", "name what a task needs")
            if number and number > 1 and number % 1 and name != "memory_per_task":
                raise UsageError(f"{option} {number:g} is no whole number", "only below 1 it may")


@dataclass(frozen=True, kw_only=True)
class EmbedOptions:
    """From images to a descriptor dataset.

    image_column, id_column: of Parquet files and lists; "" finds the images, and takes the row
    number for the id. workers: threads, or processes beside a GPU. batch_size, workers: None
    chooses by device. decode: auto does as the model says. max_pixels, max_bytes: a picture or a
    file above is unreadable. task: only this part of the images. cluster: where Ray runs all
    parts; None is this process.
    """

    sources: tuple[str, ...]
    descriptors: Path = DESCRIPTORS
    model: str = MODEL
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    null: bool = False
    image_column: str = ""
    id_column: str = ""
    exif: bool = True
    decode: Decode = "auto"
    prune: bool = False
    device: str = "auto"
    precision: str = "auto"
    batch_size: int | None = None
    workers: int | None = None
    dtype: Literal["float16", "float32"] = "float16"
    output_kind: OutputKind = "descriptor"
    shard_rows: int = 4096
    max_pixels: int = MAX_PIXELS
    max_bytes: int = MAX_BYTES
    task: Task | None = None
    cluster: ClusterOptions | None = None


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """From a descriptor dataset to a post-processing file.

    dimensions: how many are kept, None for all. background: images for score normalisation.
    """

    output: Path
    descriptors: Path = DESCRIPTORS
    transform: Literal["whiten", "pca", "center", "none"] = "center"
    dimensions: int | None = None
    background: int = 10_000
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class IndexOptions:
    """From a descriptor dataset to a FAISS index beside it."""

    descriptors: Path = DESCRIPTORS
    post: Path | None = None
    factory: str = "auto"
    rebuild: bool = False


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """The nearest images of a dataset to some query images."""

    images: tuple[str, ...]
    descriptors: Path = DESCRIPTORS
    model: str = MODEL
    post: Path | None = None
    score_norm: str | None = None
    k: int = 10
    device: str = "auto"
    precision: str = "auto"


@dataclass(frozen=True, kw_only=True)
class DedupOptions:
    """From a descriptor dataset to clusters, or to its matches with the dataset `against`.

    threshold: a number, a file of `sscd calibrate`, or "auto"; None is the model's own, which
    holds for plain cosine only. device: where every pair is looked at; "auto" is a GPU where there
    is one and the CPU would take more than seconds.
    """

    descriptors: Path = DESCRIPTORS
    against: Path | None = None
    post: Path | None = None
    score_norm: str | None = None
    threshold: float | str | None = None
    linkage: Linkage = "leader"
    keep: tuple[str, ...] = ("resolution", "bytes", "oldest", "path")
    method: Method = "auto"
    device: str = "auto"
    cluster: ClusterOptions | None = None

    def check(self) -> None:
        """Raise UsageError for what no dataset can make possible, before any work is done."""
        check_threshold(self.threshold, self.descriptors)
        check_word("linkage", self.linkage, LINKAGES)
        check_word("method", self.method, METHODS)
        for word in self.keep:
            check_word("keep word", word, KEEP_WORDS)
        if self.cluster:
            self.check_divisible()

    def check_divisible(self) -> None:
        """Raise UsageError for what only one machine can do."""
        for option in ("against", "post", "score_norm"):
            if getattr(self, option):
                word = "--" + option.replace("_", "-")
                raise UsageError(f"{word} runs on one machine", "leave out --task and --engine")


@dataclass(frozen=True, kw_only=True)
class CalibrateOptions:
    """The threshold of a wanted precision, for one's own images.

    weights: how often each edit is expected, as "crop=2,flip=0"; by default all alike. sample:
    images of which copies are made. images: how many will be compared; None: those there are.
    copies_per_image: None estimates it. model: None is the descriptors' own, by its name.
    output: None is `threshold.json` with the descriptors.
    """

    descriptors: Path = DESCRIPTORS
    wanted_precision: float = 0.99
    weights: str = ""
    sample: int = 100
    images: int | None = None
    copies_per_image: float | None = None
    output: Path | None = None
    post: Path | None = None
    score_norm: str | None = None
    model: str | None = None
    device: str = "auto"
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class FilterOptions:
    """A source without the removable images of a report.

    remove: the report; "-" is stdin. never_remove: shell patterns for an id, the name of its
    source, or a folder or file name among them. link: of a folder, make hard links instead of
    copies. Columns as in EmbedOptions.
    """

    source: str
    remove: Path
    output: Path
    never_remove: tuple[str, ...] = ()
    link: bool = False
    image_column: str = ""
    id_column: str = ""


@dataclass(frozen=True, kw_only=True)
class PairOptions:
    """Two images, compared."""

    left: str
    right: str
    model: str = MODEL
    post: Path | None = None
    score_norm: str | None = None
    threshold: float | str | None = None
    explain: bool = False
    exif: bool = True
    device: str = "auto"
    precision: str = "auto"


@dataclass(frozen=True, kw_only=True)
class EvalSelfOptions:
    """Edited copies of one's own images, searched among them."""

    sources: tuple[str, ...]
    model: str = MODEL
    post: Path | None = None
    score_norm: str | None = None
    distractors: tuple[str, ...] = ()
    limit: int | None = None
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"


@dataclass(frozen=True, kw_only=True)
class BenchmarkOptions:
    """What the benchmarks share.

    descriptors: where the images of a benchmark are embedded, a dataset for each set of them.
    codecs: how descriptors are post-processed, in FAISS's notation.
    """

    path: Path
    descriptors: Path = Path("eval-descriptors")
    codecs: tuple[str, ...] = ()
    model: str = MODEL
    device: str = "auto"
    precision: str = "auto"
    batch_size: int = 32
    workers: int | None = None


@dataclass(frozen=True, kw_only=True)
class EvalDiscOptions(BenchmarkOptions):
    """The DISC2021 protocol; names are relative to `path`.

    Without codecs: Flat, and whitening to all dimensions. score_norm: those tried beside none.
    """

    queries: Path = Path("val_query")
    references: Path = Path("val_ref")
    training: Path = Path("training")
    truth: Path = Path("val_groundtruth_matches.csv")
    score_norm: tuple[str, ...] = ("1.0[0,2]",)
    k: int = 10
    global_candidates: bool = False


@dataclass(frozen=True, kw_only=True)
class EvalCopydaysOptions(BenchmarkOptions):
    """The Copydays protocol."""

    codecs: tuple[str, ...] = ("Flat",)
    distractors: Path | None = None
    training: Path | None = None
    k: int = 100


@dataclass(frozen=True, kw_only=True)
class EvalPairsOptions:
    """A table of known pairs against a descriptor dataset; plot: pictures of the curve to draw."""

    truth: Path
    descriptors: Path = DESCRIPTORS
    post: Path | None = None
    score_norm: str | None = None
    threshold: float | str | None = None
    plot: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """A training run; the defaults are those of the paper's recommended set-up unless said."""

    sources: tuple[str, ...]
    output: Path
    trunk: str = "resnet50"
    dimensions: int = 512
    augmentations: str = "mixup"
    size: int = 224
    inference_size: int = 288
    epochs: int = 100
    batch_size: int = 4096
    temperature: float = 0.05
    entropy_weight: float = 30.0
    optimizer: str = "lars"
    learning_rate: float = 0.3
    momentum: float = 0.9
    weight_decay: float = 1e-6
    warmup_epochs: float = 5.0
    init: Path | None = None
    name: str = "custom"
    data_note: str = ""
    holdout: int = 200
    validate_every: int = 5
    workers: int = 4
    device: str = "auto"
    precision: str = "auto"
    seed: int = 0
    resume: bool = False


def check_least(option: str, number: int | None, least: int) -> None:
    """Raise UsageError for a number below the least that an option, as it is typed, allows."""
    if number is not None and number < least:
        raise UsageError(f"{option} {number} is too small", f"use {least} or more")


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
    return descriptors / "threshold.json" if threshold == AUTO else Path(threshold)
