"""Does the original stay? Photographs with planted edited copies, through `sscd dedup`.

    python tests/bench/bench_keepers.py PHOTOS [--images 100] [--copies 1] [--threshold 0.55]

Every photograph gets copies of different kinds, drawn in turn from the twenty names of
`edits.named`, written as JPEG files of quality 80, 90 or 95 (screenshots as PNG, the kinds
jpeg and webp as what they are). Clusters are those that hold an original and a copy of it. Prints
the share in which the original stays, by kind too, beside that of `--keep resolution,bytes,...`,
and the share of all copies that may go, for nobody is served by keeping everything.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

from PIL import Image

from sscd_cli.edits.named import EDITS, Edit

FACTS = "resolution,bytes,oldest,path"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--copies", type=int, default=1)
    parser.add_argument("--threshold", default="0.55")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--format", choices=("jpg", "png", "webp"), default="jpg")
    parser.add_argument("--into", type=Path, help="keep the files here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = str(options.into or temporary)
        kinds = plant(options, Path(folder))
        print("| kind | clusters | original stays | by resolution and bytes |")
        print("| --- | ---: | ---: | ---: |")
        ours, seconds, may_go = kept(folder, options.threshold, None)
        theirs, without, _ = kept(folder, options.threshold, FACTS)
        report(kinds, ours, theirs)
        copies = sum(len(found) - 1 for found in ours.values())
        print(f"\n{may_go / max(1, copies):.1%} of {copies} copies may go")
        print(f"{(seconds - without) / max(1, copies) * 1e3:.0f} ms a copy, reading included")


def plant(options: argparse.Namespace, folder: Path) -> dict[str, str]:
    """Write photographs and their copies; return the kind of each copy by its path."""
    rng = random.Random(options.seed)
    names = list(dict.fromkeys(edit.name for edit in EDITS))
    photos = rng.sample(
        sorted(p for p in options.photos.iterdir() if p.suffix in {".jpg", ".png", ".webp"}),
        options.images,
    )
    kinds = {}
    for number, path in enumerate(photos):
        (folder / "a" / path.name).parent.mkdir(exist_ok=True)
        # neither name nor age tells which it is
        first = rng.random() < 0.5
        original = folder / ("a" if first else "c") / path.name
        original.parent.mkdir(exist_ok=True)
        original.write_bytes(path.read_bytes())
        with Image.open(path) as image, Image.open(rng.choice(photos)) as other:
            for copy in range(options.copies):
                name = names[(number * options.copies + copy) % len(names)]
                edit = rng.choice([edit for edit in EDITS if edit.name == name])
                made = edit.apply(image.convert("RGB"), rng, other.convert("RGB"))
                target = save(
                    made, edit, folder / "b" / f"{path.stem}-{copy}.{options.format}", rng
                )
                kinds[str(target.relative_to(folder))] = name
    return kinds


def save(image: Image.Image, edit: Edit, path: Path, rng: random.Random) -> Path:
    path.parent.mkdir(exist_ok=True)
    quality = rng.choice((80, 90, 95))
    if edit.name == "screenshot":
        path = path.with_suffix(".png")
    elif edit.name in {"jpeg", "webp"}:
        path = path.with_suffix(".jpg" if edit.name == "jpeg" else ".webp")
        quality = int(edit.strength.split()[-1])
    image.save(path, quality=quality)
    return path


def kept(folder: str, threshold: str, keep: str | None) -> tuple[dict[str, list[str]], float, int]:
    """Return of each original that has copies in its cluster "" or the wrong keeper's path.

    And the seconds it took, and how many of the copies may go.
    """
    words = [sys.executable, "-m", "sscd_cli", "dedup", ".", "-t", threshold, "-f", "jsonl", "-q"]
    if keep:
        words += ["--keep", keep]
    subprocess.run([*words[:3], "embed", ".", "-q"], cwd=folder, check=True)
    began = time.perf_counter()
    ran = subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    found, may_go = {}, 0
    for line in ran.stdout.splitlines():
        record = json.loads(line)
        if "cluster" not in record:
            continue
        members = record["members"]
        originals = {Path(m["path"]).stem: m for m in members if m["path"][0] != "b"}
        for stem, member in originals.items():
            copies = [m for m in members if Path(m["path"]).stem.rpartition("-")[0] == stem]
            if copies:
                lost = "" if member["keep"] else f"{member['keeper']} {member.get('reason', '')}"
                found[stem] = [lost, *(copy["path"] for copy in copies)]
                may_go += sum(not copy["keep"] for copy in copies)
    return found, seconds, may_go


def report(kinds: dict[str, str], ours: dict[str, list[str]], theirs: dict[str, list[str]]) -> None:
    rows: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for stem, (lost, *copies) in ours.items():
        beaten = lost.split(" ")[0]
        for path in copies:
            for name in (kinds[path], "**all copies**"):
                rows[name]["all"] += 1
                rows[name]["ours"] += beaten != path
                rows[name]["theirs"] += theirs.get(stem, [""])[0].split(" ")[0] != path
        if lost:
            print(f"<!-- lost: {stem} to {lost} ({kinds.get(beaten, '')}) -->")
    for name, count in sorted(rows.items()):
        shares = (f"{count[who] / count['all']:.1%}" for who in ("ours", "theirs"))
        print(f"| {name} | {count['all']} | {' | '.join(shares)} |")
    stays = sum(not lost for lost, *_ in ours.values())
    simple = sum(not lost for lost, *_ in theirs.values())
    print(f"| **clusters** | {len(ours)} | {stays / len(ours):.1%} | {simple / len(theirs):.1%} |")


if __name__ == "__main__":
    main()
