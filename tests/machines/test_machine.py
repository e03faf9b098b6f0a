"""What a process may use: the machine's memory and cores, or less in a container."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sscd_cli.machines import hardware as machine

Group = Callable[[str, dict[str, str]], None]


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="glibc on Linux")
def test_freed_memory_goes_back_to_the_system() -> None:
    blocks = [bytes(20_000) for _ in range(5_000)]
    last, full = blocks[-1], resident_bytes()
    blocks.clear()
    machine.give_memory_back()
    assert full - resident_bytes() > 50_000_000
    assert len(last) == 20_000


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("flags", "is_faster"),
    [
        ("avx512f avx512_bf16", True),  # AMD since Zen 4, Intel's Cooper Lake
        ("avx512f avx512_bf16 avx512_fp16 amx_bf16", True),  # Intel since Sapphire Rapids
        ("avx512f avx512_bf16 avx512_fp16", False),  # the same in a virtual machine without AMX
        ("avx512f avx512_fp16", False),
        ("avx2", False),
    ],
)
def test_bfloat16_is_taken_where_it_is_faster_than_float32(
    flags: str, is_faster: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(f"flags: {flags}\n")
    monkeypatch.setattr(machine, "_CPU", tmp_path / "cpuinfo")
    assert machine.has_bfloat16.__wrapped__() == is_faster  # what is cached is of the true machine


def test_a_machine_without_the_driver_has_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    machine.has_cuda_driver.cache_clear()
    monkeypatch.setattr(machine.ctypes, "CDLL", missing)
    assert not machine.has_cuda_driver()
    machine.has_cuda_driver.cache_clear()
    monkeypatch.setattr(machine.ctypes, "CDLL", lambda name: None)
    assert machine.has_cuda_driver()
    machine.has_cuda_driver.cache_clear()


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Group:
    """Return what puts this process into a control group with limits."""

    def put(groups: str, limits: dict[str, str]) -> None:
        (tmp_path / "own").write_text(groups)
        for name, text in limits.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        monkeypatch.setattr(machine, "_GROUPS", tmp_path / "cgroup")
        monkeypatch.setattr(machine, "_OWN_GROUP", tmp_path / "own")
        for name in ("_cpu_share", "_memory_share"):
            monkeypatch.setattr(machine, name, getattr(machine, name).__wrapped__)

    return put


@pytest.mark.parametrize(
    ("groups", "limits", "expected"),
    [
        (
            "0::/job/step\n",
            {"job/memory.max": "5000000\n", "job/step/memory.max": "max\n"},
            5_000_000,
        ),
        ("0::/\n", {"memory.max": "7000000\n"}, 7_000_000),
        ("4:memory:/job\n0::/\n", {"memory/job/memory.limit_in_bytes": "6000000\n"}, 6_000_000),
    ],
)
def test_the_limit_of_a_container_counts(
    group: Group, groups: str, limits: dict[str, str], expected: int
) -> None:
    group(groups, limits)
    assert machine.memory_bytes() == expected


@pytest.mark.parametrize(
    ("groups", "limits", "expected"),
    [
        ("0::/job/step\n", {"job/cpu.max": "100000 100000\n", "job/step/cpu.max": "max 1\n"}, 1),
        ("0::/\n", {"cpu.max": "250000 100000\n"}, 3),
        ("0::/\n", {"cpu.max": "20000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 64),
        ("0::/\n", {"cpu.max": "9000000 100000\n"}, 64),
        (
            "3:cpu,cpuacct:/job\n0::/\n",
            {"cpu/job/cpu.cfs_quota_us": "200000\n", "cpu/job/cpu.cfs_period_us": "100000\n"},
            2,
        ),
        ("3:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 64),
    ],
)
def test_a_container_that_may_use_some_cores_of_64_gets_as_many_threads(
    monkeypatch: pytest.MonkeyPatch,
    group: Group,
    groups: str,
    limits: dict[str, str],
    expected: int,
) -> None:
    monkeypatch.setattr(machine, "_cores", lambda: 64)
    monkeypatch.setattr(machine.os, "environ", environ := {"OMP_NUM_THREADS": "5"})
    group(groups, limits)
    assert machine.core_count() == expected
    machine.share_cores()
    assert environ["OMP_NUM_THREADS"] == "5"
    assert environ["OMP_WAIT_POLICY"] == "PASSIVE"
    assert environ["OPENBLAS_THREAD_TIMEOUT"] == "20", "by default it spins 64 times as long"
    assert environ.get("OPENBLAS_NUM_THREADS") == (str(expected) if expected < 64 else None)


def test_without_control_groups_the_machine_is_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_OWN_GROUP", tmp_path / "missing")
    monkeypatch.setattr(machine, "_memory_share", machine._memory_share.__wrapped__)
    assert machine.memory_bytes() > 1 << 26
