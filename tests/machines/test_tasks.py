"""Several machines, each with its part of the images, end as one machine would have."""

from __future__ import annotations

import shutil
import signal
import sys
from pathlib import Path

import pytest
from conftest import Run, error_line, names_in, picture
from divided import COUNT, rows
from pausing import paused_embed

from sscd_cli.errors import UsageError
from sscd_cli.machines.tasks import Task, all_tasks

N = 4


def task(run: Run, number: int, *words: str) -> None:
    ran = run("embed", "photos", "--task", f"{number}/{N}", *words)
    assert ran.status == 0, ran.err


def test_each_name_belongs_to_exactly_one_task_of_each_division() -> None:
    for count in (1, 3, 64):
        for name in ("a.jpg", "ordner/ä.png", "\udcff.png", ""):
            assert sum(task.holds("/photos", name) for task in all_tasks(count)) == 1


def test_a_division_is_even_and_never_changes() -> None:
    names = [f"{number:05}.jpg" for number in range(8000)]
    sizes = [sum(task.holds("/photos", name) for name in names) for task in all_tasks(8)]
    assert min(sizes) > 900
    assert max(sizes) < 1100
    first = [next(t.number for t in all_tasks(8) if t.holds("/photos", n)) for n in names[:8]]
    assert first == [1, 1, 6, 7, 8, 3, 4, 5]  # a dataset begun by an older version goes on


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "1/0", "a/b", "-1/4", "1/4/2", "1/1000000"])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no part of a job; write I/N"):
        Task.parse(text)


def test_four_tasks_make_what_one_run_makes(tiny: Run, photos: Path) -> None:
    tiny("embed", "photos", "-d", "one")
    for number in (3, 1, 4, 2):
        task(tiny, number)
    assert rows(Path("descriptors")) == rows(Path("one"))
    assert len(rows(Path("one"))) == COUNT
    shards = [path.name for path in Path("descriptors").glob("shard-*.parquet")]
    assert sorted(shards) == [f"shard-000000-{number}of4.parquet" for number in range(1, 5)]
    again = tiny("embed", "photos", "--task", "2/4")
    assert " 0 embedded, 0 exact copies, " in again.err


def test_a_missing_part_is_named_with_its_command(tiny: Run, photos: Path) -> None:
    for number in (1, 3):
        task(tiny, number, "--include", "*.png")
    for command in ("dedup", "index"):
        ran = tiny(command)
        assert ran.status == 3
        assert error_line(ran) == (
            "parts 2/4, 4/4 of descriptors are missing; "
            "run sscd embed photos --include '*.png' -d descriptors --task 2/4"
        )


def test_one_run_over_everything_completes_what_tasks_began(tiny: Run, photos: Path) -> None:
    tiny("embed", "photos", "-d", "one")
    task(tiny, 2)
    assert tiny("embed", "photos/0").status == 0  # other images do not complete it
    assert tiny("dedup").status == 3
    ran = tiny("embed", "photos")
    assert ran.status == 0
    assert tiny("dedup").status == 0
    shutil.rmtree("descriptors")
    task(tiny, 2)
    tiny("embed", "photos")
    assert rows(Path("descriptors")) == rows(Path("one"))


def test_another_division_completes_the_first_and_embeds_nothing_twice(
    tiny: Run, photos: Path
) -> None:
    task(tiny, 1)
    task(tiny, 2)
    done = len(list(Path("descriptors").glob("*.parquet")))
    counts = [tiny("embed", "photos", "--task", f"{number}/2").err for number in (1, 2)]
    assert done == 2
    unchanged = sum(int(err.split(" unreadable, ")[1].split(" ")[0]) for err in counts)
    assert 0 < unchanged < COUNT
    tiny("embed", "photos", "-d", "one")
    assert rows(Path("descriptors")) == rows(Path("one"))


def test_a_changed_file_is_embedded_again_by_its_task_alone(tiny: Run, photos: Path) -> None:
    for number in range(1, N + 1):
        task(tiny, number)
    picture(photos / "2/02.png", 900)
    picture(photos / "new.png", 901)
    embedded = [tiny("embed", "photos", "--task", f"{i}/{N}").err for i in range(1, N + 1)]
    assert sum(int(err.split(" images: ")[1].split(" ")[0]) for err in embedded) == 2
    tiny("embed", "photos", "-d", "one")
    assert rows(Path("descriptors")) == rows(Path("one"))


def test_a_task_without_images_is_done_all_the_same(tiny: Run, tmp_path: Path) -> None:
    picture(tmp_path / "photos/only.png", 1)
    for number in range(1, N + 1):
        task(tiny, number)
    assert len(rows(Path("descriptors"))) == 1


def test_a_container_stays_whole(tiny: Run, photos: Path) -> None:
    for name in "abcdef":
        shutil.make_archive(name, "tar", photos / "0")
    tars = [f"{name}.tar" for name in "abcdef"]
    tiny("embed", *tars, "-d", "one")
    for number in range(1, N + 1):
        assert tiny("embed", *tars, "--task", f"{number}/{N}").status == 0
    assert rows(Path("descriptors")) == rows(Path("one"))
    for path in Path("descriptors").glob("shard-*.parquet"):
        counts = [list(read_sources(path)).count(str(Path(tar).resolve())) for tar in tars]
        assert set(counts) <= {0, 12}


def test_a_container_is_opened_by_its_own_task_alone(tiny: Run, photos: Path) -> None:
    shutil.make_archive("fine", "tar", photos / "0")
    Path("torn.tar").write_bytes(b"no archive")
    words = ("embed", "fine.tar", "torn.tar", "--strict")
    ran = [tiny(*words, "--task", f"{i}/{N}") for i in range(1, N + 1)]
    assert sorted(each.status for each in ran) == [0, 0, 0, 4]
    assert sum("not a tar archive" in each.err for each in ran) == 1


def read_sources(path: Path) -> list[str]:
    import pyarrow.parquet as pq

    return pq.read_table(path)["source"].to_pylist()


def test_a_part_of_another_model_is_refused_at_once(
    tiny: Run, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task(tiny, 1)
    ran = tiny("embed", "photos", "--task", "2/4", "--model", "sscd_mini")
    assert ran.status == 3
    assert "cannot be mixed with this run's" in error_line(ran)


def test_a_damaged_record_is_named(tiny: Run, photos: Path) -> None:
    task(tiny, 1)
    (record,) = Path("descriptors").glob("part-*.json")
    record.write_bytes(b"{")
    assert error_line(tiny("dedup")) == (f"{record} is damaged; delete it and run that task again")


@pytest.mark.parametrize("command", [("embed", "photos"), ("dedup",)], ids=lambda words: words[0])
def test_without_ray_one_line_says_what_to_install(
    tiny: Run, photos: Path, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny("embed", "photos")
    monkeypatch.setitem(sys.modules, "ray", None)
    ran = tiny(*command, "--engine", "ray")
    assert ran.status == 3
    assert error_line(ran) == "Ray is not installed; pip install 'sscd-cli[ray]'"


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("-", "--engine", "ray"), 2, "other machines cannot read the list on stdin; name"),
        (("photos", "--engine", "ray", "--task", "1/2"), 2, "--engine ray runs every task itself;"),
        (("photos", "--engine", "spark"), 2, "unknown engine 'spark'; use one of local, ray"),
        (
            ("photos", "--engine", "ray", "--cpus-per-task", "-1"),
            2,
            "--cpus-per-task -1 is too small;",
        ),
        (
            ("photos", "--engine", "ray", "--gpus-per-task", "1.5"),
            2,
            "--gpus-per-task 1.5 is no whole",
        ),
        (("photos", "--prune", "--task", "1/2"), 2, "--prune needs the whole dataset; run it"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(
    tiny: Run, photos: Path, words: tuple[str, ...], status: int, message: str
) -> None:
    ran = tiny("embed", *words)
    assert ran.status == status
    assert error_line(ran).startswith(message)
    assert not Path("descriptors").exists()


def test_tasks_run_beside_each_other_but_none_runs_twice(
    tiny: Run, tiny_model: Path, photos: Path
) -> None:
    small = ("--batch-size", "2", "--shard-rows", "2")
    tiny("embed", "photos", "-d", "one", *small)
    words = ("photos", "--task", f"1/{N}", "-m", str(tiny_model))
    process = paused_embed(2, *words, *small)
    assert error_line(tiny("embed", "photos", "--task", "1/4", *small)) == (
        "another sscd is writing to part 1/4 of descriptors; "
        "wait for it to end, or choose another place with -d"
    )
    assert error_line(tiny("embed", "photos")).startswith("another sscd is writing to descriptors;")
    for number in (2, 3, 4):
        task(tiny, number, *small)
    assert "part 1/4 of descriptors is missing; run " in error_line(tiny("dedup"))
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    Path("descriptors/.shard-000007-1of4.parquet.part").write_bytes(b"half")
    Path("descriptors/.shard-000007-3of4.parquet.part").write_bytes(b"half, but another's")
    assert "part 1/4 of descriptors is missing; run " in error_line(tiny("dedup"))
    ran = tiny("embed", "photos", "--task", "1/4", *small)
    assert int(ran.err.split(" unreadable, ")[1].split(" ")[0]) >= 2  # nothing is done twice
    left = [name for name in names_in(Path("descriptors")) if name.endswith(".part")]
    assert left == [".shard-000007-3of4.parquet.part"]
    assert rows(Path("descriptors")) == rows(Path("one"))
