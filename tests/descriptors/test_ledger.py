"""Nothing is embedded twice, whatever happened to the runs before."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from stores import PROVENANCE, row, rows

from sscd_cli.descriptors.ledger import DigestMap, Ledger
from sscd_cli.descriptors.read import read_descriptors
from sscd_cli.descriptors.schema import Row, name_digest
from sscd_cli.descriptors.write import ShardWriter

FILES = {f"{number:02}": f"content {number % 7}" for number in range(11)}


def embed(folder: Path, files: Mapping[str, str], *, mtime_ns: int = 1, pause: float = 0) -> int:
    """Play `sscd embed`: skip what is unchanged, copy what is known, embed the rest.

    files: name to content. Returns: how many descriptors had to be computed.
    """
    computed = 0
    with ShardWriter(folder, PROVENANCE, rows_per_shard=3) as writer:
        ledger = Ledger(folder, PROVENANCE)
        for name, content in files.items():
            if ledger.unchanged(name_digest("/photos", name), len(content), mtime_ns):
                continue
            digest = hashlib.blake2b(content.encode(), digest_size=16).digest()
            if ledger.holds(digest):
                descriptor = ledger.known(digest).descriptor
            else:
                descriptor = row(content).descriptor
                computed += 1
            facts = {"mtime_ns": mtime_ns, "file_bytes": len(content), "content_hash": digest}
            made = [Row(name, "/photos", descriptor, **facts)]
            ledger.note(made, writer.add(made))
            time.sleep(pause)
    return computed


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("shard-*.parquet")}


def test_a_second_run_writes_nothing(tmp_path: Path) -> None:
    assert embed(tmp_path, FILES) == 7
    before = contents(tmp_path)
    assert embed(tmp_path, FILES) == 0
    assert contents(tmp_path) == before


def test_exact_copies_are_embedded_once_and_share_their_descriptor(tmp_path: Path) -> None:
    embed(tmp_path, FILES)
    found = read_descriptors(tmp_path)
    assert len(found) == len(FILES)
    for descriptor, content in zip(found.descriptors, FILES.values(), strict=True):
        np.testing.assert_array_equal(descriptor, row(content).descriptor.astype(np.float16))


def test_moved_files_cost_nothing(tmp_path: Path) -> None:
    embed(tmp_path, FILES)
    assert embed(tmp_path, {f"moved/{name}": content for name, content in FILES.items()}) == 0


def test_a_changed_file_is_embedded_again_and_supersedes(tmp_path: Path) -> None:
    embed(tmp_path, FILES)
    assert embed(tmp_path, {"03": "content X"}, mtime_ns=2) == 1
    found = read_descriptors(tmp_path)
    assert len(found) == len(FILES)
    at = list(found.ids).index("03")
    np.testing.assert_array_equal(
        found.descriptors[at], row("content X").descriptor.astype(np.float16)
    )
    assert embed(tmp_path, {"03": "content 3"}) == 0  # as it was at first, but not as it is now
    assert read_descriptors(tmp_path).superseded == 2


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
from test_ledger import FILES, embed

left = int(sys.argv[2])
def counted(call):
    def wrapper(*args, **kwargs):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **kwargs)
    return wrapper
os.fsync, Path.open, Path.replace = counted(os.fsync), counted(Path.open), counted(Path.replace)
embed(Path(sys.argv[1]), FILES, pause=float(sys.argv[2] == "-1") / 50)
"""


def killable(folder: Path, step: int) -> list[str]:
    return [sys.executable, "-c", KILLED, str(folder), str(step), *sys.path]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    embed(folder, FILES)
    return contents(folder)


@pytest.mark.parametrize("step", [1, 3, 4, 5, 12, 17])
def test_a_run_killed_at_any_step_is_completed_by_the_next(
    tmp_path: Path, undisturbed: dict[str, bytes], step: int
) -> None:
    """Steps: open the lock, then for each of four shards open, flush, rename, flush the folder."""
    killed = subprocess.run(killable(tmp_path, step), check=False)
    assert killed.returncode == -signal.SIGKILL
    finished = contents(tmp_path)
    assert len(finished) == (step - 1) // 4
    assert all(undisturbed[name] == payload for name, payload in finished.items())
    embed(tmp_path, FILES)
    assert contents(tmp_path) == undisturbed
    assert not list(tmp_path.glob(".*.part"))


def test_a_run_killed_between_images_is_completed_by_the_next(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    with subprocess.Popen(killable(tmp_path, -1)) as running:
        while not contents(tmp_path):
            time.sleep(0.005)
        running.kill()
    assert running.returncode == -signal.SIGKILL
    embed(tmp_path, FILES)
    assert contents(tmp_path) == undisturbed


def test_damaged_images_are_not_read_again_but_unopened_ones_are(tmp_path: Path) -> None:
    facts = {"mtime_ns": 1, "file_bytes": 2}
    damaged = Row("damaged", "/p", error="truncated", content_hash=bytes(16), **facts)
    unopened = Row("unopened", "/p", error="permission denied", **facts)
    with ShardWriter(tmp_path, PROVENANCE) as writer:
        writer.add([damaged, unopened])
    ledger = Ledger(tmp_path, PROVENANCE)
    assert ledger.unchanged(name_digest("/p", "damaged"), 2, 1)
    assert not ledger.unchanged(name_digest("/p", "damaged"), 3, 1)
    assert ledger.damaged(name_digest("/p", "damaged"))
    assert ledger.reason(name_digest("/p", "damaged")) == "truncated"
    assert not ledger.unchanged(name_digest("/p", "unopened"), 2, 1)
    assert not ledger.holds(bytes(16))


def test_time_size_name_and_source_all_count(tmp_path: Path) -> None:
    name, source = "\udcff.jpg", "/\udce9"
    each = replace(row("a"), id=name, source=source, mtime_ns=10**18, file_bytes=5)
    with ShardWriter(tmp_path, PROVENANCE) as writer:
        writer.add([each, replace(row("b"), mtime_ns=None)])
    ledger = Ledger(tmp_path, PROVENANCE)
    assert ledger.unchanged(name_digest(source, name), 5, 10**18)
    assert not ledger.damaged(name_digest(source, name))
    for its_source, its_name, *status in (
        (source, name, 5, 10**18 + 1),
        (source, name, 6, 10**18),
        (source, name, 5, None),
        ("/p", name, 5, 10**18),
        (source, "a", 5, 10**18),
        ("/photos", "b", None, None),
    ):
        assert not ledger.unchanged(name_digest(its_source, its_name), *status)


def test_descriptors_of_open_and_closed_shards_are_the_stored_ones(tmp_path: Path) -> None:
    written = rows([str(number) for number in range(40)])
    with ShardWriter(tmp_path, PROVENANCE, rows_per_shard=6) as writer:
        ledger = Ledger(tmp_path, PROVENANCE)
        for each in (written[:11], written[11:]):
            ledger.note(each, writer.add(each))
            for known in written[: written.index(each[-1]) + 1]:
                found = ledger.known(known.content_hash).descriptor
                assert found.dtype == np.float16
                np.testing.assert_array_equal(found, known.descriptor.astype(np.float16))
    with pytest.raises(KeyError):
        ledger.known(bytes(16))


def test_digest_map_agrees_with_a_dict() -> None:
    generator = np.random.default_rng(0)
    pool = [generator.bytes(16) for _ in range(300)] + [bytes(16), b"\1" + bytes(15)]
    found, expected = DigestMap(fresh=32), {}
    for _ in range(2000):
        digest = pool[generator.integers(len(pool))]
        found[digest] = expected[digest] = int(generator.integers(2**64, dtype=np.uint64))
    assert {digest: found.get(digest) for digest in pool} == {d: expected.get(d) for d in pool}
    assert found.get(b"\xff" * 16) is None


def test_digest_map_takes_24_bytes_an_entry() -> None:
    found = DigestMap(fresh=1000)
    for number in range(20_000):
        found[hashlib.blake2b(b"%d" % number, digest_size=16).digest()] = number
    assert found.nbytes == 24 * 20_000


def test_what_this_run_adds_is_known_but_was_not_held_before(tmp_path: Path) -> None:
    old, new = (hashlib.blake2b(name, digest_size=16).digest() for name in (b"old", b"new"))
    with ShardWriter(tmp_path, PROVENANCE) as writer:
        writer.add([Row("a", "/photos", row("a").descriptor, content_hash=old)])
    with ShardWriter(tmp_path, PROVENANCE) as writer:
        ledger = Ledger(tmp_path, PROVENANCE)
        added = [
            Row(n, "/photos", row(n).descriptor, content_hash=h)
            for n, h in (("b", new), ("c", old))
        ]
        ledger.note(added, writer.add(added))
        assert [ledger.holds(digest) for digest in (old, new)] == [True, True]
        assert [ledger.held_at_start(digest) for digest in (old, new)] == [True, False]
