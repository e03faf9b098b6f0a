"""`sscd models`, and fetching a model that a command needs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sscd_cli.cli import command, terminal
from sscd_cli.machines.stages import stage
from sscd_cli.options.help import Argument, Help
from sscd_cli.options.shared import Format, Output
from sscd_cli.text import bytes_text

if TYPE_CHECKING:
    from sscd_cli.models.catalogue.store import ModelEntry, Verified

models_app = typer.Typer(
    help="List, fetch, check and remove models.", rich_markup_mode=None, suggest_commands=False
)

Name = Annotated[str, Argument("A model's name.", value="NAME")]


def list_all(context: typer.Context, format: Format = "text") -> None:
    """List, fetch, check and remove models; without a command, list them.

    With --format jsonl also trunk, training set, augmentations, preprocessing, what is known of
    the threshold, licence, and address, size and SHA-256 of each file.
    """
    if context.invoked_subcommand is None:
        list_models(format)


def list_models(format: Format = "text") -> None:
    """List models, installed or not.

    Example: sscd models list --format jsonl
    """
    from sscd_cli.models.catalogue import store

    entries = store.list_models()
    terminal.print_lines(_table(entries) if format == "text" else map(_json, entries))


def _table(entries: list[ModelEntry]) -> Iterator[str]:
    name = max(len(entry.name) for entry in entries)
    yield f"{'name':{name}}  installed    size  dims  speed    threshold"
    for entry in entries:
        threshold = "" if entry.threshold is None else f"{entry.threshold:9.4g}"
        yield (
            f"{entry.name:{name}}  {'yes' if entry.path else 'no':9}  {bytes_text(entry.bytes):>6}"
            f"  {entry.dimensions:4}  {entry.speed:7}  {threshold}"
        )


def _json(entry: ModelEntry) -> str:
    return json.dumps(asdict(entry) | {"path": str(entry.path) if entry.path else None})


def pull(
    name: Name,
    model_format: Annotated[
        str | None, Help("classy, torchvision, torchscript, …", "-f", value="WORD")
    ] = None,
    mirror: Annotated[
        str | None, Help("Base address that has the published files.", value="URL")
    ] = None,
) -> None:
    """Fetch a published model into the cache, and verify it.

    Example: sscd models pull sscd_disc_mixup
    """
    from sscd_cli.models.catalogue import store

    with _download_progress() as progress:
        _say(store.pull(name, format=model_format, mirror=mirror, progress=progress))


def verify(name: Name) -> None:
    """Compare an installed model with its known digest.

    Example: sscd models verify sscd_disc_mixup
    """
    from sscd_cli.models.catalogue import store

    _say(store.verify(name))


def path(name: Name) -> None:
    """Print where an installed model lies.

    Example: sscd models path sscd_mini
    """
    from sscd_cli.models.catalogue import store

    with terminal.report_stream(None) as stream:  # its bytes, for a pipe
        stream.write(os.fsencode(store.model_path(name)) + b"\n")


def remove(name: Name) -> None:
    """Delete a model from the cache.

    Example: sscd models remove sscd_disc_mixup
    """
    from sscd_cli.models.catalogue import store

    gone = store.remove(name)
    for file in gone:
        terminal.note(f"deleted {file}")
    if not gone:
        terminal.note(f"{name} is not installed: nothing to delete")


def export(
    name: Annotated[str, Argument("A name or a model file.", value="NAME")],
    output: Output,
    model_format: Annotated[
        Literal["torchscript", "torchvision", "onnx", "safetensors"],
        Help("torchscript, torchvision, onnx or safetensors; as the name of FILE says.", "-f"),
    ] = "torchscript",
) -> None:
    """Write a model as one file that loads without sscd.

    Example: sscd models export sscd_mini -o sscd.onnx

    The file is run once, and kept only if its descriptors are those of the model.
    torchscript and onnx take RGB as normalised float32 (B, 3, H, W), (pixel / 255 - mean) / std,
    and give descriptors of unit length. onnx needs `pip install 'sscd-cli[onnx]'`; B is free, and H
    and W are where the model keeps the aspect ratio. torchvision has no room for the preprocessing.
    """
    fetch_if_missing(name)
    from sscd_cli.models.files.export import export_model

    done = export_model(name, output, model_format)
    terminal.note(
        f"{output}: {model_format}; its descriptors differ by at most {done.difference:.1e}"
    )
    if done.lost:
        terminal.warn(
            f"{output} cannot say that images are prepared as {done.lost.name}; sscd would read it "
            "as small-288, the other formats keep it"
        )


def quantise(
    name: Annotated[str, Argument("A name or a model file.", value="NAME")],
    sample: Annotated[str, Argument("A folder or archive of images.", value="SAMPLE")],
    output: Output,
) -> None:
    """Write a model in 8 bits, which is twice as fast on CPUs.

    Example: sscd models quantise run/model.safetensors photos -o model.onnx

    200 images of SAMPLE, always the same ones, say what each layer's numbers range over and which
    errors of its weights make up for each other; pooling and projection stay in float32. It takes
    one minute for `sscd_mini`, a few for ResNet-50. The file is kept only if its descriptors are
    near those of the model, and it is a model of its own: name it with --model. Needs `pip install
    'sscd-cli[onnx]'`. For models that take squares.
    """
    fetch_if_missing(name)
    from sscd_cli.models.files.quantise import quantise_model

    done = quantise_model(name, sample, output)
    terminal.note(
        f"{output}: {bytes_text(done.bytes)}; on {done.images} images its descriptors have a mean "
        f"cosine of {done.cosine:.4f} with the model's"
    )


models_app.callback(invoke_without_command=True)(command.spread(list_all, common=False))
command.add(models_app, list_models, "list")
for function in (pull, verify, path, remove, export):
    command.add(models_app, function)
command.add(models_app, quantise, computes=True)


def fetch_if_missing(name: str) -> None:
    """Fetch a published model that is not installed, after saying what and how large it is."""
    from sscd_cli.models.catalogue.registry import BUNDLED

    if name == BUNDLED:
        return
    from sscd_cli.models.catalogue import store

    source = store.missing(name)
    if source is None:
        return
    terminal.note(
        f"fetching {name} ({bytes_text(source.about_bytes)}) from {store.address(source)}"
    )
    with _download_progress() as progress:
        _say(store.pull(name, progress=progress))


def _say(verified: Verified) -> None:
    voucher = {
        "published": "its digest is the published one",
        "bundled": "its digest is that of the network that comes with sscd",
        "recorded": "its digest is that of the first download",
        "first use": "no digest is published: this one is recorded and checked from now on",
        "nothing": "no digest is published or recorded for it",
    }[verified.voucher]
    terminal.note(f"{verified.path}: {bytes_text(verified.bytes)}, SHA-256 {verified.sha256}")
    terminal.note(voucher)


@contextmanager
def _download_progress() -> Iterator[Callable[[int, int | None], None]]:
    with terminal.watched(), stage("fetching", unit="B") as opened:
        yield opened.tell
