"""The first record of a report: what was compared, how, and what the report must hold to be whole.

JSON Lines begin with it and end with `{"end": true}` and its counts; CSV begins with it as a line
of JSON after "# "; Parquet has it in the metadata of its schema, under `METADATA_KEY`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sscd_cli.descriptors.read import DescriptorSet
from sscd_cli.storage.places import absolute
from sscd_cli.text import TOOL

METADATA_KEY = b"sscd_report"
COMMENT = "# "


@dataclass(frozen=True, slots=True)
class Header:
    """What made a report.

    report: what its records are. dataset, against: absolute, the second one of matches.
    threshold, scale: of all similarities in it. command: as it was typed. folder: to which the
    paths are relative. counts: "images" with a descriptor, "unreadable" ones, of matches "others"
    in the second dataset, and what the report holds: "clusters", "members", "removable" and
    "removable_bytes", or "matches" and "leaked".
    """

    report: Literal["clusters", "matches", "leaks"]
    dataset: str
    against: str | None
    model: str
    weights_sha256: str
    threshold: float
    scale: str
    command: str
    folder: str
    counts: Mapping[str, int]

    @classmethod
    def of(
        cls,
        stored: DescriptorSet,
        threshold: float,
        scale: str,
        counts: Mapping[str, int],
        *,
        against: DescriptorSet | None = None,
        command: str = "",
    ) -> Header:
        """Describe what was found in a dataset, here and now."""
        return cls(
            report="matches" if against else "clusters",
            dataset=absolute(stored.folder),
            against=absolute(against.folder) if against else None,
            model=stored.provenance.model,
            weights_sha256=stored.provenance.weights_sha256,
            threshold=round(threshold, 6),
            scale=scale,
            command=command,
            folder=os.getcwd(),  # noqa: PTH109
            counts=counts,
        )

    def record(self) -> dict[str, Any]:
        """Return the record, the counts flat in it."""
        record: dict[str, Any] = {**TOOL, **asdict(self)}
        counts: Mapping[str, int] = record.pop("counts")
        return {**record, **counts}

    def line(self) -> str:
        """Return the record as one line of JSON."""
        return json.dumps(self.record()) + "\n"

    def metadata(self) -> dict[bytes, bytes]:
        """Return the record as the metadata of a Parquet schema."""
        return {METADATA_KEY: self.line().encode()}

    def end(self) -> str:
        """Return the last record of JSON Lines."""
        return json.dumps({"end": True, **self.counts}) + "\n"
