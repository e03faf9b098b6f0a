"""Copies of photographs found by sscd and by its peers, in one run: time, memory, pairs, precision.

    python tests/bench/bench_peers.py PHOTOS [--peers PYTHON] [--immaculate PROGRAM]
        [--exclude NAME...] [--only METHOD...]

The recipe is the one that imagededup and Immaculate publish: of each photograph a crop (the middle
80 % of each side), both flips, a rotation by 25° and a square resize, JPEGs in one folder. Every
two of the six are a pair. Each method runs once, in a process of its own, as its users run it: its
defaults, from files to groups. Where a tool reports groups, all pairs in a group count.

--peers: the Python that imagededup, imagehash, pdqhash, FAISS and Pillow are installed for.
--immaculate: the program of that name. What is not there is named and left out. Memory is that of
the largest process of a method.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import types
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

Groups = Iterable[Iterable[str]]
SIDE = 500
SSCD = str(Path(sys.executable).with_name("sscd"))
EDITS: dict[str, Callable[[Any], Any]] = {
    "original": lambda image: image,
    "crop": lambda image: image.crop(_middle(image, 0.8)),
    "mirrored": lambda image: image.transpose(0),
    "upside-down": lambda image: image.transpose(1),
    "rotated": lambda image: image.rotate(25, expand=True),
    "square": lambda image: image.resize((SIDE, SIDE)),
}


@dataclass(frozen=True)
class Method:
    """A way to find copies in a folder, and to read from its output the groups of names."""

    command: list[str]
    groups: Callable[[str], Groups]


def methods(folder: Path, work: Path, peers: str, immaculate: str) -> dict[str, Method]:
    """Return all methods by name."""
    report = work / "report.jsonl"
    store = str(work / "descriptors")
    ours = [SSCD, "dedup", str(folder), "-o", str(report), "-q"]
    fast = ["-d", f"{store}-fast", "--no-second-look", "--keep", "resolution,bytes"]
    found = {
        "sscd dedup, removable": Method([*ours, "-d", store], lambda _: _removable(report)),
        "the same, with what to look at": Method([], lambda _: _named(report)),
        "sscd dedup, pixels not compared, removable": Method(
            [*ours, *fast], lambda _: _removable(report)
        ),
        "the same, pixels not compared, with what to look at": Method([], lambda _: _named(report)),
        "FAISS range search of sscd's descriptors": Method(
            [sys.executable, __file__, "--run", "faiss", store], json.loads
        ),
    }
    for method in ("pdq", "phash", "sscd_distilled", "sscd"):
        command = [immaculate, str(folder), "--json", "--method", method]
        found[f"Immaculate {method}"] = Method(command, _of_immaculate)
    for method in ("PHash", "CNN", "imagehash", "pdqhash"):
        name = f"imagededup {method}" if method in ("PHash", "CNN") else method
        command = [peers, __file__, "--run", method, str(folder)]
        found[name] = Method(command, json.loads)
    return found


def _removable(report: Path) -> Groups:
    """Return each keeper with what may go for it."""
    groups: defaultdict[str, set[str]] = defaultdict(set)
    for cluster in _records(report):
        for member in cluster["members"]:
            if not member["keep"]:
                groups[member["keeper"]] |= {member["keeper"], member["path"]}
    return groups.values()


def _named(report: Path) -> Groups:
    """Return these groups, and each image to look at with the one that it resembles."""
    yield from _removable(report)
    for cluster in _records(report):
        for member in cluster["members"]:
            if member["keep"] and member["path"] != member["keeper"]:
                yield [member["keeper"], member["path"]]


def _records(report: Path) -> Iterator[dict[str, Any]]:
    for text in report.read_text().splitlines():
        record = json.loads(text)
        if "members" in record and "cluster" in record:
            yield record


def _of_immaculate(output: str) -> Groups:
    said = json.loads(output)
    return [*said["exact"], *said["near"]]


def draw(photos: Path, folder: Path, exclude: list[str]) -> None:
    """Save each photograph and its five edits, named alike but for the edit."""
    from PIL import Image

    for path in sorted(photos.iterdir()):
        if path.suffix.lower() in (".jpg", ".jpeg", ".png") and path.name not in exclude:
            with Image.open(path) as image:
                picture = image.convert("RGB")
            for name, edit in EDITS.items():
                edit(picture).save(folder / f"{path.stem}={name}.jpg", quality=90)


def _middle(image: Any, share: float) -> tuple[int, int, int, int]:
    width, height = image.size
    left, top = int(width * (1 - share) / 2), int(height * (1 - share) / 2)
    return left, top, width - left, height - top


def run_peer(method: str, folder: Path) -> Groups:
    """Find groups or pairs of names as a peer's own documentation says; in the peer's Python."""
    if method == "faiss":
        return _faiss(folder)
    if method in ("PHash", "CNN"):
        if method == "PHash":
            _without_networks()
        from imagededup import methods as imagededup

        with contextlib.redirect_stdout(sys.stderr):
            found = getattr(imagededup, method)().find_duplicates(image_dir=str(folder))
        return [[name, other] for name, others in found.items() for other in others]
    return _by_hash(method, sorted(folder.iterdir()))


def _without_networks() -> None:
    """Let imagededup load its hashes where torch and torchvision are of different builds."""
    for name, attribute in (("utils.models", "CustomModel"), ("methods.cnn", "CNN")):
        module = types.ModuleType(f"imagededup.{name}")
        setattr(module, attribute, object)
        sys.modules[module.__name__] = module


def _by_hash(method: str, paths: list[Path]) -> Groups:
    """Group equal hashes of imagehash; pair those of PDQ that differ in at most 31 of 256 bits."""
    import numpy as np
    from PIL import Image

    if method == "imagehash":
        import imagehash

        groups: defaultdict[str, list[str]] = defaultdict(list)
        for path in paths:
            groups[str(imagehash.phash(Image.open(path)))].append(path.name)
        return groups.values()
    import pdqhash

    opened = (np.asarray(Image.open(path).convert("RGB")) for path in paths)
    bits = np.stack([pdqhash.compute(image)[0] for image in opened]).astype(np.float32)
    differ = bits @ (1 - bits).T
    near = np.argwhere(np.triu(differ + differ.T <= 31, 1)).tolist()
    return [[paths[left].name, paths[right].name] for left, right in near]


def _faiss(store: Path) -> Groups:
    """Pair stored descriptors at the model's own threshold."""
    import faiss
    import numpy as np

    from sscd_cli.descriptors.read import read_descriptors

    stored = read_descriptors(store)
    rows = np.ascontiguousarray(stored.descriptors, np.float32)
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    limits, _, others = index.range_search(rows, stored.provenance.threshold)
    lefts = np.repeat(np.arange(len(rows)), np.diff(limits.astype(np.int64)))
    kept = lefts < others
    names = [Path(name).name for name in stored.ids]
    pairs = zip(lefts[kept].tolist(), others[kept].tolist(), strict=True)
    return [[names[left], names[right]] for left, right in pairs]


def line(name: str, method: Method, total: int, before: str) -> str:
    """Run a method and return its line of the table, and its figures for one that shares its run.

    before: the figures of the method before.
    """
    figures, output = before, ""
    if method.command:
        started = time.perf_counter()
        with tempfile.TemporaryFile("w+") as stdout:
            process = subprocess.Popen(method.command, stdout=stdout, stderr=subprocess.PIPE)
            error = process.stderr.read() if process.stderr else b""
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            seconds = time.perf_counter() - started
            stdout.seek(0)
            output = stdout.read()
        if process.returncode:
            said = error.decode(errors="replace").strip().splitlines()
            raise RuntimeError(said[-1] if said else f"status {process.returncode}")
        cpu = usage.ru_utime + usage.ru_stime
        figures = f"{seconds:.1f} | {cpu:.1f} | {usage.ru_maxrss / 1024:.0f}"
    pairs = set()
    for group in method.groups(output):
        pairs |= set(combinations(sorted({Path(name).name for name in group}), 2))
    right = sum(left.partition("=")[0] == other.partition("=")[0] for left, other in pairs)
    precision = right / len(pairs) if pairs else 1.0
    print(f"| {name} | {figures} | {right:,} | {precision:.1%} | {right / total:.1%} |", flush=True)
    return figures


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--peers", default=sys.executable)
    parser.add_argument("--immaculate", default="immaculate")
    parser.add_argument("--exclude", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--only", nargs="*", metavar="METHOD")
    return parser.parse_args()


def main() -> None:
    """Print a line a method."""
    if sys.argv[1:2] == ["--run"]:
        print(json.dumps([list(group) for group in run_peer(sys.argv[2], Path(sys.argv[3]))]))
        return
    if sys.argv[1:2] == ["--draw"]:
        draw(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
        return
    from bench_header import header

    options = arguments()
    print(header(("onnxruntime", "pillow", "faiss-cpu")))
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        folder = work / "pictures"
        folder.mkdir()
        drawing = [sys.executable, __file__, "--draw", str(options.photos), str(folder)]
        subprocess.run([*drawing, *options.exclude], check=True)
        photographs = len(list(folder.iterdir())) // len(EDITS)
        total = photographs * 15
        print(f"{photographs} photographs, {6 * photographs:,} pictures, {total:,} pairs\n")
        print("| method | seconds | CPU s | peak MB | pairs found | precision | recall |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
        figures = ""
        for name, method in methods(folder, work, options.peers, options.immaculate).items():
            if options.only and not any(word in name for word in options.only):
                continue
            try:
                figures = line(name, method, total, figures)
            except (OSError, RuntimeError, ValueError) as error:
                print(f"| {name} | fails: {error} |", flush=True)


if __name__ == "__main__":
    main()
