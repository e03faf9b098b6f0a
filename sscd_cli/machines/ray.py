"""Run the tasks of a plan on a Ray cluster: the one place that knows Ray.

Ray only places, restarts and counts. What belongs to a task, where its results lie and what is
done already is the plan's own business (`tasks`, `descriptors.shards`), the same as for
`--task I/N`: a job begun here can be finished there.

A worker that dies is started again, on another machine if need be, and goes on at the shard that
it had open. A task that fails stops no other task. Every machine sees the sources, the
descriptors and the working directory under the same paths, and has this package installed.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, redirect_stdout, suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sscd_cli.errors import SscdError, reason_of
from sscd_cli.machines.tasks import Task, spaced

Result = TypeVar("Result")
Tell = Callable[[Any], None]
Work = Callable[[Task, Tell], Result]

RETRIES = 3  # of a task whose worker died
NEWS_SECONDS = 1.0


class Share(Protocol):
    """What each task of a job gets of a cluster; None is for the cluster to say."""

    @property
    def gpus_per_task(self) -> float | None: ...
    @property
    def cpus_per_task(self) -> float | None: ...
    @property
    def memory_per_task(self) -> float | None:
        """In GiB."""


class RayCluster:
    """A connection to Ray for the length of a `with` block.

    To the cluster that RAY_ADDRESS names, one running here, or a new one on this machine; what
    the caller connected stays connected. Ray tells of workers that died on stdout, which here is
    for data: until the block ends, stdout is stderr.
    Raises: SscdError: Ray is not installed, or the cluster cannot be reached. UsageError: no
        machine of it has what a task needs.
    """

    def __init__(self, options: Share) -> None:
        self._options = options
        self._held = ExitStack()

    def __enter__(self) -> RayCluster:
        with ExitStack() as held:
            held.enter_context(redirect_stdout(sys.stderr))
            self._ray = _imported()
            if not self._ray.is_initialized():
                _connect(self._ray)
                held.callback(self._ray.shutdown)
            self._needs = _needs(self._ray, self._options)
            _refuse_impossible(self._ray, self._needs)
            self._held = held.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._held.close()

    @property
    def slots(self) -> int:
        """How many tasks run at once, 1 at least."""
        there = self._ray.cluster_resources()
        rooms = [
            there.get(name, 0) / self._needs[word]
            for word, name in _NAMES.items()
            if self._needs.get(word)
        ]
        return max(1, int(min(rooms, default=1)))

    @property
    def cores(self) -> int:
        """How many cores a task may keep busy."""
        return max(1, int(self._needs["num_cpus"]))

    def run(
        self,
        work: Work[Result],
        tasks: Sequence[Task],
        progress: Callable[[list[Any]], None] = lambda news: None,
    ) -> list[Result]:
        """Run `work(task, tell)` for each task somewhere on the cluster.

        `progress` is called about once a second with the latest news of each task that told
        any. Returns: what each task returned, in the order of `tasks`.
        Raises: SscdError: tasks failed; the others were run to their end first.
            KeyboardInterrupt: the tasks are interrupted too, and end as after Ctrl-C.
        """
        ray = self._ray
        board = ray.remote(num_cpus=0, max_restarts=-1)(_Board).remote()
        remote = ray.remote(max_retries=RETRIES, **self._needs)(_run)
        running = {remote.remote(work, task, board, str(Path.cwd())): task for task in tasks}
        ended: dict[Task, Any] = {}
        try:
            while running:
                ready, _ = ray.wait(list(running), timeout=NEWS_SECONDS)
                for reference in ready:
                    ended[running.pop(reference)] = _outcome(ray, reference)
                _show(ray, board, progress)
        except KeyboardInterrupt:
            for reference in running:
                ray.cancel(reference)
            ray.wait(list(running), num_returns=len(running), timeout=10)
            raise
        _raise_failures(ended)
        return [ended[task] for task in tasks]


def _imported() -> Any:
    try:
        import ray
    except ImportError:
        raise SscdError("Ray is not installed", "pip install 'sscd-cli[ray]'") from None
    return ray


def _connect(ray: Any) -> None:
    """Connect; our variables reach the workers, their output does not reach us."""
    ours = {name: value for name, value in os.environ.items() if name.startswith("SSCD_")}
    ends = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            log_to_driver=False,
            logging_level=logging.ERROR,
            include_dashboard=False,
            runtime_env={"env_vars": ours},
        )
    except (ConnectionError, ValueError) as error:
        what = f"cannot reach the Ray cluster: {error}"
        raise SscdError(what, "check RAY_ADDRESS and `ray status`") from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, ends)  # Ray's own would end the run without a word


_NAMES = {"num_gpus": "GPU", "num_cpus": "CPU", "memory": "memory"}


def _needs(ray: Any, options: Share) -> dict[str, float]:
    """Return what a task needs, in Ray's words: a GPU and its share of cores, or one core."""
    there = ray.cluster_resources()
    gpus, cpus = options.gpus_per_task, options.cpus_per_task
    if gpus is None:
        gpus = 1 if there.get("GPU") else 0
    if cpus is None:
        cpus = max(1, int(gpus * there["CPU"] / there["GPU"])) if gpus and there.get("GPU") else 1
    needs = {"num_gpus": gpus, "num_cpus": cpus}
    if options.memory_per_task is not None:
        needs["memory"] = round(options.memory_per_task * 2**30)
    return needs


def _refuse_impossible(ray: Any, needs: Mapping[str, float]) -> None:
    """Refuse what no machine of the cluster has: Ray would wait for it for ever."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for word, need in needs.items():
        most = max(machine.get(_NAMES[word], 0) for machine in machines)
        if need > most:
            option = word.removeprefix("num_")
            shown = (need / 2**30, most / 2**30) if word == "memory" else (need, most)
            raise SscdError(
                f"no machine of the cluster has --{option}-per-task {shown[0]:g}",
                f"ask for {shown[1]:.4g} at most",
            )


class _Board:
    """An actor that keeps the latest news of each task."""

    def __init__(self) -> None:
        self._news: dict[Task, Any] = {}

    def note(self, task: Task, news: Any) -> None:
        self._news[task] = news

    def read(self) -> dict[Task, Any]:
        return self._news


def _show(ray: Any, board: Any, progress: Callable[[list[Any]], None]) -> None:
    with suppress(ray.exceptions.RayError):  # its machine went down
        news = ray.get(board.read.remote())
        if news:
            progress(list(news.values()))


def _run(work: Work[Result], task: Task, board: Any, folder: str) -> Result:
    """Run one task in a worker, where relative paths shall mean what they mean to the driver."""
    try:
        os.chdir(folder)
    except OSError as error:
        what = f"a worker cannot enter {folder}: {reason_of(error)}"
        raise SscdError(what, "run from a folder that all machines share") from error
    return work(task, spaced(lambda news: board.note.remote(task, news), NEWS_SECONDS))


def _outcome(ray: Any, reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        return error.cause
    except ray.exceptions.RayError as error:
        what = f"its worker died {RETRIES + 1} times"
        return SscdError(what, f"see the logs of Ray ({type(error).__name__})")


def _raise_failures(ended: Mapping[Task, Any]) -> None:
    """Raise the first task's failure, if any failed; what the others did stays."""
    failed = sorted(task for task, outcome in ended.items() if isinstance(outcome, Exception))
    if not failed:
        return
    cause = ended[failed[0]]
    if not isinstance(cause, SscdError):
        cause = SscdError(f"{type(cause).__name__}: {cause}", "add --debug and report it")
    more = f" ({len(failed):,} of {len(ended):,} tasks failed)"
    raise SscdError(
        f"task {failed[0]} failed: {cause.what}{more}",
        f"{cause.fix}; then run the same command again, what is done stays",
    ) from cause
