"""The review page at many clusters: how long it takes to write, to open, and to answer a key.

    python tests/bench/bench_review.py [--clusters 1000 10000 100000]

Each cluster is a pair of JPEGs of 1024 × 768 pixels, the gallery of the tests under many names.
`--serve` shows the memory of the server, while the page is fetched and previews are asked for; the
keys are pressed in Chromium, on the served page of up to 10,000 clusters. The status is 1 above the
limits of a key and of the server's growth.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import astuple
from pathlib import Path
from statistics import median
from typing import Any

from bench_header import header, took
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from browser import browser
from review_reports import clusters_report, hash_of, member

GALLERY = Path(__file__).parents[1] / "data" / "gallery"
SSCD = [sys.executable, "-m", "sscd_cli"]
KEY_MS, GROWN_MB, MOST_KEYED = 250, 60, 10_000
PREVIEWS = 300  # asked for one by one
KEYS = ("r", "k", "n", "s", "Backspace", "ArrowRight", "2", "1")
# from the key to the frame that shows its effect, and to both pictures
TIMED = """new Promise((done) => {
  const start = performance.now();
  document.body.dispatchEvent(new KeyboardEvent('keydown', { key: %s, bubbles: true }));
  requestAnimationFrame(() => setTimeout(() => {
    const keyed = performance.now() - start;
    const all = [...document.querySelectorAll('#stage figure img')].map((one) => one.decode());
    Promise.allSettled(all).then(() => done([keyed, performance.now() - start]));
  }));
})"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--clusters", type=int, nargs="+", default=[1000, 10_000, 100_000])
    options = parser.parse_args()
    print(header(("pillow",)), "\n")
    print("| clusters of two | what | seconds | of CPU | peak, MB |")
    print("| ---: | --- | ---: | ---: | ---: |")
    served = [measured(count) for count in options.clusters]
    grown = max(peak for peak, _ in served) - served[0][0]
    key = max(key for _, key in served)
    print(f"\nThe server grew by {grown:.0f} MB; the slowest key took {key:.0f} ms.")
    return int(grown > GROWN_MB or key > KEY_MS)


def measured(count: int) -> tuple[float, float]:
    """Print the rows of so many clusters; return the server's peak in MB and the slowest key."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        report = clusters_report(folder / "report.jsonl", pairs(folder, count))
        for words in (("--previews", "0"), ()):
            page = folder / "page.html"
            said = took([*SSCD, "review", str(report), "-o", str(page), *words], cwd=folder)
            name = " ".join(["review -o", *words])
            told(count, f"`{name}`, {page.stat().st_size / 1e6:,.0f} MB", *astuple(said))
        return serve(report, folder, count)


def told(count: int, what: str, seconds: float, cpu: float = 0, peak: float = 0) -> None:
    more = f"{cpu:.2g} | {peak:.0f}" if peak else "|"
    print(f"| {count:,} | {what} | {seconds:.2g} | {more} |", flush=True)


def pairs(folder: Path, count: int) -> list[list[dict[str, Any]]]:
    """Write the files of so many pairs; return their clusters."""
    drawn = [jpeg(path, folder) for path in GALLERY.glob("*.jpg") if path.name != "torn.jpg"]
    clusters = []
    for number in range(count):
        names = [f"{kind}/{number // 1000}/{number:06}.jpg" for kind in ("kept", "copies")]
        for name in names:
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.hardlink_to(drawn[number % len(drawn)])
        ids = [str(folder / name) for name in names]
        size = {"width": 1024, "height": 768, "format": "JPEG"}
        kept = member(names[0], id=ids[0], content_hash=hash_of(names[0]), **size)
        similarity = 0.6 + 0.4 * number / count
        clusters.append([kept, member(names[1], names[0], similarity, id=ids[1], **size)])
    return clusters


def jpeg(path: Path, folder: Path) -> Path:
    made = folder / path.name
    Image.open(path).convert("RGB").resize((1024, 768)).save(made, quality=80)
    return made


def serve(report: Path, folder: Path, count: int) -> tuple[float, float]:
    """Ask a server for the page, previews and decisions; return its peak and the slowest key."""
    words = [*SSCD, "review", str(report), "--serve", "--decisions", "said.jsonl"]
    start = time.perf_counter()
    with subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE) as process:
        assert process.stdout
        address = process.stdout.readline().decode().strip()
        told(
            count, "`review --serve` until it answers", time.perf_counter() - start, *used(process)
        )
        start = time.perf_counter()
        size = len(asked(address)) / 1e6
        told(count, f"its page ({size:.1f} MB)", time.perf_counter() - start, *used(process))
        start = time.perf_counter()
        for number in random.Random(0).choices(range(2 * count), k=PREVIEWS):
            asked(f"{address}preview/{number}")
        told(count, f"{PREVIEWS} previews, one by one", time.perf_counter() - start, *used(process))
        key = keyed(address, folder / "profile", count) if count <= MOST_KEYED else 0.0
        _, most = used(process)
        asked(f"{address}finish", b"")
        process.wait(60)
    return most, key


def asked(address: str, data: bytes | None = None) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(address, data)) as answer:
        return bytes(answer.read())


def used(process: subprocess.Popen[bytes]) -> tuple[float, float]:
    """Return the seconds of CPU of a running process, and the most memory it had at once, in MB."""
    folder = Path(f"/proc/{process.pid}")
    user, system = (folder / "stat").read_text().rpartition(")")[2].split()[11:13]
    status = (folder / "status").read_text().splitlines()
    peak = next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK"), peak


def keyed(address: str, profile: Path, count: int) -> float:
    """Press keys on a page; return the milliseconds of the slowest, of the medians of each."""
    with browser(profile) as page:
        start = time.perf_counter()
        page.open(address)
        told(count, "the page opens in Chromium", time.perf_counter() - start)
        slowest = {}
        for key in KEYS:
            times = [page.ask(TIMED % json.dumps(key)) for _ in range(5)]
            slowest[key] = [median(one) for one in zip(*times, strict=True)]
        assert not page.errors, page.errors
    for place, what in enumerate(("a key", "a key, and both pictures are there")):
        most = max(times[place] for times in slowest.values())
        told(count, f"{what}, the slowest of {' '.join(KEYS)}", most / 1000)
    return max(times[0] for times in slowest.values())


if __name__ == "__main__":
    sys.exit(main())
