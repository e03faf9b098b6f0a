"""What README and the topics of help say of the bundled network, written from its file.

    python tests/tools/bundled_figures.py

`SENTENCES` are those that hold a figure of it; tests/test_readme.py holds them to be true. What
README shows of a run of `sscd dedup` is the tool's own output on the gallery.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from sscd_cli.models.catalogue.registry import BUNDLED, BUNDLED_FILE, find_model
from sscd_cli.models.load import load_model

ROOT = Path(__file__).parents[2]
GALLERY = ROOT / "tests" / "data" / "gallery"
PAIR = ("canyon.jpg", "canyon-flipped.jpg")
SENTENCES = {
    "README.md": (
        "no `-t`: copies from {threshold}; from {look_at} on only if pixels confirm it",
        "different photographs reaches {threshold} with `sscd_mini`",
        "find_pairs(stored.descriptors, {threshold})",
        "| `sscd_mini` | bundled | {size} MB | {dimensions} | 35,249 pictures "
        "([NOTICE](NOTICE.md)) | {threshold} |",
        "# float32 (2, {dimensions})",
        "# {pair}: a copy",
    ),
    "sscd_cli/docs/thresholds.md": (
        "For the bundled network it is {threshold}, which no pair of",
        "Pairs from {look_at} on are listed, too",
    ),
    "sscd_cli/docs/reports.md": ("(for the bundled network from {look_at} to {threshold})",),
    "sscd_cli/docs/networks.md": (
        "(4.0 million weights, {size} MB in",
        "and a {dimensions}-d descriptor",
        "Images are squashed to {side} × {side}. How",
    ),
}


def figures() -> dict[str, str]:
    """Return the figures of the bundled network by the names that `SENTENCES` use."""
    spec = find_model(BUNDLED)
    left, right = load_model(device="cpu").embed([GALLERY / name for name in PAIR])
    return {
        "threshold": f"{spec.threshold:.2f}",
        "look_at": f"{spec.look_at:.2f}",
        "dimensions": str(spec.dimensions),
        "side": str(spec.recipe.size),
        "size": f"{BUNDLED_FILE.stat().st_size / 1e6:.1f}",
        "pair": f"{np.dot(left, right):.2f}",
    }


def write_figures() -> None:
    """Put the figures and the shown run into the texts."""
    found = figures()
    for name, sentences in SENTENCES.items():
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        for sentence in sentences:
            any_figure = re.sub(r"\\\{\w+\\\}", r"[\\d.]+", re.escape(sentence))
            text, count = re.subn(any_figure, sentence.format(**found).replace("\\", r"\\"), text)
            assert count, f"{name} does not say {sentence!r}"
        path.write_text(text, encoding="utf-8")
    readme = ROOT / "README.md"
    shown = re.compile(r"(?<=\$ sscd dedup ./photos\n).*?(?=```)", re.DOTALL)
    text = readme.read_text(encoding="utf-8")
    readme.write_text(shown.sub(lambda _: shown_run(), text, count=1), encoding="utf-8")


def shown_run() -> str:
    """Return what `sscd dedup ./photos` prints of the gallery, shortened to one cluster."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(GALLERY, Path(folder, "photos"))
        command = [sys.executable, "-m", "sscd_cli", "dedup", "./photos"]
        ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    clusters = (part for part in ran.stdout.split("\n\n") if "look at" not in part)
    cluster = next(part for part in clusters if part.count("remove") > 1)
    said = ran.stderr.splitlines()
    about = [line for line in said if line.startswith(("unreadable: ", "40 images: "))]
    end = [line for line in said if line.startswith(("39 images, ", "threshold "))]
    return "\n".join([cluster.strip("\n"), "…", *about, "…", *end, ""])


if __name__ == "__main__":
    write_figures()
