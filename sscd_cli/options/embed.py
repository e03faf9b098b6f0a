"""The options that turn images into descriptors."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Literal

from sscd_cli.choices import DESCRIPTORS, MAX_BYTES, MAX_PIXELS, MODEL, Decode, OutputKind
from sscd_cli.errors import UsageError
from sscd_cli.options import shared
from sscd_cli.options.help import Help, Options, Range

_NEEDS = Range(least=0, most=(1 << 20) - 1)

_BYTES = Range(least=1, most=(1 << 48) - 1)


@dataclass(frozen=True, kw_only=True)
class ClusterOptions(Options):
    """What each task of a job on a Ray cluster gets; all may be fractions, the first two of one."""

    gpus_per_task: Annotated[
        float | None, Help("GPUs for a task; by default one, if there are any.", within=_NEEDS)
    ] = None
    cpus_per_task: Annotated[
        float | None, Help("Cores for a task; by default a GPU's share, or one.", within=_NEEDS)
    ] = None
    memory_per_task: Annotated[float | None, Help("Memory for a task, in GiB.", within=_NEEDS)] = (
        None
    )

    def of(self, engine: str) -> ClusterOptions | None:
        """Return what `--engine` stands for; None is this machine alone.

        Raises: UsageError: no task can have what is asked for.
        """
        return self if engine == "ray" else None

    def check(self) -> None:
        """Raise UsageError for what no task can have."""
        for name, number in asdict(self).items():
            option = "--" + name.replace("_", "-")
            if number and number > 1 and number % 1 and name != "memory_per_task":
                raise UsageError(f"{option} {number:g} is no whole number", "only below 1 it may")


@dataclass(frozen=True, kw_only=True)
class SourceOptions(Options):
    """Which images are read, and which network makes descriptors of them."""

    sources: shared.Sources
    descriptors: shared.Descriptors = DESCRIPTORS
    model: shared.Model = MODEL
    recipe: shared.Recipe = ""
    include: shared.Include = ()
    exclude: shared.Exclude = ()
    from0: shared.From0 = False
    image_column: shared.ImageColumn = ""
    id_column: shared.IdColumn = ""
    exif: shared.Exif = True
    decode: Annotated[
        Decode,
        Help("exact; fast, large images at a lower resolution; or auto, as the model says."),
    ] = "auto"
    device: shared.Devices = "auto"
    precision: shared.Precision = "auto"
    batch_size: shared.BatchSize = None
    workers: shared.Workers = None

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
    task: shared.Task = None
    cluster: ClusterOptions | None = None

    def check(self) -> None:
        """Raise UsageError for an impossible option, before any work is done."""
        if self.prune and self.task:
            raise UsageError("--prune needs the whole dataset", "run it without --task at the end")
