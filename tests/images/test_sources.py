"""Where images come from: each kind of source, hostile names, errors."""

from __future__ import annotations

import inspect
import io
import os
import random
import sys
from pathlib import Path

import pytest

from sscd_cli.errors import SscdError, UsageError
from sscd_cli.images.refs import ImageRef
from sscd_cli.images.signatures import is_image_name
from sscd_cli.images.sources import expand, iter_images
from sscd_cli.images.status import still_there

STRANGE_NAMES = [b"two words.jpg", b"new\nline.jpg", b"\xff\xfe.jpg", "grün 照片.jpg".encode()]


def ids(*sources: object, **options: object) -> list[str]:
    return [ref.id for ref in iter_images([str(s) for s in sources], **options)]  # type: ignore[arg-type]


def touch(root: Path, *names: str | bytes) -> None:
    for name in names:
        path = root / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_image_names_go_by_extension_in_either_case() -> None:
    assert all(map(is_image_name, ["a.jpg", "b.JPEG", "c.d.TiFf", "x/y.webp", "e.heic"]))
    assert not any(map(is_image_name, ["jpg", "a.txt", "a.jpg/b", "a.jpg\n", "a.jpgx", ""]))


def test_folder_is_walked_with_ids_relative_to_it(tmp_path: Path) -> None:
    touch(tmp_path, "b/c.png", "a.jpg", "notes.txt", "b/d/e.webp")
    refs = list(iter_images([str(tmp_path)]))
    assert refs[0] == ImageRef("a.jpg", str(tmp_path), str(tmp_path / "a.jpg"))
    assert [r.id for r in refs] == ["a.jpg", "b/c.png", "b/d/e.webp"]
    assert all(r.path == f"{r.source}/{r.id}" for r in refs)


def test_order_is_that_of_the_ids_bytes_whatever_the_file_system_says(tmp_path: Path) -> None:
    rng = random.Random(0)
    alphabet = ["a", "b", "a.jpg", "a-b", "A", "é", "a b", "b!"]
    for i in range(200):
        touch(tmp_path, "/".join([*rng.choices(alphabet, k=i % 4), f"{i % 10}.jpg"]))
    files = (p for p in tmp_path.rglob("*.jpg") if p.is_file())
    expected = sorted(os.fsencode(p.relative_to(tmp_path)) for p in files)
    assert [os.fsencode(key) for key in ids(tmp_path)] == expected


def test_hidden_and_version_control_folders_are_skipped(tmp_path: Path) -> None:
    touch(tmp_path, ".git/a.jpg", ".b.jpg", "CVS/c.jpg", "_darcs/d.jpg", "x/.svn/e.jpg", "x/f.jpg")
    assert ids(tmp_path) == ["x/f.jpg"]
    assert ids(tmp_path / ".git") == ["a.jpg"]


@pytest.mark.parametrize("name", STRANGE_NAMES)
def test_every_byte_of_a_name_survives(tmp_path: Path, name: bytes) -> None:
    touch(tmp_path, name)
    (ref,) = iter_images([str(tmp_path)])
    assert os.fsencode(ref.id) == name
    assert Path(ref.path).is_file()


def test_symlinked_folders_are_followed_and_loops_survived(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.jpg", "b/y.jpg")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "again").symlink_to("../a")
    (tmp_path / "b" / "other").symlink_to("../a")
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "file.jpg").symlink_to("a/x.jpg")
    (tmp_path / "broken.jpg").symlink_to("nowhere")
    assert ids(tmp_path) == [
        "a/x.jpg", "b/other/x.jpg", "b/y.jpg", "broken.jpg", "file.jpg",
    ]  # fmt: skip


def test_folders_may_be_nested_deeper_than_the_recursion_limit(tmp_path: Path) -> None:
    key = "d/" * 200 + "x.jpg"
    touch(tmp_path, key)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        assert ids(tmp_path) == [key]
    finally:
        sys.setrecursionlimit(limit)


def test_source_names_lead_to_one_absolute_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "real/deep/a.jpg", "real/b.jpg")
    (tmp_path / "link").symlink_to("real/deep")
    monkeypatch.chdir(tmp_path)
    for given, root in [
        ("real/", "real"), ("./real/../real", "real"), ("link", "link"), ("link/..", "real"),
    ]:  # fmt: skip
        assert {ref.source for ref in iter_images([given])} == {str(tmp_path / root)}


def test_file_is_taken_whatever_its_extension(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a/scan", "b.jpg")
    monkeypatch.chdir(tmp_path)
    assert list(iter_images([".//a/./scan", "b.jpg"])) == [
        ImageRef("a/scan", str(tmp_path), ".//a/./scan"),
        ImageRef("b.jpg", str(tmp_path), "b.jpg"),
    ]


@pytest.mark.parametrize(("null", "end"), [(False, b"\n"), (True, b"\0")])
def test_stdin_lists_files_by_line_or_nul(null: bool, end: bytes) -> None:
    names = [b"a b.jpg", b"./c", b"", b"\xff.jpg", b"\r.jpg"] + [b"n\n.jpg"] * null
    for tail in (b"", end):
        stdin = io.BytesIO(end.join(names) + tail)
        refs = list(iter_images(["-"], stdin=stdin))
        stdin.seek(0)
        assert refs == list(iter_images(["-"], stdin=stdin, from0=null))
        assert [os.fsencode(r.path) for r in refs] == [name for name in names if name]
        assert {r.source for r in refs} == {str(Path.cwd())}
        assert refs[1].id == "c"


def test_list_on_stdin_is_read_as_it_arrives() -> None:
    read, write = os.pipe()
    with os.fdopen(read, "rb") as stdin, os.fdopen(write, "wb", buffering=0) as pipe:
        refs = iter_images(["-"], stdin=stdin)
        pipe.write(b"a.jpg\nb.")
        assert next(refs).id == "a.jpg"
        pipe.write(b"jpg\n")
        assert next(refs).id == "b.jpg"


def test_names_longer_than_a_read_are_whole() -> None:
    names = [("x" * 100_000) + str(i) for i in range(3)]
    assert ids("-", stdin=io.BytesIO("\n".join(names).encode())) == names


@pytest.mark.parametrize(
    ("chunks", "from0", "message"),
    [
        ([b"a.jpg\nb.jpg\n"], True, "the list on stdin holds no NUL byte; leave out --from0"),
        (
            [b"a\n", b"b.jpg\0c.jpg\0"],
            False,
            "the list on stdin holds line feeds and NUL bytes; add --from0",
        ),
    ],
)
def test_a_list_that_is_not_separated_as_it_seemed_is_refused(
    chunks: list[bytes], from0: bool, message: str
) -> None:
    class Pipe(io.BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            return chunks.pop(0) if chunks else b""

    with pytest.raises(UsageError) as caught:
        list(iter_images(["-"], stdin=Pipe(), from0=from0))
    assert str(caught.value) == message


def test_a_name_alone_needs_no_separator() -> None:
    for from0 in (False, True):
        (ref,) = iter_images(["-"], stdin=io.BytesIO(b"a.jpg"), from0=from0)
        assert ref.id == "a.jpg"


def test_globs_match_the_id(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.jpg", "a/y.png", "b/x.jpg", "b/deep/x.jpg", "Z.JPG")
    assert ids(tmp_path, include=["*.jpg"]) == ["a/x.jpg", "b/deep/x.jpg", "b/x.jpg"]
    assert ids(tmp_path, include=["a/*", "Z*"]) == ["Z.JPG", "a/x.jpg", "a/y.png"]
    assert ids(tmp_path, exclude=["*.jpg", "Z.???"]) == ["a/y.png"]
    assert ids(tmp_path, include=["b/*"], exclude=["b/deep/*"]) == ["b/x.jpg"]
    assert ids("-", stdin=io.BytesIO(b"p.jpg\nq.gif"), exclude=["*.gif"]) == ["p.jpg"]


def refuse(monkeypatch: pytest.MonkeyPatch, folder: Path, error: type[OSError]) -> list[str]:
    """Make `folder` unlistable, for root too; return the folders that were listed."""
    listed: list[str] = []
    scandir = os.scandir

    def guarded(path: str | int) -> object:
        if isinstance(path, int):  # pytest tidies up while this is still in place
            return scandir(path)
        listed.append(path.rstrip("/"))
        if listed[-1] == str(folder):
            raise error(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    return listed


def test_unreadable_folder_is_named_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a/x.jpg", "b/y.jpg")
    refuse(monkeypatch, tmp_path / "b", PermissionError)
    refs = iter_images([str(tmp_path)])
    assert next(refs).id == "a/x.jpg"
    with pytest.raises(SscdError) as caught:
        next(refs)
    assert str(caught.value) == (
        f"cannot read the folder {tmp_path}/b: Permission denied; "
        "make it readable or leave it out with --exclude 'b'"
    )


@pytest.mark.parametrize("pattern", ["b", "b/*"])
def test_excluded_folder_is_not_entered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    touch(tmp_path, "a/x.jpg", "b/y.jpg")
    listed = refuse(monkeypatch, tmp_path / "b", PermissionError)
    assert ids(tmp_path, exclude=[pattern]) == ["a/x.jpg"]
    assert str(tmp_path / "b") not in listed


def test_folder_that_vanishes_while_walking_has_no_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a/x.jpg", "b/y.jpg")
    refuse(monkeypatch, tmp_path / "b", FileNotFoundError)
    assert ids(tmp_path) == ["a/x.jpg"]


def test_missing_source_is_named() -> None:
    for name in ("no such folder", ""):
        with pytest.raises(SscdError) as caught:
            ids(name)
        expected = f"cannot read the source {name}: No such file or directory; check the path"
        assert str(caught.value) == expected


def test_listing_is_lazy_and_keeps_one_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a/x.jpg", "b/y.jpg", "c/z.jpg")
    listed = refuse(monkeypatch, tmp_path / "none", PermissionError)
    refs = iter_images([str(tmp_path)])
    next(refs)
    assert listed == [str(tmp_path), str(tmp_path / "a")]


def test_braces_count_with_their_zeros_and_list(tmp_path: Path) -> None:
    touch(tmp_path, *(f"s-{i:03}.jpg" for i in range(8, 12)), "a.jpg", "b.jpg")
    assert [Path(key).name for key in ids(f"{tmp_path}/s-{{008..011}}.jpg")] == [
        "s-008.jpg", "s-009.jpg", "s-010.jpg", "s-011.jpg",
    ]  # fmt: skip
    assert [Path(key).name for key in ids(f"{tmp_path}/{{b,a}}.jpg")] == ["b.jpg", "a.jpg"]
    assert list(expand("{9..11}{x,}")) == ["9x", "9", "10x", "10", "11x", "11"]
    assert list(expand("{2..0}")) == ["2", "1", "0"]
    assert list(expand("{one}-{}-{a..b}")) == ["{one}-{}-{a..b}"]


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "s-0.jpg", "s-2.jpg")
    with pytest.raises(SscdError, match=r"cannot read the source .*/s-1\.jpg: No such file"):
        ids(f"{tmp_path}/s-{{0..2}}.jpg")


def test_wildcards_that_the_shell_left_alone_are_matched(tmp_path: Path) -> None:
    touch(tmp_path, "s-1.jpg", "s-0.jpg", "t.jpg")
    assert [Path(key).name for key in ids(f"{tmp_path}/s-*.jpg")] == ["s-0.jpg", "s-1.jpg"]
    with pytest.raises(SscdError, match=r"no file matches .*/u-\*\.jpg; check the pattern"):
        ids(f"{tmp_path}/u-*.jpg")


def test_a_file_whose_name_is_a_pattern_is_that_file(tmp_path: Path) -> None:
    touch(tmp_path, "s-{0..2}.jpg", "[x]*.jpg", "s-1.jpg")
    assert [Path(key).name for key in ids(f"{tmp_path}/s-{{0..2}}.jpg")] == ["s-{0..2}.jpg"]
    assert [Path(key).name for key in ids(f"{tmp_path}/[x]*.jpg")] == ["[x]*.jpg"]


def test_a_pattern_for_too_many_files_is_refused() -> None:
    for source in ("{0..99999999999}", "{0..99999}{0..99999}"):
        with pytest.raises(UsageError, match=r"stands for"):
            ids(source)


def test_a_folder_is_not_listed_for_each_image_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.png").touch()
    monkeypatch.setattr(os, "listdir", lambda path: pytest.fail("it costs the square of a folder"))
    assert not still_there(str(tmp_path / "full"), "b.png")
    (tmp_path / "full" / "a.png").unlink()
    assert still_there(str(tmp_path / "full"), "b.png")
