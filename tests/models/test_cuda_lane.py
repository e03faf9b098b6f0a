"""A GPU's lane of batches on simulated streams and graphs: what is begun before what is waited for.

The simulated graph does what a real one does, but on the CPU: it notes the operations between its
beginning and its end, and its replay runs them again, into the memory that they had.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import picture
from networks import lively, pixels
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from sscd_cli.embedding import on_gpu as beside
from sscd_cli.embedding.local import embed_stream
from sscd_cli.embedding.stream import Decoder, Embedded
from sscd_cli.errors import SscdError
from sscd_cli.images.sources import iter_images
from sscd_cli.models.load import Model, load_model
from sscd_cli.models.runtime.cuda import WARM_UP, Graphs, Lane
from sscd_cli.models.runtime.torch_runtime import Runtime

CPU = torch.device("cpu")


class Graph(TorchDispatchMode):
    """A simulated CUDA graph."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, work: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = work(*args, **(kwargs or {}))
        self.noted.append((work, args, kwargs or {}, result))
        return result

    def replay(self) -> None:
        for work, args, kwargs, result in self.noted:
            again = work(*args, **kwargs)
            if isinstance(result, Tensor) and again is not result:
                result.copy_(again)


class Log(list[str]):
    """What was asked of the simulated device, in order."""


@dataclass
class Stream:
    """A simulated stream of work."""

    name: str
    log: Log

    def wait_stream(self, other: Stream) -> None:
        self.log.append(f"{self.name} waits for {other.name}")


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    """A machine whose GPU is the CPU."""
    log = Log()
    here = Stream("compute", log)
    copies = iter(["copies", *["side"] * 9])

    class Event:
        def record(self) -> None:
            self.number = sum(line.startswith("end") for line in log)
            log.append(f"end {self.number}")

        def synchronize(self) -> None:
            log.append(f"wait {self.number}")

    @contextmanager
    def on(stream: Any) -> Iterator[None]:
        log.append(f"on {stream.name}")
        yield

    fakes = {
        "Stream": lambda *device: Stream(next(copies), log),
        "current_stream": lambda: here,
        "stream": on,
        "device": lambda device: nullcontext(),
        "Event": Event,
        "CUDAGraph": Graph,
        "graph": lambda graph, capture_error_mode: graph,
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    noted = lambda tensor, stream: log.append(f"kept for {stream.name}")  # noqa: E731
    monkeypatch.setattr(Tensor, "record_stream", noted)
    return log


@pytest.fixture
def runtime() -> Runtime:
    return Runtime.of(lively("mini"), CPU, "fp32")


def on_gpu(runtime: Runtime) -> Runtime:
    there = copy.copy(runtime)
    there.lane = Lane(CPU)
    return there


def test_a_batch_goes_up_beside_and_is_computed_after(log: Log, runtime: Runtime) -> None:
    there = on_gpu(runtime)
    waits = [there.start(pixels(2, 32)), there.start(pixels(3, 32))]
    begun = ["on copies", "compute waits for copies", "kept for compute"]
    assert log == [*begun, "end 0", *begun, "end 1"]
    found = [wait() for wait in waits]
    assert log[-2:] == ["wait 0", "wait 1"]
    for rows, count in zip(found, (2, 3), strict=True):
        assert rows.tobytes() == runtime.embed(pixels(count, 32)).tobytes()


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("kind", ["descriptor", "embedding", "logits"])
def test_replayed_kernels_give_each_batch_its_own_rows(runtime: Runtime, kind: Any) -> None:
    there = on_gpu(runtime)
    batches = [pixels(4, 32).roll(step, 0) + step for step in range(WARM_UP + 3)]
    waits = [there.start(batch, kind) for batch in batches]
    assert there.lane is not None
    graphs = there.lane._graphs[kind]
    assert list(graphs._captured) == [batches[0].shape]
    for batch, wait in zip(batches, waits, strict=True):
        assert wait().tobytes() == runtime.embed(batch, kind).tobytes()


@pytest.mark.usefixtures("log")
def test_only_shapes_that_keep_coming_are_captured_and_few_of_them() -> None:
    graphs = Graphs(lambda batch: batch * 2)
    batches = [torch.full((2, width), 3.0) for width in (4, 5, 6)]
    for _ in range(WARM_UP - 1):
        assert all(torch.equal(graphs(batch), batch * 2) for batch in batches)
    assert not graphs._captured
    for _ in range(2):
        assert all(torch.equal(graphs(batch), batch * 2) for batch in batches)
    assert [shape[-1] for shape in graphs._captured] == [4, 5]


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("error", ["operation not permitted\nwhen capturing", None])
def test_without_a_graph_kernels_are_launched_and_it_is_said_once(
    monkeypatch: pytest.MonkeyPatch, error: str | None
) -> None:
    def failing(graph: Graph, capture_error_mode: str) -> Graph:
        if error:
            raise RuntimeError(error)
        return graph

    monkeypatch.setattr(torch.cuda, "graph", failing)
    monkeypatch.setattr(Graph, "replay", lambda graph: graph.noted[-1][3].add_(1))
    graphs = Graphs(lambda batch: batch * 2)
    batches = [torch.full((2, width), 3.0) for width in (1, 2) for _ in range(WARM_UP + 2)]
    reason = "operation not permitted" if error else "it gives other descriptors"
    with pytest.warns(RuntimeWarning) as caught:
        found = [graphs(batch) for batch in batches]
    assert [str(one.message) for one in caught] == [f"embedding without a CUDA graph: {reason}"]
    for batch, rows in zip(batches, found, strict=True):
        assert torch.equal(rows, batch * 2)


@pytest.mark.usefixtures("log")
def test_out_of_memory_on_the_device_halves_the_batch(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, begin = on_gpu(runtime), Lane.start

    def small(lane: Lane, compute: Any, name: str, batch: Tensor) -> Any:
        if len(batch) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return begin(lane, compute, name, batch)

    monkeypatch.setattr(Lane, "start", small)
    images = pixels(9, 32)
    np.testing.assert_allclose(there.embed(images), runtime.embed(images), atol=1e-5)
    assert there.largest_batch == 2


@pytest.fixture
def model(tiny_model: Path) -> Model:
    return load_model(str(tiny_model), device="cpu", precision="fp32")


def test_the_next_batch_is_begun_before_one_is_waited_for(
    log: Log, model: Model, tmp_path: Path
) -> None:
    for i in range(7):
        picture(tmp_path / "photos" / f"{i:02}.png", i)

    def embedded() -> list[Embedded]:
        refs, decoder = iter_images([str(tmp_path / "photos")]), Decoder(model.spec.recipe)
        return list(embed_stream(refs, model, decoder, batch_size=2, workers=0))

    expected = embedded()
    model.runtime.lane = Lane(CPU)
    found = embedded()
    events = [line for line in log if line.startswith(("end", "wait"))]
    assert events == [
        *("end 0", "end 1", "wait 0", "end 2", "wait 1"),
        *("end 3", "wait 2", "wait 3"),
    ]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.outcomes == theirs.outcomes
        assert ours.descriptors.keys() == theirs.descriptors.keys()
        for index, descriptor in theirs.descriptors.items():
            assert ours.descriptors[index].tobytes() == descriptor.tobytes()


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_what_was_begun_before_an_error_is_not_lost(ahead: int) -> None:
    def begun() -> Iterator[Any]:
        yield from [lambda: 1, lambda: 2]
        raise SscdError("the folder is gone", "bring it back")

    found = beside.ahead(begun(), ahead)
    assert [next(found), next(found)] == [1, 2]
    with pytest.raises(SscdError, match="the folder is gone"):
        next(found)
