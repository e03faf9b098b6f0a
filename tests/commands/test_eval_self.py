"""`sscd eval self`: figures of copies that are made on purpose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Run, picture


def refuse(constant: str) -> Any:
    raise AssertionError(f"{constant} is no JSON")


@pytest.mark.parametrize("format", ["text", "json"])
def test_a_precision_that_is_never_reached_has_no_threshold(
    tiny: Run, tmp_path: Path, format: str
) -> None:
    for name in ("a.png", "b.png"):  # each copy is as near to the one as to the other
        picture(tmp_path / "photos" / name, 1)
    ran = tiny("eval", "self", "photos", "-f", format)
    assert ran.status == 0, ran.err
    if format == "json":
        found = json.loads(ran.out, parse_constant=refuse)
        assert (found["recall"], found["threshold"]) == (0, None)
    else:
        assert ran.lines[-2].startswith("recall at 90% precision, which no threshold reaches; ")
        assert ran.lines[-1].startswith("at threshold 1.0000: recall ")
