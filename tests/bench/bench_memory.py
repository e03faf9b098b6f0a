"""Peak memory of embedding few and many small files: it must not grow with their number.

    python tests/bench/bench_memory.py [--few 1000] [--many 100000]

Each run is a process of its own over distinct tiny JPEGs; its peak is the resident set that the
kernel counted. The network is the bundled one's architecture on 64 × 64 pixels, seeded, so that
100,000 files take minutes: what could grow is what is kept of an image. The status is 1 above the
limit.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from bench_header import header
from PIL import Image

from sscd_cli.images.preprocess import RECIPES
from sscd_cli.models.files.safetensors_file import save_network
from sscd_cli.models.network import Network

LIMIT_MB = 100
RUN = """
import json, resource, sys
from sscd_cli.commands import embed
from sscd_cli.options.embed import EmbedOptions
source, store, model = sys.argv[1:]
store = __import__("pathlib").Path(store)
result = embed.run(EmbedOptions(sources=(source,), descriptors=store, model=model))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"images": result.embedded, "seconds": result.elapsed, "peak": peak}))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--few", type=int, default=1000)
    parser.add_argument("--many", type=int, default=100_000)
    options = parser.parse_args()
    print(header(("torch", "pillow", "pyarrow")), "\n")
    print("| files | images/s | peak memory, MB |\n| ---: | ---: | ---: |")
    peaks = [measured(count) for count in (options.few, options.many)]
    grown = peaks[1] - peaks[0]
    print(f"\ngrowth {grown:.0f} MB, limit {LIMIT_MB} MB")
    return int(grown > LIMIT_MB)


def measured(count: int) -> float:
    """Embed `count` files; return the peak in MB."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = make_files(Path(scratch) / "files", count)
        store = Path(scratch) / "descriptors"
        model = save_model(Path(scratch) / "small.safetensors")
        words = [sys.executable, "-c", RUN, str(folder), str(store), str(model)]
        ran = json.loads(subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout)
    assert ran["images"] == count
    print(f"| {count:,} | {count / ran['seconds']:.0f} | {ran['peak']:.0f} |", flush=True)
    return float(ran["peak"])


def save_model(path: Path) -> Path:
    torch.manual_seed(0)
    recipe = asdict(replace(RECIPES["mini-160"], name="small-64", size=64, decode="fast"))
    save_network(path, Network("mini", 256), {"name": "small", "preprocessing": recipe})
    return path


def make_files(folder: Path, count: int) -> Path:
    """Write JPEGs of 64 × 48 pixels; bytes after the end of the picture make each one different."""
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG")
    for number in range(count):
        name = folder / f"{number // 1000:04}" / f"{number:07}.jpg"
        name.parent.mkdir(exist_ok=True)
        name.write_bytes(buffer.getvalue() + number.to_bytes(4, "big"))
    return folder


if __name__ == "__main__":
    sys.exit(main())
