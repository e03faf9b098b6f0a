"""Leaks as JUnit XML: each pair of sets is one test case, which fails above the budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from sscd_cli.errors import printable
from sscd_cli.reports.leaks.record import GateReport, Leak, LeakReport

MOST = 100  # leaks named in the message of the failure


def junit(report: GateReport) -> Iterator[str]:
    """Yield the document, which Jenkins' schema allows.

    Ant's asks for the machine, the hour and the seconds of each case: the same sets would never
    give the same report twice.
    """
    root = Element("testsuites", _counts(report.pairs))
    for pair in report.pairs:
        _suite(root, pair)
    indent(root)
    body = tostring(root, encoding="unicode")
    yield f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _counts(pairs: Sequence[LeakReport]) -> dict[str, str]:
    failed = sum(pair.verdict == "failed" for pair in pairs)
    return {"tests": str(len(pairs)), "failures": str(failed), "errors": "0"}


def _suite(root: Element, report: LeakReport) -> None:
    """Add a pair of sets, with its one case."""
    suite = SubElement(root, "testsuite", {"name": "sscd leaks", **_counts([report])})
    properties = SubElement(suite, "properties")
    for name, value in report.facts():
        SubElement(properties, "property", {"name": name, "value": printable(value)})
    name = printable(f"{report.test} × {report.train}")
    case = SubElement(suite, "testcase", {"classname": "sscd.leaks", "name": name})
    named = "\n".join([*map(_line, report.worst(MOST)), *_rest(report)])
    if report.verdict == "failed":
        failure = {"type": "leakage", "message": printable(report.sentence)}
        SubElement(case, "failure", failure).text = named
    else:
        output = f"{report.verdict}: {printable(report.sentence)}\n{named}"
        SubElement(case, "system-out").text = output.rstrip("\n")


def _line(leak: Leak) -> str:
    match = leak.match
    pair = printable(f"{match.path} is {match.other}")
    return f"{match.similarity:.3f}  {match.band}  {leak.status}  {pair}"


def _rest(report: LeakReport) -> Iterator[str]:
    more = sum(1 for _ in report.leaks()) - MOST
    if more > 0:
        yield f"and {more:,} more"
