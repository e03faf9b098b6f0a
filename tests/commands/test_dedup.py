"""Clusters of a dataset: nothing is removable unless its keeper is there, another file, alike."""

from __future__ import annotations

import csv
import json
import os
import shutil
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clustering import BY_FACTS, A, B, C, clusters, copies, near
from conftest import MTIME, Run, Store, drawn_provenance, error_line, picture, records_of

from sscd_cli.scoring.post import PostProcessing


def test_every_removable_image_has_a_keeper_at_the_threshold(deduped: Any, tmp_path: Path) -> None:
    files = {
        picture(tmp_path / "a.png", 1, (60, 60)): A,
        picture(tmp_path / "b.png", 2, (50, 50)): near(A, 0.8, 3),
        # alike to b alone: a chain
        picture(tmp_path / "c.png", 3, (40, 40)): near(near(A, 0.8, 3), 0.8, 4),
        picture(tmp_path / "d.png", 4): B,
    }
    assert clusters(deduped(files, *BY_FACTS)) == [{"a.png": True, "b.png": False, "c.png": True}]


@pytest.mark.parametrize(
    ("linkage", "kept"),
    [("leader", {"a.png", "c.png"}), ("components", {"a.png"}), ("complete", {"a.png", "c.png"})],
)
def test_linkage_decides_what_a_chain_keeps(
    deduped: Any, tmp_path: Path, linkage: str, kept: set[str]
) -> None:
    files = {
        picture(tmp_path / "a.png", 1, (60, 60)): A,
        picture(tmp_path / "b.png", 2, (50, 50)): near(A, 0.8, 3),
        picture(tmp_path / "c.png", 3, (40, 40)): near(near(A, 0.8, 3), 0.8, 4),
    }
    (found,) = clusters(deduped(files, "--linkage", linkage, *BY_FACTS))
    assert {name for name, keep in found.items() if keep} == kept


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        ("resolution", "large.png"),
        ("bytes", "heavy.bmp"),
        ("oldest", "old.png"),
        ("newest", "new.png"),
        ("path", "heavy.bmp"),
        ("first", "large.png"),
        (" newest , path", "new.png"),
    ],
)
def test_keep_words_choose_the_keeper(deduped: Any, tmp_path: Path, keep: str, kept: str) -> None:
    files = {
        picture(tmp_path / "large.png", 10, (50, 40)): A,
        picture(tmp_path / "heavy.bmp", 11, (49, 40)): A,
        picture(tmp_path / "old.png", 1): A,
        picture(tmp_path / "new.png", 99): A,
    }
    (found,) = clusters(deduped(files, "--keep", keep))
    assert [name for name, keeps in found.items() if keeps] == [kept]


def test_of_equal_copies_the_same_one_stays_whatever_the_input_order(
    sscd: Run, tmp_path: Path, store: Store
) -> None:
    files = copies(tmp_path, "c.png", "a.png", "b.png")
    for path in files:
        os.utime(path, (MTIME, MTIME))
    reports = set()
    for number, order in enumerate((list(files), list(files)[::-1])):
        folder = store(tmp_path / f"store{number}", dict.fromkeys(order, A))
        (found,) = clusters(sscd("dedup", "-d", folder, "-f", "jsonl"))
        assert found["a.png"]
        reports.add(frozenset(found.items()))
    assert len(reports) == 1


def test_a_cluster_keeps_its_name_in_another_dataset(deduped: Any, tmp_path: Path) -> None:
    first = deduped(copies(tmp_path / "photos", "a.png", "b.png"))
    shutil.rmtree(tmp_path / "descriptors")
    moved = deduped(
        {picture(tmp_path / "x.png", 5): B, **copies(tmp_path / "new", "z.png", "y.png")}
    )
    (ours,), (theirs,) = records_of(first.out), records_of(moved.out)
    assert ours["cluster"] == theirs["cluster"]


def test_sources_narrow_the_report_to_their_images(tiny: Run, tmp_path: Path) -> None:
    copies(tmp_path / "one", "a.png", "b.png")
    copies(tmp_path / "two", "c.png")
    assert tiny("embed", "one").status == 0
    ran = tiny("dedup", "two", "-f", "paths")
    assert (ran.status, ran.out) == (0, b"")
    assert "1 image, 0 unreadable: 0 clusters, 0 removable (0 B)" in ran.err
    assert tiny("dedup", "-f", "paths").out.count(b"\n") == 2


def test_exact_and_groups_find_the_same_copies(deduped: Any, tmp_path: Path) -> None:
    files = copies(tmp_path, "a.png", "b.png") | {picture(tmp_path / "x.png", 5): B}
    exact = deduped(files, "--method", "exact")
    assert clusters(exact) == clusters(deduped(files, "--method", "groups"))


def test_against_reports_the_images_here_that_have_a_copy_there(
    sscd: Run, tmp_path: Path, store: Store
) -> None:
    train = {
        picture(tmp_path / "train" / "a.png", 1): A,
        picture(tmp_path / "train" / "b.png", 2): B,
        picture(tmp_path / "train" / "b2.png", 3): B,
    }
    test = {
        picture(tmp_path / "test" / "x.png", 4): near(A, 0.875, 4),
        picture(tmp_path / "test" / "y.png", 5): A,
        picture(tmp_path / "test" / "z.png", 6): C,
    }
    store(tmp_path / "descriptors", train)
    store(tmp_path / "other", test)
    ran = sscd("dedup", "--against", "other", "--exit-code")
    assert ran.status == 1
    assert ran.out == b"train/a.png\n  1.000  test/y.png\n  0.875  test/x.png\n"
    assert "1 of 3 images have a copy among 3 others\nthreshold 0.75 of drawn\n" in ran.err
    assert sscd("dedup", "--against", "other", "-f", "paths").out == b"train/a.png\n"
    (tmp_path / "test" / "y.png").unlink()
    ran = sscd("dedup", "--against", "other", "-f", "csv")
    header, rows = ran.out.split(b"\n", 1)
    told = json.loads(header.removeprefix(b"# "))
    folders = told["dataset"], told["against"]
    assert folders == (str(tmp_path / "descriptors"), str(tmp_path / "other"))
    assert (told["report"], told["matches"], told["leaked"]) == ("matches", 1, 1)
    (row,) = csv.DictReader(rows.decode().splitlines())
    images = {"": tmp_path / "train" / "a.png", "other_": tmp_path / "test" / "x.png"}
    said = {"similarity": "0.875", "band": "edited copy", "verdict": "cannot tell"}
    said |= {"checked": "true", "scale": "cosine"}
    for start, image in images.items():
        facts = {
            "id": str(image),
            "source": "",
            "width": "40",
            "height": "30",
            "format": "PNG",
            "frames": row["frames"],
            "content": row["content"],
            "file_bytes": str(image.stat().st_size),
            "mtime_ns": str(image.stat().st_mtime_ns),
            "content_hash": blake2b(image.read_bytes(), digest_size=16).hexdigest(),
            "pixel_hash": "",
        }
        said |= {f"{start}{name}": value for name, value in facts.items()}
    assert row == {"path": "train/a.png", "other": "test/x.png", **said}
    assert "left out 1 image that vanished or changed" in ran.err


def test_against_its_own_dataset_no_path_is_removable(
    sscd: Run, tmp_path: Path, store: Store
) -> None:
    files = {picture(tmp_path / name, seed): A for seed, name in enumerate(("a.png", "a2.png"))}
    store(tmp_path / "descriptors", files)
    assert sscd("dedup", "--against", "descriptors", "-f", "paths").out == b""
    store(tmp_path / "other", files | {picture(tmp_path / "elsewhere" / "a.png", 3): A})
    ran = sscd("dedup", "--against", "other", "-f", "paths")
    assert ran.out == b"a.png\na2.png\n"


def test_datasets_of_two_models_are_not_compared(sscd: Run, tmp_path: Path, store: Store) -> None:
    files = {picture(tmp_path / "a.png", 1): A}
    store(tmp_path / "descriptors", files)
    store(tmp_path / "other", files, weights="1" * 64)
    ran = sscd("dedup", "--against", "other")
    assert ran.status == 3
    assert error_line(ran) == (
        "descriptors and other cannot be compared: drawn (weights 000000000000) against drawn "
        "(weights 111111111111); embed both with the same --model"
    )


def background(path: Path, **fit: Any) -> Path:
    """Save a post-processing whose background is nearer to B than to A."""
    rows = [near(A, 0.5, 6), near(A, 0.3, 7), near(B, 0.9, 7), near(B, 0.95, 6)]
    PostProcessing.fit([np.stack(rows).astype(np.float32)], drawn_provenance(8), **fit).save(path)
    return path


def bias(row: Any) -> float:
    """Return the mean similarity to the two nearest of the background, by definition."""
    return float(np.sort(PostProcessing.load(Path("post")).background @ row)[-2:].mean())


def test_normalised_similarities_are_those_of_the_definition(
    deduped: Any, sscd: Run, tmp_path: Path, store: Store
) -> None:
    background(tmp_path / "post", transform="none")
    x, y, z = A, near(A, 0.9, 3), near(B, 0.95, 4)
    files = {
        picture(tmp_path / "x.png", 1, (60, 60)): x,
        picture(tmp_path / "y.png", 2): y,
        picture(tmp_path / "z.png", 3, (60, 60)): z,
        picture(tmp_path / "b.png", 4): B,
    }
    words = ("--post", "post", "--score-norm", "1.0[0,1]", "-t")
    ran = deduped(files, *BY_FACTS, *words, "0.4")
    assert z @ B > x @ y
    assert clusters(ran) == [{"x.png": True, "y.png": False}]
    (found,) = records_of(ran.out)
    both = x @ y - (bias(x) + bias(y)) / 2
    assert found["weakest_link"] == pytest.approx(both, abs=1e-6)
    similarities = [member["similarity"] for member in found["members"]]
    assert similarities == pytest.approx([1 - bias(x), both], abs=1e-6)
    assert found["scale"].startswith("cosine, normalised 1.00[0,1] by 4 images ")
    assert ", cosine, normalised 1.00[0,1] by 4 images" in ran.err
    lower = z @ B - (bias(z) + bias(B)) / 2 - 1e-4
    assert len(clusters(deduped(files, *words, str(lower)))) == 2

    store(tmp_path / "theirs", {picture(tmp_path / "t.png", 9): x})
    ran = sscd("dedup", "-f", "jsonl", "--against", "theirs", *words, "0.1")
    records = records_of(ran.out)
    assert {record["scale"] for record in records} == {found["scale"]}
    matches = {record["path"]: record["similarity"] for record in records}
    assert matches == pytest.approx({"x.png": 1 - bias(x), "y.png": y @ x - bias(y)}, abs=1e-6)
    assert ", cosine, normalised 1.00[0,1] by 4 images" in ran.err


def test_dedup_compares_what_post_makes_of_descriptors(deduped: Any, tmp_path: Path) -> None:
    post = PostProcessing.load(background(tmp_path / "post", transform="center"))
    x, y = near(B, 0.9, 3), near(B, 0.9, 4)
    files = {picture(tmp_path / f"{i}.png", i): row for i, row in enumerate((x, y))}
    ran = deduped(files, "--post", "post", "-t", "0.1")
    (found,) = records_of(ran.out)
    left, right = post.apply(np.stack([x, y]).astype(np.float32))
    assert found["weakest_link"] == pytest.approx(float(left @ right), abs=1e-5)
    assert found["weakest_link"] != pytest.approx(float(x @ y), abs=1e-2)
    assert f", cosine after {post.label}" in ran.err


@pytest.mark.parametrize("more", [[], ["--against", "descriptors"]])
def test_no_threshold_of_cosines_cuts_another_scale(
    deduped: Any, tmp_path: Path, more: list[str]
) -> None:
    background(tmp_path / "post", transform="none")
    files = {picture(tmp_path / "x.png", 1): A}
    ran = deduped(files, "--post", "post", "--score-norm", "1.0[0,1]", *more)
    assert ran.status == 2
    assert error_line(ran) == (
        "the model's own threshold is one of plain cosine, and --post and --score-norm put "
        "similarities on another scale; name one of that scale with --threshold"
    )
    assert deduped(files, "--post", "post", *more).status == 0  # none: still plain cosine


def test_images_that_normalise_themselves_are_told_of(
    deduped: Any, sscd: Run, tmp_path: Path, store: Store
) -> None:
    background(tmp_path / "post", transform="center")
    inside, outside = near(B, 0.95, 6), near(B, 0.95, 5)
    files = {picture(tmp_path / f"{i}.png", i): row for i, row in enumerate((inside, outside))}
    words = ("--post", "post", "-t", "0.1")
    normed = (*words, "--score-norm", "1.0[0,1]")
    warning = "sscd: warning: the background of --post holds 1 image of these, which"
    assert warning in deduped(files, *normed).err
    assert "background of --post" not in deduped(files, *words).err
    store(tmp_path / "theirs", {picture(tmp_path / "t.png", 9): A})
    assert warning in sscd("dedup", "--against", "theirs", *normed).err
    assert warning in sscd("dedup", "-d", "theirs", "--against", "descriptors", *normed).err
