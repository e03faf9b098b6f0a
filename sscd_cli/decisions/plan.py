"""What of a report shall be done, file by file, and what is refused and why."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace

from sscd_cli.choices import Action
from sscd_cli.decisions.acts import LINKS, Act, is_one_file
from sscd_cli.errors import SscdError, reason_of
from sscd_cli.images.read import content_hash
from sscd_cli.images.refs import QUARANTINE, split_columns
from sscd_cli.images.signatures import Sidecars, is_image_name
from sscd_cli.images.status import is_file, stored_ref
from sscd_cli.reports.removals import Removal, refuse_changed, refuse_unfit_keeper
from sscd_cli.reports.reported import Key

_Protects = Callable[[str, str], bool]


class LeftAloneError(Exception):
    """A file is left where it is, and why."""


@dataclass(frozen=True, slots=True)
class Step:
    """An image that goes, and the files that go with it, in the folder `base`."""

    removal: Removal
    base: str
    relative: str
    sidecars: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """Return the one name of the image's file."""
        return os.path.join(self.base, self.relative)


@dataclass
class Plan:
    """refused: paths, as the report has them, and why. elsewhere: how many images that may go lie
    in each archive or on each server."""

    steps: list[Step] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    elsewhere: Counter[str] = field(default_factory=Counter)


def make_plan(
    removals: Iterable[Removal], action: Action, protects: _Protects, *, sidecars: bool
) -> Plan:
    """Decide what can be done, by what lies there now; no file is read yet."""
    plan = Plan()
    for removal in removals:
        image = removal.image
        if not is_file(image.source, image.id):
            plan.elsewhere[split_columns(image.source)[0] or image.id] += 1
            continue
        try:
            base, relative = _place(image.source, image.id)
            if protects(image.source, image.id):
                raise LeftAloneError("it is protected")
            _refuse_link_of_others(removal, action)
        except LeftAloneError as error:
            plan.refused.append((image.path, str(error)))
        else:
            plan.steps.append(Step(removal, base, relative))
    _refuse_going_keepers(plan)
    if sidecars and action not in LINKS:
        plan.steps = _with_sidecars(plan.steps)
    return plan


def refuse_unless_fit(step: Step, read: Set[Key]) -> None:
    """Hash the image and what stays for it once more; the latter must be an image, too.

    Args: read: what has been read as an image already, and needs a look at its bytes only.
    Raises: LeftAloneError: it may not go.
    """
    image, keeper = step.removal.image, step.removal.keeper
    try:
        if is_one_file(step.path, os.path.realpath(_path_of(keeper.source, keeper.id))):
            raise LeftAloneError(f"it is one file with {keeper.path}, which stays for it")
        refuse_changed(image)
        (refuse_changed if keeper.key in read else refuse_unfit_keeper)(keeper)
    except SscdError as error:
        raise LeftAloneError(error.what) from None
    except OSError as error:
        raise LeftAloneError(reason_of(error)) from None


def acts_of(step: Step, action: Action, first: int, run: str) -> list[Act]:
    """Return what is to be done for a step: the image, then what goes with it.

    first: the number of the first act. run: a name for the quarantine of this run.
    Raises: LeftAloneError: a name in the way. OSError: a file cannot be looked at.
    """
    keeper = step.removal.keeper
    acts: list[Act] = []
    for name in (step.relative, *step.sidecars):
        path = os.path.join(step.base, name)
        status = os.lstat(path)
        act = Act(
            number=first + len(acts),
            action=action,
            path=path,
            to=place_in(step.base, name, run) if action == "quarantine" else "",
            content_hash=content_hash(path) if acts else step.removal.image.content_hash,
            file_bytes=status.st_size,
            mtime_ns=status.st_mtime_ns,
            mode=status.st_mode & 0o7777,
            keeper=os.path.realpath(_path_of(keeper.source, keeper.id)),
            keeper_hash=keeper.content_hash,
            sidecar_of=first if acts else 0,
        )
        for taken in filter(None, (act.to, act.part if action in LINKS else "")):
            if os.path.lexists(taken):
                raise LeftAloneError(f"{taken} exists")
        acts.append(act)
    return acts


def _path_of(source: str, id: str) -> str:
    return stored_ref(source, id).path


def _place(source: str, id: str) -> tuple[str, str]:
    """Return the folder that an image must not leave, led to by no link, and its name in there."""
    folder, name = (source, id) if source else os.path.split(id)
    base, relative = os.path.realpath(folder), os.path.normpath(name)
    path = os.path.join(base, relative)
    if not os.path.isdir(base):
        raise LeftAloneError(f"there is no folder {folder}")
    if os.path.isabs(relative) or relative.split(os.sep)[0] == os.pardir:
        raise LeftAloneError(f"it leaves {folder}")
    if os.path.islink(path):
        raise LeftAloneError("it is a link")
    if os.path.realpath(path) != path:
        raise LeftAloneError(f"a link leads to it out of its folder in {folder}")
    if not os.path.lexists(path):
        raise LeftAloneError("it has gone since the report")
    return base, relative


def _refuse_link_of_others(removal: Removal, action: Action) -> None:
    if action not in LINKS:
        return
    if not is_file(removal.keeper.source, removal.keeper.id):
        raise LeftAloneError(f"what stays for it, {removal.keeper.path}, is no file here")
    if removal.image.content_hash != removal.keeper.content_hash:
        what = "it has other bytes than what stays for it, which a link would show in its place"
        raise LeftAloneError(what)


def _refuse_going_keepers(plan: Plan) -> None:
    """Refuse what goes for a file that goes itself, by whatever name."""
    going = {step.path for step in plan.steps}
    steps = []
    for step in plan.steps:
        keeper = step.removal.keeper
        if (
            is_file(keeper.source, keeper.id)
            and os.path.realpath(_path_of(keeper.source, keeper.id)) in going
        ):
            why = f"{keeper.path}, which stays for it, is to go itself"
            plan.refused.append((step.removal.image.path, why))
        else:
            steps.append(step)
    plan.steps = steps


def _with_sidecars(steps: Sequence[Step]) -> list[Step]:
    """Add to each image what lies beside it and belongs to no image that stays."""
    going: defaultdict[str, set[str]] = defaultdict(set)
    for step in steps:
        folder, name = os.path.split(step.path)
        going[folder].add(name)
    found: defaultdict[str, list[str]] = defaultdict(list)
    for folder, images in going.items():
        for image, name in _sidecars_in(folder, images):
            found[os.path.join(folder, image)].append(name)
    return [
        replace(
            step,
            sidecars=tuple(
                os.path.join(os.path.dirname(step.relative), name) for name in found[step.path]
            ),
        )
        for step in steps
    ]


def _sidecars_in(folder: str, going: Set[str]) -> Iterator[tuple[str, str]]:
    """Yield each file of a folder that goes with an image, and the first image that it may."""
    names, beside = sorted(os.listdir(folder)), Sidecars(going)
    for name in names:
        if is_image_name(name) and name not in going:
            beside.stays(name)
    owners = {os.path.splitext(image)[0]: image for image in sorted(going, reverse=True)}
    owners |= {image: image for image in going}
    for name in names:
        path = os.path.join(folder, name)
        if beside.goes(name) and os.path.isfile(path) and not os.path.islink(path):
            yield owners[os.path.splitext(name)[0]], name


def place_in(base: str, relative: str, run: str) -> str:
    """Return where a file below the folder `base` goes. run: the name of what moves it."""
    path = os.path.join(base, relative)
    root = _same_device(base, os.path.dirname(path))
    return os.path.join(root, QUARANTINE, run, os.path.relpath(path, root))


def _same_device(base: str, folder: str) -> str:
    """Return `base`, or the highest folder below it on the file system of `folder`."""
    device = os.stat(folder).st_dev
    if os.stat(base).st_dev == device:
        return base
    while folder != base and os.stat(os.path.dirname(folder)).st_dev == device:
        folder = os.path.dirname(folder)
    return folder
