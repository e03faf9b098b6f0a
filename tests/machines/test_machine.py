"""The memory that a process may use: the machine's, or less in a container."""

from __future__ import annotations

from pathlib import Path

import pytest

from sscd_cli.machines import hardware as machine


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
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    groups: str,
    limits: dict[str, str],
    expected: int,
) -> None:
    (tmp_path / "own").write_text(groups)
    for name, text in limits.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(machine, "_GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "_OWN_GROUP", tmp_path / "own")
    assert machine.memory_bytes() == expected


def test_without_control_groups_the_machine_is_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_OWN_GROUP", tmp_path / "missing")
    assert machine.memory_bytes() > 1 << 26
