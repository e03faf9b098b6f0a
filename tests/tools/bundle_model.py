"""Make the network that the package carries from the one that a training run wrote.

    python tests/tools/bundle_model.py RUN/model.safetensors --train TRAIN --photos PHOTOS \
        [--whiten 0.3 --pictures WORK/pictures.npy --last 14018] [--exclude NAME]... [--note TEXT]

Writes `sscd_mini.safetensors` (float16), `sscd_mini.int8.onnx` and `sscd_mini.sha256`, all from
these weights, then the figures of README and of the topics that follow from them. TRAIN holds
`train-*.tar` and their `manifest.csv` (columns `source` and `licence`). Thresholds are measured in
both precisions: no two different pictures of PHOTOS reach the default one, and from the lower one
on 95 % of what the edits of `bench_student.py` match is right, and two different pictures are a
rarity; its pictures stay in `--cache`.
`--exclude`: a photograph that is a copy of another. Nothing is written before all is measured.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import shutil
import sys
import tempfile
import zipfile
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
from bench_student import embedded, squares
from bundled_figures import write_figures

from sscd_cli.images.preprocess import Recipe
from sscd_cli.models.catalogue.cache import file_digest
from sscd_cli.models.catalogue.registry import (
    BUNDLED,
    BUNDLED_DIGEST,
    BUNDLED_FILE,
    BUNDLED_INT8,
)
from sscd_cli.models.files.quantise import Quantised, quantise_model
from sscd_cli.models.files.safetensors_file import save_network
from sscd_cli.models.files.weights import inspect_weights, read_network
from sscd_cli.models.load import Model, load_model
from sscd_cli.models.network import Network

VERSION = 7
RECIPE = Recipe("mini-160", 160, square=True, decode="fast")
SSCD_THRESHOLD, PRECISION = 0.75, 0.95
A_PAIR = 50  # photographs for one pair of different ones that may be shown to be looked at
STEP = 6  # every sixth of the training pictures tells how descriptors spread
DROPPED_BITS = 2  # of a float16's ten: what is left differs by 2⁻⁹, as in bfloat16
MOST_BYTES = 12_000_000  # of a wheel, where files are deflated


@dataclass(frozen=True)
class Measured:
    """Thresholds, and what they rest on: the highest similarity of different photographs."""

    highest: float
    threshold: float
    look_at: float
    photographs: int

    def metadata(self) -> dict[str, Any]:
        source = (
            f"no pair of {self.photographs} different photographs reaches it (the highest is "
            f"{self.highest:.3f}); from {self.look_at} on 95 % of the matches of bench_student.py "
            f"are right, and there is at most one pair for {A_PAIR} photographs"
        )
        return {"value": self.threshold, "look_at": self.look_at, "source": source}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("model", type=Path)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--exclude", action="append", default=[])
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--whiten", type=float, default=0.0, help="0, not at all, to 0.5, wholly")
    parser.add_argument("--pictures", type=Path, help="squares (N, H, W, 3) that it goes by")
    parser.add_argument("--last", type=int, default=0, help="how many of these count; 0 is all")
    parser.add_argument("--note", default="")
    options = parser.parse_args()
    network = network_of(options)
    metadata = {
        "name": BUNDLED,
        "version": VERSION,
        "licence": "MIT AND Apache-2.0",
        "preprocessing": asdict(RECIPE),
        "data": "photographs of repositories, listed under `origins`",
        "origins": origins(options.train / "manifest.csv"),
        "whitened": options.whiten,
        "note": options.note,
    }
    sample = str(min(options.train.glob("*.tar")))
    with tempfile.TemporaryDirectory() as folder:
        weights, small = Path(folder, BUNDLED_FILE.name), Path(folder, BUNDLED_INT8.name)
        written(network, metadata, weights, sample, small)
        measured = measure([weights, small], options)
        metadata["threshold"] = measured.metadata()
        quantised = written(network, metadata, weights, sample, small)
        check_size([weights, small])
        for made, place in ((weights, BUNDLED_FILE), (small, BUNDLED_INT8)):
            shutil.copyfile(made, place)
    digest = file_digest(BUNDLED_FILE)
    BUNDLED_DIGEST.write_text(f"{digest}  {BUNDLED_FILE.name}\n")
    print(f"{measured}\nint8 against float: mean cosine {quantised.cosine:.4f}")
    write_figures()


def network_of(options: argparse.Namespace) -> Network:
    """Read the weights of a run, perhaps still without metadata, rounded to what is stored."""
    network = read_network(inspect_weights(options.model))
    if options.whiten:
        whitened(network, options.pictures, options.last, options.whiten)
    with torch.no_grad():
        for name, value in network.named_parameters():
            if name.endswith("weight") and value.ndim > 1:
                value.copy_(rounded(value))
    return network


@torch.inference_mode()
def whitened(network: Network, pictures: Path, last: int, power: float) -> None:
    """Turn the projection so that descriptors of many kinds of pictures spread alike in all axes.

    Each axis of their covariance is divided by its variance to the `power`: what all pictures of
    a kind share counts less (SSCD paper, section 4.2, where it comes after the network).
    """
    squares_NHW3 = np.load(pictures, mmap_mode="r")[-last::STEP]
    side = (RECIPE.size, RECIPE.size)
    small = [cv2.resize(one, side, interpolation=cv2.INTER_AREA) for one in squares_NHW3]
    batches = (np.stack(small[start : start + 32]) for start in range(0, len(small), 32))
    rows = [network.embed(torch.from_numpy(batch).permute(0, 3, 1, 2)) for batch in batches]
    variances, axes = np.linalg.eigh(np.cov(np.concatenate(rows).T))
    turn = torch.from_numpy(axes * variances**-power @ axes.T).float()
    turn *= len(turn) / turn.trace()
    for values in network.fc.parameters():
        values.copy_(turn @ values)


def rounded(values: torch.Tensor) -> torch.Tensor:
    """Round float16 to eight bits of its fraction, which a wheel holds in fewer bytes."""
    bits = values.half().numpy().view(np.uint16).astype(np.uint32)
    step = 1 << DROPPED_BITS
    kept = ((bits + step // 2) // step * step).astype(np.uint16)
    return torch.from_numpy(kept.view(np.float16).astype(np.float32))


def written(
    network: Network, metadata: dict[str, Any], weights: Path, sample: str, small: Path
) -> Quantised:
    save_network(weights, network, metadata, torch.float16)
    small.unlink(missing_ok=True)
    return quantise_model(str(weights), sample, small)


def measure(paths: list[Path], options: argparse.Namespace) -> Measured:
    """Measure the thresholds that hold for all of these files."""
    photos = sorted(p for p in options.photos.iterdir() if p.suffix in (".jpg", ".png"))
    photos = [path for path in photos if path.name not in options.exclude]
    models = [load_model(str(path), device="cpu") for path in paths]
    different = [highest_pairs(np.asarray(model.embed(photos))) for model in models]
    highest, rare = (max(values) for values in zip(*different, strict=True))
    with tempfile.TemporaryDirectory() as folder:
        cache = options.cache or Path(folder)
        references, sets = squares(options.photos, RECIPE.size, cache)
        sure = max(surely_right(model, references, *sets[0]) for model in models)
    threshold = max(SSCD_THRESHOLD, rounded_up(highest))
    look_at = rounded_up(max(sure, rare))
    return Measured(highest, threshold, min(look_at, threshold), len(photos))


def highest_pairs(rows_ND: NDArray[np.float32]) -> tuple[float, float]:
    """Return the highest similarity of two, and the one that too many pairs reach, see `A_PAIR`."""
    ordered = np.sort(np.triu(rows_ND @ rows_ND.T, 1), axis=None)[::-1]
    return float(ordered[0]), float(ordered[len(rows_ND) // A_PAIR])


def surely_right(
    model: Model,
    references: NDArray[np.uint8],
    copies: NDArray[np.uint8],
    labels: NDArray[np.int64],
) -> float:
    """Return the lowest similarity from which on 95 % of the matches are of copy and original."""
    similarity_QR = embedded(model, copies) @ embedded(model, references).T
    hit = (labels[:, None] == np.arange(len(references))).ravel()
    order = np.argsort(-similarity_QR.ravel(), kind="stable")
    precision = np.cumsum(hit[order]) / np.arange(1, len(order) + 1)
    return float(similarity_QR.ravel()[order[np.flatnonzero(precision >= PRECISION)[-1]]])


def rounded_up(similarity: float) -> float:
    """Return the next hundredth above."""
    return math.floor(similarity * 100 + 1) / 100


def check_size(paths: list[Path]) -> None:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as wheel:
        for path in paths:
            wheel.write(path, path.name)
    here, packed = sum(path.stat().st_size for path in paths), memory.tell()
    print(f"{here / 1e6:.1f} MB, {packed / 1e6:.1f} MB of a wheel")
    if packed > MOST_BYTES:
        sys.exit(f"that is more than {MOST_BYTES / 1e6:.0f} MB; nothing was written")


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
