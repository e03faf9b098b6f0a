"""What `sscd dedup` finds and advises among photographs with planted copies.

    python tests/bench/bench_planted.py PHOTOS [--exclude NAME]... [--threshold T]...

Two hundred photographs get one copy each, four by each of the fifty edits of `sscd eval self`, and
lie beside all the others. For the default threshold and each T: the copies in a cluster of their
original, mild edits apart; what may be removed, and how much of it is no copy of what stays; the
originals that would go for their copy. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench_header import header
from PIL import Image

from sscd_cli.edits.named import EDITS

EACH = 4  # copies by every edit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--exclude", action="append", default=[])
    parser.add_argument("--threshold", action="append", default=[])
    parser.add_argument("--model", default="sscd_mini")
    options = parser.parse_args()
    print(header(("torch", "onnxruntime", "pillow")), "\n")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        mild = plant(options, folder)
        print(
            "| `sscd dedup ./photos` | mild found | all found | removable | not copies of what "
            "stays | originals that go |\n| --- | ---: | ---: | ---: | ---: | ---: |"
        )
        for words in ([], *(["-t", threshold] for threshold in options.threshold)):
            clusters = deduplicated(folder, ["-m", options.model, *words])
            print(f"| {' '.join(words) or 'no `-t`'} | {row(clusters, mild)} |", flush=True)


def plant(options: argparse.Namespace, folder: Path) -> dict[str, bool]:
    """Write photographs and copies; return of each copy, by its stem, whether its edit is mild."""
    paths = sorted(p for p in options.photos.iterdir() if p.suffix in {".jpg", ".png"})
    paths = [path for path in paths if path.name not in options.exclude]
    for path in paths:
        shutil.copy(path, folder)
    rng, mild = random.Random(0), {}
    chosen = rng.sample(paths, EACH * len(EDITS))
    for number, path in enumerate(chosen):
        edit = EDITS[number // EACH]
        with Image.open(path) as image, Image.open(rng.choice(paths)) as other:
            copy = edit.apply(image.convert("RGB"), rng, other.convert("RGB"))
        copy.save(folder / f"copy-{path.stem}.jpg", quality=90)
        mild[path.stem] = edit.mild
    return mild


def deduplicated(folder: Path, words: list[str]) -> list[list[dict[str, Any]]]:
    command = [sys.executable, "-m", "sscd_cli", "dedup", ".", "-f", "jsonl", "-q", *words]
    ran = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    records = map(json.loads, ran.stdout.splitlines())
    return [record["members"] for record in records if "cluster" in record]


def row(clusters: list[list[dict[str, Any]]], mild: dict[str, bool]) -> str:
    found, removable, wrong, lost = set(), 0, 0, 0
    for members in clusters:
        stems = {Path(member["path"]).stem for member in members}
        found |= {stem for stem in mild if {stem, f"copy-{stem}"} <= stems}
        for member in members:
            if member["keep"] or member["band"] == "look at it":
                continue
            went, stays = (Path(path).stem for path in (member["path"], member["keeper"]))
            removable += 1
            wrong += went.removeprefix("copy-") != stays.removeprefix("copy-")
            lost += went == stays.removeprefix("copy-")
    soft = [stem for stem in mild if mild[stem]]
    counts = (
        f"{len(found & set(soft))} of {len(soft)}",
        f"{len(found)} of {len(mild)}",
        *map(str, (removable, wrong, lost)),
    )
    return " | ".join(counts)


if __name__ == "__main__":
    main()
