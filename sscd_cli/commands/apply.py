"""`sscd apply`: what a report calls removable is moved, linked or deleted, by a journal."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from sscd_cli.choices import Action
from sscd_cli.decisions import trash
from sscd_cli.decisions.acts import Act, perform, settle
from sscd_cli.decisions.choice import beside, choose
from sscd_cli.decisions.journal import Journal, opened
from sscd_cli.decisions.plan import (
    LeftAloneError,
    Plan,
    Step,
    acts_of,
    make_plan,
    refuse_unless_fit,
)
from sscd_cli.decisions.records import decisions_at
from sscd_cli.errors import UsageError, reason_of
from sscd_cli.images.sources import protection
from sscd_cli.images.status import is_file, stored_ref
from sscd_cli.machines.stages import each, stage
from sscd_cli.options.apply import ApplyOptions
from sscd_cli.reports.reading import opened as opened_report
from sscd_cli.reports.reading import read_report
from sscd_cli.reports.removals import Removal, Removals, read_removals
from sscd_cli.reports.reported import Key

Confirm = Callable[[int], int | None]


@dataclass
class ApplyResult:
    """What was done, or would be, where `journal` is None.

    steps: what goes, in order. done: how many images went now; sidecars: how many files with them.
    before: how many had gone in an earlier run with this journal. refused: paths and why.
    elsewhere: how many that may go lie in each archive or on each server. spared: how many a
    decision keeps.
    """

    action: Action
    steps: list[Step] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    elsewhere: dict[str, int] = field(default_factory=dict)
    journal: Path | None = None
    done: int = 0
    done_bytes: int = 0
    sidecars: int = 0
    before: int = 0
    spared: int = 0


def run(options: ApplyOptions, confirm: Confirm = lambda count: None) -> ApplyResult:
    """Do with each removable image of a report what `options` say; without `go`, only look.

    Before each act both files are hashed again, and what stays is read as an image. What stopped
    an earlier run with the same journal is brought to an end first.
    confirm: asked for the number of images where they are to be deleted and `yes` does not say it.

    Raises: UsageError: the report, the journal or the count is not to be acted upon. SscdError:
        the journal cannot be written.
    """
    if options.chosen == "trash":
        trash.check()
    with stage("reading the report"), opened_report(options.report) as stream:
        data = stream.read()
        report = read_removals(read_report(BytesIO(data), options.report))
    result = ApplyResult(options.chosen)
    if not options.go:
        plan = _planned(report, options, result, set())
        result.steps = list(_fit(plan, result))
        return result
    result.journal = options.journal or _journal_of(options.report)
    digest = hashlib.blake2b(data, digest_size=16).hexdigest()
    head = {"report": os.fspath(options.report), "report_hash": digest, "run": _run_name()}
    with opened(result.journal, head) as journal:
        _check_head(journal, digest)
        _settle(journal)
        gone = {act.path for act in journal.in_state("done")}
        plan = _planned(report, options, result, gone)
        if options.delete:
            _confirm(len(plan.steps), options.yes, confirm)
        for step in _fit(plan, result):
            result.steps.append(step)
            _do(step, journal, result)
    return result


def _journal_of(report: Path) -> Path:
    if str(report) == "-":
        raise UsageError("a report on stdin has no name", "name the journal with --journal FILE")
    return report.with_suffix(".journal.jsonl")


def _run_name() -> str:
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(2).hex()}"


def _check_head(journal: Journal, digest: str) -> None:
    if journal.head.get("report_hash") != digest:
        what = f"{journal.path} is the journal of another report"
        raise UsageError(what, "name another with --journal FILE")


def _settle(journal: Journal) -> None:
    """Bring to an end what an earlier run began.

    Of an image whose act was not done nothing is left begun; what goes with one that has gone
    follows it.
    """
    state = journal.state
    for act in journal.in_state("intent"):
        follows = act.sidecar_of and state[act.sidecar_of] == "done"
        done = settle(act)
        if not done and follows and os.path.lexists(act.path):
            perform(act)
            done = True
        journal.mark("done" if done else "dropped", [act])
    journal.settle_stopped()


def _planned(report: Removals, options: ApplyOptions, result: ApplyResult, gone: set[str]) -> Plan:
    decisions = decisions_at(options.decisions, beside(report.header))
    choice = choose(report, decisions)
    left = [removal for removal in choice.removals if _real_path(removal) not in gone]
    result.before, result.spared = len(choice.removals) - len(left), choice.spared
    named = protection(options.protect)
    theirs = _of_the_other_dataset(report)

    def protects(source: str, id: str) -> bool:
        return named(source, id) or os.path.realpath(stored_ref(source, id).path) in theirs

    plan = make_plan(left, options.chosen, protects, sidecars=options.sidecars)
    result.refused += plan.refused
    result.elsewhere = dict(plan.elsewhere)
    return plan


def _of_the_other_dataset(report: Removals) -> set[str]:
    """Return the files of the dataset that ours was compared with; of them nothing goes."""
    if report.header.get("report") != "matches":
        return set()
    keys = [key for key in report.keepers if is_file(*key)]
    return {os.path.realpath(stored_ref(*key).path) for key in keys}


def _real_path(removal: Removal) -> str:
    """Return the name of an image that a journal has for it, there or not."""
    source, id = removal.image.key
    folder, name = os.path.split(os.path.normpath(f"{source}/{id}" if source else id))
    return os.path.join(os.path.realpath(folder), name)  # noqa: PTH118


def _confirm(count: int, typed: int | None, confirm: Confirm) -> None:
    if count and (typed if typed is not None else confirm(count)) != count:
        raise UsageError(f"--delete removes {count:,} images for good", f"add --yes {count}")


def _fit(plan: Plan, result: ApplyResult) -> Iterator[Step]:
    """Yield the steps whose files are, at this moment, those of the report; note the others."""
    read: set[Key] = set()
    for step in each(plan.steps, "images", len(plan.steps)):
        try:
            refuse_unless_fit(step, read)
        except LeftAloneError as error:
            result.refused.append((step.removal.image.path, str(error)))
            continue
        read.add(step.removal.keeper.key)
        yield step


def _do(step: Step, journal: Journal, result: ApplyResult) -> None:
    """Do one step, or note why it cannot be done."""
    run, action = str(journal.head["run"]), result.action
    try:
        acts = acts_of(step, action, journal.next_number, run)
    except (LeftAloneError, OSError) as error:
        why = str(error) if isinstance(error, LeftAloneError) else reason_of(error)
        result.refused.append((step.removal.image.path, why))
        return
    journal.intend(acts)
    intended = acts
    for position, act in enumerate(acts):
        try:
            perform(act)
        except OSError as error:
            name = act.path if act.sidecar_of else step.removal.image.path
            result.refused.append((name, reason_of(error)))
            journal.mark("dropped", acts[position + 1 :])
            with suppress(OSError):  # as it is, the next run or undo finds out
                journal.mark("done" if settle(act) else "dropped", [act])
            acts = acts[:position]
            break
    journal.mark("done", acts)
    journal.settle_times(intended)
    _count(acts, result)


def _count(acts: list[Act], result: ApplyResult) -> None:
    for act in acts:
        result.done_bytes += act.file_bytes
        if act.sidecar_of:
            result.sidecars += 1
        else:
            result.done += 1
