"""The options of `sscd eval`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

from sscd_cli.choices import DESCRIPTORS, MODEL
from sscd_cli.options import shared
from sscd_cli.options.help import Argument, Help, Options, Range
from sscd_cli.storage.places import place

_CODECS = "Post-processing as FAISS names it, such as 'Flat;PCAW256,L2norm,Flat'"
_K = Help(
    "Nearest references of a query that count.",
    "-k",
    within=shared.NEAREST,
    variable="SSCD_EVAL_K",
)


@dataclass(frozen=True, kw_only=True)
class EvalSelfOptions(Options):
    """Edited copies of one's own images, searched among them."""

    sources: shared.Sources
    model: shared.Model = MODEL
    recipe: shared.Recipe = ""
    post: shared.Post = None
    score_norm: shared.ScoreNorm = None
    distractors: Annotated[
        tuple[str, ...], Help("More images to search among.", value="SOURCE")
    ] = ()
    limit: Annotated[
        int | None, Help("Use the first images only.", within=Range(least=2, most=10_000_000))
    ] = None
    seed: shared.Seed = 0
    device: shared.Device = "auto"
    precision: shared.Precision = "auto"


@dataclass(frozen=True, kw_only=True)
class BenchmarkOptions(Options):
    """What the benchmarks share, and each says anew of itself.

    codecs: how descriptors are post-processed, in FAISS's notation.
    """

    path: Path
    codecs: tuple[str, ...]
    k: Annotated[int, _K]
    descriptors: Annotated[
        Path,
        Help(
            "Where images are embedded, a dataset for each set.",
            "-d",
            value="FOLDER",
            variable="SSCD_EVAL_DESCRIPTORS",
        ),
    ] = Path("eval-descriptors")
    model: shared.Model = MODEL
    device: shared.Device = "auto"
    precision: shared.Precision = "auto"
    batch_size: shared.BatchSize = 32
    workers: shared.Workers = None


@dataclass(frozen=True, kw_only=True)
class EvalDiscOptions(BenchmarkOptions):
    """The DISC2021 protocol; names are relative to `path`."""

    path: Annotated[Path, Argument("The benchmark's folder.", value="PATH")]
    queries: Annotated[Path, Help("Images or descriptors, a folder in PATH.", value="FOLDER")] = (
        Path("val_query")
    )
    references: Annotated[Path, Help("The same.", value="FOLDER")] = Path("val_ref")
    training: Annotated[
        Path, Help("The same; codecs and score normalisation need it.", value="FOLDER")
    ] = Path("training")
    truth: Annotated[Path, Help("Lines QUERY,REFERENCE: a CSV file in PATH.")] = Path(
        "val_groundtruth_matches.csv"
    )
    codecs: Annotated[
        tuple[str, ...],
        Help(f"{_CODECS}; by default Flat and whitening.", value="CODEC;…", separator=";"),
    ] = ()
    score_norm: Annotated[
        tuple[str, ...],
        Help(
            "Tried beside none, as WEIGHT[FIRST,LAST];…, or '' for none.",
            value="NORM;…",
            separator=";",
        ),
    ] = ("1.0[0,2]",)
    k: Annotated[int, _K] = 10
    global_candidates: Annotated[
        bool, Help("The best pairs overall instead, K for each query.")
    ] = False


@dataclass(frozen=True, kw_only=True)
class EvalCopydaysOptions(BenchmarkOptions):
    """The Copydays protocol."""

    path: Annotated[
        Path,
        Argument(
            "The folder with original, strong, crops and jpegqual, or its descriptors.",
            value="PATH",
        ),
    ]
    distractors: Annotated[
        Path | None, Help("More images or descriptors to search among.", value="FOLDER")
    ] = None
    training: Annotated[
        Path | None, Help("Images or descriptors that codecs learn from.", value="FOLDER")
    ] = None
    codecs: Annotated[tuple[str, ...], Help(f"{_CODECS}.", value="CODEC;…", separator=";")] = (
        "Flat",
    )
    k: Annotated[int, _K] = 100


@dataclass(frozen=True, kw_only=True)
class EvalPairsOptions(Options):
    """A table of known pairs against a descriptor dataset."""

    truth: Annotated[
        Path,
        Argument(
            "A CSV file: left,right[,label][,group]. With labels (1, 0) these pairs are "
            "compared; without, they are all the copies there are among DESCRIPTORS.",
            value="TRUTH",
            parse=place,
        ),
    ]
    descriptors: Annotated[
        Path,
        Argument("The descriptor dataset that holds the images.", value="DESCRIPTORS", parse=place),
    ] = DESCRIPTORS
    post: shared.Post = None
    score_norm: shared.ScoreNorm = None
    threshold: shared.Threshold = None
    plot: Annotated[
        tuple[Path, ...],
        Help(
            "Draw the curve into this .png or .svg file.",
            value="FILE",
            parse=partial(shared.file_to_write, option="--plot"),
        ),
    ] = ()
