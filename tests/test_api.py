"""The public names of the package, frozen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

import sscd_cli

GALLERY = Path(__file__).parent / "data" / "gallery"


def test_public_names_are_those_that_we_promised() -> None:
    assert sorted(sscd_cli.__all__) == [
        "Model",
        "SscdError",
        "__version__",
        "cluster",
        "deduplicate",
        "find_pairs",
        "load_model",
        "read_descriptors",
        "similarity",
    ]
    assert all(getattr(sscd_cli, name) is not None for name in dir(sscd_cli))
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = sscd_cli.nope


def test_paths_and_images_give_the_same_descriptors() -> None:
    model = sscd_cli.load_model(device="cpu", precision="fp32")
    paths = [GALLERY / "planet.jpg", GALLERY / "planet.png", GALLERY / "alps.jpg"]
    by_path = model.embed(paths)
    by_image = model.embed([Image.open(path) for path in paths])
    np.testing.assert_array_equal(by_path, by_image)
    assert by_path.shape == (3, model.spec.dimensions)
    similar = sscd_cli.similarity(by_path, by_path)
    np.testing.assert_allclose(similar, by_path @ by_path.T, atol=1e-6)
    pairs = sscd_cli.find_pairs(by_path, 0.99)
    assert list(zip(pairs.left, pairs.right, strict=True)) == [(0, 1)]
    clusters = sscd_cli.cluster(pairs, np.array([1, 0, 2]), by_path)
    assert clusters.keeper.tolist() == [1, 1, 2]


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK", "turned"])
def test_images_of_any_mode_are_taken_as_their_files_are(tmp_path: Path, mode: str) -> None:
    image = Image.open(GALLERY / "planet.png").resize((90, 60))
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    if mode == "turned":
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = 6
        image.save(path, exif=exif)
    else:
        image.convert(mode).save(path)
    model = sscd_cli.load_model(device="cpu", precision="fp32")
    np.testing.assert_array_equal(model.embed([path]), model.embed([Image.open(path)]))


def test_a_path_that_is_no_image_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("no image")
    with pytest.raises(sscd_cli.SscdError, match="cannot read"):
        sscd_cli.load_model(device="cpu").embed([tmp_path / "a.jpg"])
