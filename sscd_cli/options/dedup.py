"""The options of `sscd dedup`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from sscd_cli.choices import (
    DESCRIPTORS,
    KEEP_WORDS,
    RECALL,
    Linkage,
    Method,
    check_threshold,
    check_word,
)
from sscd_cli.errors import UsageError
from sscd_cli.options import shared
from sscd_cli.options.embed import ClusterOptions
from sscd_cli.options.help import Help, Options, Range
from sscd_cli.storage.places import place


@dataclass(frozen=True, kw_only=True)
class DedupOptions(Options):
    """From a descriptor dataset to clusters, or to its matches with the dataset `against`.

    The model's own threshold holds for plain cosine only. device: where every pair is looked at;
    "auto" is a GPU where there is one and the CPU would take more than seconds. cluster: as in
    EmbedOptions.
    """

    descriptors: shared.Descriptors = DESCRIPTORS
    threshold: shared.Threshold = None
    against: Annotated[
        Path | None,
        Help(
            "Report only matches with this second descriptor dataset.",
            value="FOLDER",
            parse=place,
        ),
    ] = None
    post: shared.Post = None
    score_norm: shared.ScoreNorm = None
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
            "edited copy; resolution, bytes; format, what loses least; source, as they are "
            "named; oldest, newest, path, first.",
            value="WORD,…",
            separator=",",
        ),
    ] = ("original", "resolution", "bytes", "format", "source", "oldest", "path")
    keep_path: Annotated[
        tuple[str, ...],
        Help("What has a path like this stays before all others.", value="GLOB"),
    ] = ()
    low_content: shared.LowContent = False
    second_look: Annotated[
        bool,
        Help(
            "Compare the pixels of what would go and what would stay: another shot stays, to be "
            "looked at, and so does what they do not confirm below the model's own threshold."
        ),
    ] = True
    yes: shared.Yes = False
    decisions: shared.Decisions = None
    method: Annotated[
        Method, Help("How pairs are found: auto by the time it takes, exact, sketch or groups.")
    ] = "auto"
    min_recall: Annotated[
        float,
        Help("The least share of the pairs that must be found.", within=Range(above=0, most=1)),
    ] = RECALL
    device: shared.Devices = "auto"
    cluster: ClusterOptions | None = None

    @property
    def believed(self) -> bool:
        """Whether the threshold is to be trusted even where images resemble one another."""
        return self.yes or isinstance(self.threshold, str)

    def check(self) -> None:
        """Raise UsageError for what no dataset can make possible, before any work is done."""
        check_threshold(self.threshold)
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
