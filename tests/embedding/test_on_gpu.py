"""JPEG files that a GPU decodes: the same rows as a core's, descriptors that agree, no loss."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import by_pillow
from PIL import Image

from sscd_cli.commands import embed
from sscd_cli.descriptors.shards import shard_paths, shard_provenance
from sscd_cli.embedding.job import Job
from sscd_cli.embedding.local import embed_stream
from sscd_cli.embedding.stream import Decoder
from sscd_cli.images.compressed import left_compressed
from sscd_cli.images.preprocess import Recipe
from sscd_cli.images.read import DEFAULT_LIMITS, read
from sscd_cli.images.sources import iter_images
from sscd_cli.models.load import Model, load_model
from sscd_cli.models.runtime import nvjpeg
from sscd_cli.options.embed import EmbedOptions


class Lane:
    """A GPU that is the CPU."""

    def start(self, compute: Any, name: str, pixels: torch.Tensor) -> Any:
        return compute(pixels).numpy


@pytest.fixture
def model() -> Model:
    """The bundled network on the CPU, which decodes large files at less than their size."""
    return load_model(device="cpu", precision="fp32")


def on_gpu(model: Model) -> Model:
    return replace(model, runtime=replace(model.runtime, lane=Lane()))  # type: ignore[arg-type,type-var]


def scene(width: int, height: int, seed: int = 0) -> Image.Image:
    """Something like a photograph: soft shapes, edges, some grain."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8))
    soft = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    soft[height // 4 : height // 2, width // 3 :] //= 2
    return Image.fromarray((soft + rng.integers(-9, 10, soft.shape)).clip(0, 255).astype(np.uint8))


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Large JPEG files turned in all ways, a grey one, and what no GPU is asked for."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for orientation in range(1, 9):
        image = scene(1203, 901, orientation)
        image.save(folder / f"turned-{orientation}.jpg", quality=90, exif=turned(orientation))
    scene(1000, 1400).convert("L").save(folder / "grey.jpg")
    scene(300, 200).save(folder / "small.jpg")
    scene(1203, 901).save(folder / "large.png")
    scene(1203, 901).save(folder / "progressive.jpg", progressive=True)
    scene(1203, 901).convert("CMYK").save(folder / "cmyk.jpg")
    whole = (folder / "turned-1.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    return folder


def embedded(folder: Path, model: Model, workers: int = 0) -> dict[str, tuple[Any, Any]]:
    """Each image's row and descriptor."""
    decoder = Decoder(model.spec.recipe)
    refs = iter_images([str(folder)])
    return {
        row.ref.id: (row, some.descriptors.get(index))
        for some in embed_stream(refs, model, decoder, batch_size=4, workers=workers)
        for index, row in enumerate(some.outcomes)
    }


def agree(here: dict[str, tuple[Any, Any]], there: dict[str, tuple[Any, Any]]) -> float:
    """Compare rows, which are equal but for a little in their content; return the least cosine."""
    assert here.keys() == there.keys()
    cosines = []
    for name, (row, descriptor) in here.items():
        other, theirs = there[name]
        if descriptor is None:
            assert (other, theirs) == (row, None)
            continue
        assert replace(other, content=0) == replace(row, content=0), name
        assert other.content == pytest.approx(row.content, rel=0.05), name
        cosines.append(float(descriptor @ theirs))
    return min(cosines)


@pytest.mark.usefixtures("jpegs_on_gpu")
@pytest.mark.parametrize("workers", [0, 2])
def test_rows_are_a_cores_and_descriptors_agree(photos: Path, model: Model, workers: int) -> None:
    assert agree(embedded(photos, model), embedded(photos, on_gpu(model), workers)) > 0.995


def test_torchvision_itself_agrees_where_it_can_be_loaded(photos: Path, model: Model) -> None:
    try:
        from torchvision.io import decode_jpeg  # noqa: F401
    except (ImportError, RuntimeError):
        pytest.skip("torchvision is not installed, or of another build than torch")
    nvjpeg.works.cache_clear()
    assert agree(embedded(photos, model), embedded(photos, on_gpu(model))) > 0.995


def test_only_large_plain_jpegs_are_left_to_a_gpu(photos: Path, model: Model) -> None:
    def left(recipe: Recipe) -> set[str]:
        found = ((ref, read(ref, DEFAULT_LIMITS)) for ref in iter_images([str(photos)]))
        return {ref.id for ref, file in found if left_compressed(file, recipe, DEFAULT_LIMITS)}  # type: ignore[arg-type]

    assert left(model.spec.recipe) == {"grey.jpg", *(f"turned-{n}.jpg" for n in range(1, 9))}
    assert not left(model.spec.recipe.chosen(exif=True, decode="exact"))


@pytest.mark.usefixtures("jpegs_on_gpu")
def test_what_a_gpu_refuses_is_decoded_on_a_core(
    photos: Path, model: Model, jpegs_on_gpu: Any
) -> None:
    refused = (photos / "turned-3.jpg").read_bytes()

    def refusing(files: list[torch.Tensor], mode: Any, device: Any) -> list[torch.Tensor]:
        if any(bytes(file.numpy()) == refused for file in files):
            raise RuntimeError("nvjpegDecode failed")
        return by_pillow(files, mode, device)

    jpegs_on_gpu.decode_jpeg = refusing
    here, there = embedded(photos, model), embedded(photos, on_gpu(model))
    assert there["turned-3.jpg"][0] == here["turned-3.jpg"][0]
    assert agree(here, there) > 0.995


def test_lists_for_a_gpu_are_bounded(
    photos: Path, model: Model, jpegs_on_gpu: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def noting(files: list[torch.Tensor], mode: Any, device: Any) -> list[torch.Tensor]:
        seen.append(len(files))
        return by_pillow(files, mode, device)

    jpegs_on_gpu.decode_jpeg = noting
    monkeypatch.setattr(nvjpeg, "MOST_PIXELS", 2 * 1203 * 901)
    embedded(photos, on_gpu(model))
    assert max(seen) == 2


def test_without_torchvision_cores_decode_and_it_is_said_once(
    photos: Path, model: Model, jpegs_on_gpu: Any
) -> None:
    del jpegs_on_gpu.decode_jpeg
    with pytest.warns(RuntimeWarning, match="JPEGs are not decoded on cpu: cannot import") as said:
        there = embedded(photos, on_gpu(model))
        embedded(photos, on_gpu(model))
    assert len(said) == 1
    here = embedded(photos, model)
    assert [row for row, _ in there.values()] == [row for row, _ in here.values()]


@pytest.mark.usefixtures("jpegs_on_gpu")
def test_shards_say_who_decoded(
    photos: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, way in (("here", model), ("there", on_gpu(model))):
        monkeypatch.setattr(Job, "network", lambda job, way=way: way)
        store = tmp_path / name
        embed.run(EmbedOptions(sources=(str(photos),), descriptors=store, workers=0))
    said = [shard_provenance(shard_paths(tmp_path / n)[0]).preprocessing for n in ("here", "there")]
    assert [one["decode"] for one in said] == ["fast", "fast, nvJPEG"]
