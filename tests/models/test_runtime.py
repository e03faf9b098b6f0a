"""A network made ready: the same descriptors, faster; and out of memory is survived."""

from __future__ import annotations

import copy
import platform
from typing import Any

import numpy as np
import pytest
import torch
from networks import lively, pixels
from torch import Tensor, nn

from sscd_cli.errors import SscdError, UsageError
from sscd_cli.machines.device import Device, choose_device, choose_precision
from sscd_cli.machines.hardware import has_bfloat16, keep_large_allocations
from sscd_cli.models.network import Network
from sscd_cli.models.runtime.fused import FusedBlock, FusedConv
from sscd_cli.models.runtime.torch_runtime import Runtime, Wait, fold_batch_norm

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def mini() -> Network:
    return lively("mini")


@pytest.mark.parametrize("trunk", ["mini", "efficientnet_lite0", "resnet50"])
def test_folded_batch_norm_changes_no_descriptor(trunk: str) -> None:
    network, images = lively(trunk), pixels(2)
    expected = network(images).detach()
    fold_batch_norm(network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    assert float((network(images) - expected).detach().abs().max()) < 1e-5
    assert float((expected[0] - expected[1]).abs().max()) > 1e-4


def test_a_runtime_gives_the_networks_descriptors(mini: Network) -> None:
    images = pixels(5)
    expected = mini(images).detach().numpy()
    runtime = Runtime.of(copy.deepcopy(mini), CPU, "fp32")
    descriptors = runtime.embed(images)
    assert descriptors.dtype == np.float32
    np.testing.assert_allclose(descriptors, expected, atol=1e-5)
    np.testing.assert_allclose(runtime.embed(images[:1]), expected[:1], atol=1e-5)


@pytest.mark.parametrize("trunk", ["mini", "efficientnet_lite0", "resnet50", "resnext101_32x4d"])
def test_fused_convolutions_change_no_map(trunk: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = lively(trunk)
    fused = Runtime.of(copy.deepcopy(network), CPU, "fp32")
    assert any(isinstance(module, FusedBlock) for module in fused.network.modules())
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    plain = Runtime.of(network, CPU, "fp32")
    assert not any(isinstance(module, FusedBlock) for module in plain.network.modules())
    for images in (pixels(1, 96), pixels(3, 64)):
        expected = plain.stage_maps(images)
        for name, found in fused.stage_maps(images).items():
            np.testing.assert_allclose(found, expected[name], atol=1e-5 * expected[name].max())


def test_convolutions_and_maps_are_channels_last(mini: Network) -> None:
    runtime = Runtime.of(copy.deepcopy(mini), CPU, "fp32")
    seen: list[bool] = []
    for module in runtime.network.modules():
        if isinstance(module, FusedConv):
            assert module.weight.is_contiguous(memory_format=torch.channels_last)
            assert not module.weight.requires_grad
        if isinstance(module, FusedBlock):
            module.register_forward_hook(
                lambda m, i, out: seen.append(out.is_contiguous(memory_format=torch.channels_last))
            )
    runtime.embed(pixels(2).contiguous())
    assert len(seen) == 8
    assert all(seen)


def test_bfloat16_is_for_the_trunk_and_stays_within_the_tolerance(mini: Network) -> None:
    images = pixels(4)
    expected = mini(images).detach().numpy()
    runtime = Runtime.of(copy.deepcopy(mini), CPU, "bf16")
    convolutions = [m for m in runtime.network.modules() if isinstance(m, FusedConv)]
    assert {m.weight.dtype for m in convolutions} == {torch.bfloat16}
    assert runtime.network.fc.weight.dtype == torch.float32
    descriptors = runtime.embed(images)
    assert descriptors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(descriptors, axis=1), 1, atol=1e-6)
    assert 0 < np.abs(descriptors - expected).max() < 5e-2


def test_out_of_memory_halves_the_batch_and_goes_on(
    mini: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = Runtime.of(copy.deepcopy(mini), CPU, "fp32")
    images, tried = pixels(11, 32), []
    expected = runtime.embed(images)
    whole = Runtime._start

    def small(self: Runtime, batch: Tensor, *rest: Any) -> Wait:
        tried.append(len(batch))
        if len(batch) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(self, batch, *rest)

    monkeypatch.setattr(Runtime, "_start", small)
    np.testing.assert_allclose(runtime.embed(images), expected, atol=1e-5)
    assert tried == [11, 5, 2, 2, 2, 2, 2, 1]
    assert runtime.largest_batch == 2
    np.testing.assert_allclose(runtime.embed(images[:4]), expected[:4], atol=1e-5)
    assert tried[8:] == [2, 2], "what did not fit once is not tried again"


def test_one_image_that_does_not_fit_is_an_error(
    mini: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(self: Runtime, batch: Tensor, *rest: Any) -> Wait:
        raise torch.OutOfMemoryError("CUDA out of memory")

    runtime = Runtime.of(copy.deepcopy(mini), CPU, "fp32")
    monkeypatch.setattr(Runtime, "_start", never)
    with pytest.raises(torch.OutOfMemoryError):
        runtime.embed(pixels(4, 32))


def message(call: object, *arguments: object) -> str:
    with pytest.raises(UsageError) as caught:
        call(*arguments)  # type: ignore[operator]
    return str(caught.value)


def test_devices_go_by_name() -> None:
    assert choose_device("cpu") == Device("cpu")
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    words = "use --device cpu, cuda or cuda:N"
    assert message(choose_device, "gpu") == f"unknown device 'gpu'; {words}"
    assert message(choose_device, "mps") == f"sscd does not run on 'mps'; {words}"
    absent = f"cuda:{torch.cuda.device_count()}"
    expected = f"this machine has no CUDA device {absent!r}; use --device cpu"
    with pytest.raises(SscdError) as caught:
        choose_device(absent)
    assert str(caught.value) == expected


def test_precisions_go_by_name() -> None:
    assert choose_precision("fp32", Device("cpu")) == "fp32"
    assert choose_precision("bf16", Device("cpu")) == "bf16"
    assert choose_precision("auto", Device("cpu")) == ("bf16" if has_bfloat16() else "fp32")
    assert message(choose_precision, "half", Device("cpu")) == (
        "unknown precision 'half'; use one of auto, fp32, bf16, fp16, int8"
    )
    assert message(choose_precision, "fp16", Device("cpu")) == (
        "fp16 is for CUDA devices; use --precision bf16 or fp32"
    )
    assert choose_precision("int8", Device("cpu")) == "int8"
    assert message(choose_precision, "int8", Device("cuda")) == (
        "int8 is for CPUs; use --precision auto"
    )


def test_large_allocations_are_kept_where_the_c_library_can() -> None:
    assert keep_large_allocations() == (platform.libc_ver()[0] == "glibc")
