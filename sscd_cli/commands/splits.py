"""The sets that `sscd leaks` compares; of images each has a descriptor dataset of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sscd_cli.choices import MODEL
from sscd_cli.commands import embed
from sscd_cli.descriptors.read import DescriptorSet, read_comparable
from sscd_cli.descriptors.shards import common_provenance, dataset_at, existing_shards
from sscd_cli.embedding.job import EmbedResult, Job
from sscd_cli.embedding.provenance import spec_of
from sscd_cli.errors import NoImagesError, UsageError
from sscd_cli.options.embed import EmbedOptions
from sscd_cli.options.leaks import LeaksOptions
from sscd_cli.scoring.scale import Scale
from sscd_cli.storage.places import absolute
from sscd_cli.text import counted

_LONGEST = 60  # characters of a folder's name


@dataclass(frozen=True, eq=False)
class Split:
    """One of the sets: as it was named, its images, and the folder of decisions about them."""

    name: str
    stored: DescriptorSet
    home: Path

    def __len__(self) -> int:
        return len(self.stored)


@dataclass(frozen=True, eq=False)
class Splits:
    """sets: in the order in which they were named. embedded: what embedding each of images did."""

    sets: tuple[Split, ...]
    embedded: tuple[EmbedResult, ...]


def names_of(options: LeaksOptions) -> tuple[str, ...]:
    """Return the sets as they were named, the one that all others are held against last."""
    return (*options.test, options.against)


def network_of(options: LeaksOptions) -> str | None:
    """Return the model that images need: the one named, or that of descriptors; None for no images.

    Raises: StoreError: descriptors cannot be read.
    """
    folders = [dataset_at(name) for name in reversed(names_of(options))]
    stored = [folder for folder in folders if folder]
    if len(stored) == len(folders):
        return None
    if options.model or not stored:
        return options.model or MODEL
    return common_provenance(existing_shards(stored[0])).model


def read_splits(options: LeaksOptions, scale: Scale) -> Splits:
    """Read all sets, after embedding those of images into a dataset each.

    Raises: as `commands.leaks.run`.
    """
    names = names_of(options)
    stored = {name: folder for name in names if (folder := dataset_at(name))}
    made = _places(options, [name for name in names if name not in stored])
    network = network_of(options)
    for name, folder in made.items():
        _refuse_mixing(folder, stored)
        if name != "-":
            job = _embedding(options, name, folder, network or MODEL).fill(Job)
            job.images()  # refuses what has none
    for folder in stored.values() if made else ():
        spec_of(folder, common_provenance(existing_shards(folder)), options.model)
    results = {
        name: embed.run(_embedding(options, name, folder, network or MODEL))
        for name, folder in made.items()
    }
    sets = []
    for name in names:
        found = read_comparable(stored.get(name) or made[name], post=scale.post)
        found = results[name].narrow(found) if name in results else found
        if not len(found):
            what = f"nothing of {name} can be read: {counted(len(found.unreadable), 'images')}"
            raise NoImagesError(what, "mend it, or name another set")
        sets.append(Split(name, found, stored.get(name, options.descriptors)))
    return Splits(tuple(sets), tuple(results.values()))


def short_names(names: tuple[str, ...]) -> list[str]:
    """Return for each set a name for a file: its last part, or all of them where two share that."""
    ends = [_file_name(name.rstrip("/").rpartition("/")[2]) for name in names]
    return ends if len(set(ends)) == len(ends) else [_file_name(name) for name in names]


def _places(options: LeaksOptions, names: list[str]) -> Mapping[str, Path]:
    """Return the folder of descriptors of each set of images: no two have the same."""
    made: dict[str, Path] = {}
    for name in names:
        word, number = _file_name(name), 1
        while options.descriptors / word in made.values():
            number += 1
            word = f"{_file_name(name)}-{number}"
        made[name] = options.descriptors / word
    return made


def _file_name(name: str) -> str:
    """Return a name, of whatever it was made, as one for a file."""
    plain = re.sub(r"[^\w.]+", "-", name).strip("-.")[-_LONGEST:]
    return plain or "stdin"


def _refuse_mixing(folder: Path, stored: Mapping[str, Path]) -> None:
    for other in stored.values():
        if absolute(folder) == absolute(other):
            what = f"images would be embedded into {folder}, which they are compared with"
            raise UsageError(what, "name another folder with -d")


def _embedding(options: LeaksOptions, name: str, folder: Path, network: str) -> EmbedOptions:
    own = {"sources": (name,), "model": network, "descriptors": folder}
    return EmbedOptions(**options.shared_with(EmbedOptions) | own)
