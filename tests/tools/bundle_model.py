"""Make the model that the package carries from the one that a training run wrote.

    python tests/tools/bundle_model.py RUN/model.safetensors --manifest MANIFEST.csv \
        --threshold 0.55 --look-at 0.43 --threshold-source "no false pair of …" --note "…"

Weights become float16; the metadata gains the default threshold with its origin and, from the
manifest (columns `source` and `licence`), the origin of the training images.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from sscd_cli.models.catalogue.cache import file_digest
from sscd_cli.models.catalogue.registry import BUNDLED, BUNDLED_DIGEST, BUNDLED_FILE
from sscd_cli.models.files.safetensors_file import load_network, save_network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("model", type=Path)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--threshold", type=float, required=True)
    parser.add_argument("--look-at", type=float, required=True)
    parser.add_argument("--threshold-source", required=True)
    parser.add_argument("--note", default="")
    options = parser.parse_args()
    network, story = load_network(options.model)
    story |= {
        "name": BUNDLED,
        "threshold": {
            "value": options.threshold,
            "look_at": options.look_at,
            "source": options.threshold_source,
        },
        "data": "21,231 photographs from 30 repositories, listed under `origins`",
        "origins": origins(options.manifest),
        "note": options.note,
    }
    save_network(BUNDLED_FILE, network, story, torch.float16)
    digest = file_digest(BUNDLED_FILE)
    BUNDLED_DIGEST.write_text(f"{digest}  {BUNDLED_FILE.name}\n")
    print(f"{BUNDLED_FILE}: {BUNDLED_FILE.stat().st_size / 1e6:.1f} MB")


def origins(manifest: Path) -> list[dict[str, Any]]:
    """Return the sources of the training images, the largest first."""
    with manifest.open(newline="", encoding="utf-8") as file:
        counts = Counter((row["source"], row["licence"]) for row in csv.DictReader(file))
    return [
        {"source": source, "licence": licence, "images": images}
        for (source, licence), images in counts.most_common()
    ]


if __name__ == "__main__":
    main()
