"""`sscd search` among its pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Run, picture

from sscd_cli.models.runtime.torch_runtime import Runtime


def test_of_many_queries_a_few_are_decoded_at_a_time(
    tiny: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{seed:02d}.png" for seed in range(40)]
    for seed, name in enumerate(names):
        picture(tmp_path / name, seed)
    assert tiny("embed", *names).status == 0
    embed, sizes = Runtime.embed, []

    def counted(runtime: Runtime, pixels: Any, kind: Any) -> Any:
        sizes.append(len(pixels))
        return embed(runtime, pixels, kind)

    monkeypatch.setattr(Runtime, "embed", counted)
    found = [json.loads(line) for line in tiny("search", *names, "-k", "1", "-f", "jsonl").lines]
    assert [hit["query"] for hit in found] == names
    assert [Path(hit["path"]).name for hit in found] == names
    assert sizes == [32, 8]
