"""Leaks as SARIF 2.1.0, which code hosts show beside the code and follow from run to run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from sscd_cli.choices import BANDS, EDITED, EXACT_BYTES, LOOK_AT, SAME_PIXELS
from sscd_cli.errors import printable
from sscd_cli.reports.leaks.record import ACCEPTED, KNOWN, NEW, GateReport, Leak
from sscd_cli.storage.servers import is_url
from sscd_cli.text import VERSION

MOST = 5000  # results: what GitHub shows of a run
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_URL_SIGNS = "%:/?#[]@!$&'()*+,;="  # what has a meaning in a URL stays
_RULES = {band: f"leak/{band.replace(' ', '-')}" for band in BANDS}
_MEANINGS = {
    EXACT_BYTES: "A file of the test set is, byte for byte, one of the training set.",
    SAME_PIXELS: "An image of the test set has the pixels of one of the training set.",
    EDITED: "An image of the test set is an edited copy of one of the training set.",
    LOOK_AT: "An image of the test set may be a copy of one of the training set: look at both.",
}
_HELP = "Take the image out of one of the sets, or accept the pair by a decision: sscd help ci."


def sarif(report: GateReport) -> Iterator[str]:
    """Yield the log; the fingerprint of a result is the sorted pair of content hashes."""
    leaks = report.worst(MOST)
    new = "error" if report.verdict == "failed" else "warning"
    driver = {"name": "sscd", "version": VERSION, "rules": [_rule(band) for band in BANDS]}
    run = {
        "tool": {"driver": driver},
        "invocations": [_invocation(report, len(leaks))],
        "results": [_result(leak, new) for leak in leaks],
        "properties": _properties(report),
    }
    yield json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def _rule(band: str) -> dict[str, Any]:
    """Return what GitHub wants to be told of a kind of result."""
    return {
        "id": _RULES[band],
        "shortDescription": {"text": f"A test image like a training image: {band}"},
        "fullDescription": {"text": _MEANINGS[band]},
        "help": {"text": _HELP},
    }


def _properties(report: GateReport) -> dict[str, Any]:
    if len(report.pairs) == 1:
        return {"verdict": report.verdict, **dict(report.pairs[0].facts())}
    splits = [
        {"test": pair.test, "train": pair.train, "verdict": pair.verdict, **dict(pair.facts())}
        for pair in report.pairs
    ]
    return {"verdict": report.verdict, "splits": splits}


def _invocation(report: GateReport, shown: int) -> dict[str, Any]:
    notes = [f"{pair.verdict}: {pair.sentence}" for pair in report.pairs]
    more = sum(1 for _ in report.leaks()) - shown
    if more > 0:
        notes.append(f"{more:,} more leaks are not listed here; --format json names all")
    return {
        "executionSuccessful": True,
        "toolExecutionNotifications": [
            {"level": "note", "message": {"text": printable(note)}} for note in notes
        ],
    }


def _result(leak: Leak, new: str) -> dict[str, Any]:
    match = leak.match
    result: dict[str, Any] = {
        "ruleId": _RULES[match.band],
        "ruleIndex": BANDS.index(match.band),
        "level": new if leak.status == NEW else "note",
        "message": {"text": printable(leak.sentence)},
        "locations": [_location(match.path)],
        "relatedLocations": [_location(match.other)],
        "partialFingerprints": {"contentPair/v1": leak.fingerprint},
        "properties": {"status": leak.status, "similarity": match.similarity},
    }
    if leak.status in (NEW, KNOWN):
        result["baselineState"] = "new" if leak.status == NEW else "unchanged"
    if leak.status == ACCEPTED:
        result["suppressions"] = [{"kind": "external", "status": "accepted"}]
    return result


def _location(path: str) -> dict[str, Any]:
    """Return where a person finds an image, which has no lines: code hosts ask for one."""
    artifact = {"uri": uri_of(path)}
    return {"physicalLocation": {"artifactLocation": artifact, "region": {"startLine": 1}}}


def uri_of(path: str) -> str:
    """Return the URI of a path as people see it: of a file, relative or not, or a URL."""
    name = os.fsencode(path)
    if is_url(path):
        return quote(name, _URL_SIGNS)
    return ("file://" if path.startswith("/") else "") + quote(name)
