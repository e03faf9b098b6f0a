"""The public names of the package, frozen."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from conftest import Store, picture, save_tiny_model
from PIL import ExifTags, Image

import sscd_cli
from sscd_cli.errors import SscdWarning, UsageError
from sscd_cli.machines.stages import stage

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


@pytest.mark.parametrize("kind", ["path", "bytes", "picture", "array"])
def test_what_is_no_image_is_a_row_and_not_the_end(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.jpg").write_text("no image")
    torn = Image.open(io.BytesIO((GALLERY / "torn.jpg").read_bytes()))
    odd = {
        "path": tmp_path / "a.jpg",
        "bytes": b"no image",
        "picture": torn,
        "array": np.zeros((0, 3, 3), np.uint8),
    }
    model = sscd_cli.load_model(device="cpu")
    images = [GALLERY / "alps.jpg", odd[kind], GALLERY / "planet.png"]
    with pytest.warns(SscdWarning, match="^1 image cannot be read, .* NaN: number 1: cannot read"):
        rows = model.embed(images)
    assert np.isnan(rows).all(axis=1).tolist() == [False, True, False]
    np.testing.assert_array_equal(rows[[0, 2]], model.embed([images[0], images[2]]))
    with pytest.raises(sscd_cli.SscdError, match="cannot read"):
        model.embed(images, strict=True)


def test_one_image_has_a_row_of_its_own_whatever_it_is_given_as() -> None:
    model = sscd_cli.load_model(device="cpu")
    path = GALLERY / "planet.png"
    picture = Image.open(path).convert("RGB")
    rows = model.embed([path])
    assert rows.shape == (1, model.spec.dimensions)
    for image in (path, str(path), path.read_bytes(), picture, np.asarray(picture)):
        np.testing.assert_array_equal(model.embed(image), rows[0])
    batch = np.stack([np.asarray(picture)] * 3)
    np.testing.assert_allclose(model.embed(batch), np.repeat(rows, 3, axis=0), atol=1e-6)


def test_tensors_are_taken_as_torchvision_has_them() -> None:
    import torch

    model = sscd_cli.load_model(device="cpu")
    colours = np.array(Image.open(GALLERY / "planet.png").convert("RGB"))
    row = model.embed(colours)
    tensor = torch.from_numpy(colours).permute(2, 0, 1)
    for same in (tensor, tensor.float() / 255, (tensor.double() / 255).requires_grad_()):
        np.testing.assert_array_equal(model.embed(same), row)
    assert model.embed(torch.stack([tensor, tensor])).shape == (2, model.spec.dimensions)
    grey = torch.from_numpy(np.array(Image.open(GALLERY / "planet.png").convert("L")))
    np.testing.assert_array_equal(model.embed(grey), model.embed(grey[None]))
    for odd, why in (
        (tensor.permute(1, 2, 0), "pass \\(3, H, W\\)"),
        (tensor.int(), "pass uint8"),
        (tensor.float() / 128 - 1, "before normalisation"),
    ):
        with pytest.raises(TypeError, match=why):
            model.embed(odd)


def test_a_bar_shows_what_is_embedded(capsys: pytest.CaptureFixture[str]) -> None:
    model = sscd_cli.load_model(device="cpu")
    rows = model.embed([GALLERY / "planet.png", GALLERY / "alps.jpg"], progress=True)
    assert rows.shape == (2, model.spec.dimensions)
    assert "2/2" in capsys.readouterr().err


def test_a_generator_is_drawn_as_it_is_needed() -> None:
    model = sscd_cli.load_model(device="cpu")
    paths = [GALLERY / "planet.png", GALLERY / "alps.jpg"] * 3
    rows = model.embed((path for path in paths), batch_size=2)
    np.testing.assert_array_equal(rows, model.embed(paths, batch_size=2))
    assert model.embed(iter(())).shape == (0, model.spec.dimensions)


def test_what_can_be_no_image_is_a_mistake_of_the_program() -> None:
    with pytest.raises(TypeError, match="int is no path, Pillow image, array, tensor or bytes"):
        sscd_cli.load_model(device="cpu").embed([1])  # type: ignore[list-item]


def test_a_model_and_a_result_are_short_to_read(tiny_model: Path) -> None:
    model = sscd_cli.load_model(str(tiny_model), device="cpu", precision="fp32")
    assert repr(model) == "Model(tiny, 16 dimensions, cpu, fp32)"


def test_a_folder_is_deduplicated_as_the_command_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "photos" / "a.png", 1)
    picture(tmp_path / "photos" / "b.png", 2)
    (tmp_path / "photos" / "copy.png").write_bytes((tmp_path / "photos" / "a.png").read_bytes())
    (tmp_path / "photos" / "torn.png").write_text("no image")
    found = sscd_cli.deduplicate("photos", model=str(tiny_model), workers=0)
    assert repr(found) == ("DedupResult(3 images, 1 cluster, 1 removable, threshold 1 of tiny)")
    assert len(found) == 1
    (cluster,) = found
    assert [member.keep for member in cluster.members] == [True, False]
    table = found.to_arrow()
    assert table["keeper"].to_pylist() == [cluster.members[0].path] * 2
    assert table["reason"].to_pylist() == [member.reason for member in cluster.members]
    again = sscd_cli.deduplicate(tmp_path / "descriptors", 1.0, keep=("path",))
    assert (len(again), again.threshold) == (1, 1.0)
    assert again.to_arrow()["path"].to_pylist() == ["photos/a.png", "photos/copy.png"]
    with pytest.raises(TypeError, match="no option 'colour'"):
        sscd_cli.deduplicate("photos", colour="red")
    with pytest.raises(sscd_cli.SscdError, match="cannot read the source nowhere"):
        sscd_cli.deduplicate("nowhere")


def test_a_bar_shows_what_deduplicate_is_busy_with(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[str, int, int | None]] = []
    seen = threading.Event()

    class Bar:
        n, total = 0, None

        def __init__(self, desc: str, **_: object) -> None:
            self.desc = desc

        def __bool__(self) -> bool:
            raise TypeError("as tqdm's of no length")

        def refresh(self) -> None:
            drawn.append((self.desc, self.n, self.total))
            seen.set()

        def close(self) -> None:
            drawn.append(("closed", self.n, self.total))

    def slow(*_: object) -> NoReturn:
        with stage("looking", 3) as opened:
            opened.add(2)
            assert seen.wait(10)
        raise UsageError("enough", "")

    monkeypatch.setattr("tqdm.auto.tqdm", Bar)
    monkeypatch.setattr("sscd_cli.commands.dedup.run", slow)
    files = {picture(tmp_path / "a.png", 1): [1.0, 0.0]}
    with pytest.raises(UsageError, match="enough"):
        sscd_cli.deduplicate(store(tmp_path / "d", files), progress=True)
    assert drawn[0] == ("looking", 2, 3)
    assert drawn[-1] == ("closed", 2, 3)


def test_a_result_becomes_a_data_frame(tmp_path: Path, store: Store) -> None:
    files = {picture(tmp_path / f"{i}.png", i): np.eye(4)[0] for i in range(2)}
    found = sscd_cli.deduplicate(store(tmp_path / "d", files))
    try:
        import pandas  # noqa: F401
    except ImportError:
        with pytest.raises(sscd_cli.SscdError, match="pandas is not installed; pip install"):
            found.to_pandas()
    else:
        assert list(found.to_pandas()["keep"]) == [True, False]


def test_arrays_of_descriptors_are_deduplicated_as_before() -> None:
    rows = np.eye(4, dtype=np.float32)[[0, 1, 0]]
    assert sscd_cli.deduplicate(rows, 0.5, np.arange(3)).keeper.tolist() == [0, 1, 0]
    with pytest.raises(TypeError, match="needs a threshold and order_N"):
        sscd_cli.deduplicate(rows)  # type: ignore[call-overload]


def test_descriptors_of_different_models_have_no_similarity(
    tmp_path: Path, tiny_model: Path, store: Store
) -> None:
    (tmp_path / "other").mkdir()
    other = save_tiny_model(tmp_path / "other" / "tiny.safetensors", seed=1)
    image = GALLERY / "alps.jpg"
    left, right = (
        sscd_cli.load_model(str(p), device="cpu").embed(image) for p in (tiny_model, other)
    )
    assert sscd_cli.similarity(left, left[:]) == pytest.approx(1)
    with pytest.raises(sscd_cli.SscdError, match=r"tiny \(weights .* against tiny \(weights"):
        sscd_cli.similarity(left, right)
    with pytest.raises(sscd_cli.SscdError, match="16 dimensions against 3 dimensions"):
        sscd_cli.similarity(np.asarray(left), np.zeros(3))
    one = sscd_cli.read_descriptors(store(tmp_path / "a", {image: np.eye(16)[0]}))
    two = sscd_cli.read_descriptors(store(tmp_path / "b", {image: np.eye(16)[0]}, weights="1" * 64))
    assert sscd_cli.similarity(one, one).tolist() == [[1.0]]
    for side in (two, left):
        with pytest.raises(sscd_cli.SscdError, match="cannot be compared"):
            sscd_cli.similarity(one, side)
