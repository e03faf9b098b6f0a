"""The page on which people decide: what it holds, and that no report can break it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
from collections.abc import Iterator
from contextlib import closing
from html.parser import HTMLParser
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run, Store, error_line, picture
from PIL import Image
from review_reports import clusters_report, hash_of, member, pair_of_pictures
from servers import running

from sscd_cli.decisions.records import append_decisions, read_decisions
from sscd_cli.images.refs import ImageRef
from sscd_cli.images.thumbnail import thumbnail
from sscd_cli.reports.reported import ReportedCluster, ReportedImage
from sscd_cli.reports.review.page import page
from sscd_cli.reports.review.server import Server, Site
from sscd_cli.reports.review.spool import Spool

COUNTS = {"clusters": 1, "removable": 1, "removable_bytes": 10}


class Page(HTMLParser):
    """What a browser would find: scripts, data, previews, and the policy."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._inside: tuple[str, dict[str, str | None]] = ("", {})
        self.scripts: list[str] = []
        self.data: list[Any] = []
        self.previews: dict[str, bytes] = {}
        self.reasons: dict[str, str] = {}
        self.policy = self.title = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self._inside = tag, told
        if tag == "template" and (reason := told.get("data-reason")):
            self.reasons[told["id"] or ""] = reason
        if told.get("http-equiv") == "Content-Security-Policy":
            self.policy = told["content"] or ""

    def handle_endtag(self, tag: str) -> None:
        self._inside = "", {}

    def handle_data(self, data: str) -> None:
        tag, told = self._inside
        if tag == "script" and told.get("type") == "application/json":
            self.data = json.loads(data)
        elif tag == "script":
            self.scripts.append(data)
        elif tag == "template":
            self.previews[told["id"] or ""] = base64.b64decode(data)
        elif tag == "title":
            self.title = data


def shown(path: str, keeper: str = "", **more: Any) -> ReportedImage:
    return ReportedImage.of(member(path, keeper, **more))


def made(clusters: list[ReportedCluster], most: int = 100) -> Page:
    return Page("".join(page(COUNTS, clusters, side=64, most=most)))


HOSTILE = (
    *(b"</script><script>alert(1)</script>.png", b"<!--<script>.png", b'"><img src=x onerror=a>'),
    *(b"caf\xe9 '&amp;.png", b"new\nline#?%41.png", "\u2028\u202egnp.exe".encode()),
)


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_of_a_file_breaks_the_page(name: bytes) -> None:
    path = os.fsdecode(name)
    found = made([ReportedCluster("c", 0.5, [shown("a.png"), shown(path, "a.png")])])
    _, (_, _, images), _ = found.data
    assert images[1][0] == path
    assert len(found.scripts) == 1


def test_the_page_runs_its_own_script_and_nothing_else() -> None:
    found = made([])
    (script,) = found.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in found.policy
    assert "default-src 'none'" in found.policy
    assert not re.search(r"https?://|innerHTML|eval\(", script)


def test_the_largest_clusters_come_last_and_else_the_weakest_link_first() -> None:
    pairs = [ReportedCluster(f"{n}", n, [shown("a"), shown("b", "a")]) for n in (0.9, 0.5)]
    large = ReportedCluster("large", 0.1, [shown("a"), shown("b", "a"), shown("c", "a")])
    _, *clusters, _ = made([large, *pairs]).data
    assert [name for name, _, _ in clusters] == ["0.5", "0.9", "large"]


def test_previews_are_within_the_page_up_to_their_number(tmp_path: Path) -> None:
    paths = [str(picture(tmp_path / f"{n}.png", n, (90, 60))) for n in range(3)]
    torn = tmp_path / "torn.png"
    torn.write_bytes(Path(paths[0]).read_bytes()[:60])
    images = [shown(paths[0]), shown(str(torn), paths[0]), shown(paths[1], paths[0])]
    found = made([ReportedCluster("c", 0.5, [*images, shown(paths[2], paths[0])])], most=3)
    assert list(found.previews) == ["p0", "p2"]
    assert "cannot read" in found.reasons["p1"]
    assert all(data.startswith(b"\xff\xd8") for data in found.previews.values())


def test_a_report_is_reviewed_as_a_page(sscd: Run, tmp_path: Path) -> None:
    report = clusters_report(tmp_path / "r.jsonl", [pair_of_pictures(tmp_path, 1, 0.75)])
    (tmp_path / "out").mkdir()
    ran = sscd("review", report, "-o", "out/page.html")
    assert ran.status == 0
    assert ran.err == "1 cluster to look through in out/page.html\n"
    found = Page((tmp_path / "out/page.html").read_text())
    assert found.title == "sscd review: 1 cluster, 1 removable (1.0 kB)"
    assert found.data[0]["base"] == ".."
    assert [image[0] for image in found.data[1][2]] == ["kept/1.png", "copies/1.png"]
    assert len(found.previews) == 2


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda text: text[:-20], "is cut: its last line has no end"),
        (lambda text: text[: text.rindex('{"end"')], "is cut: its last record is missing"),
        (lambda text: text.replace('"members": 2', '"members": 3'), "holds 2 images of 3"),
        (lambda text: "", "is empty"),
        (lambda text: "cluster 1  2 images\n", "has no first record"),
        (lambda text: text.replace('"content_hash"', '"hash"'), "lacks 'content_hash'"),
        (
            lambda text: text.replace('"keeper": "kept', '"keeper": "gone'),
            "goes for gone/1.png, which does not stay",
        ),
        (lambda text: "[" * 100_000 + "\n", "has no first record"),
        (lambda text: text.replace('"width": 40', '"width": "<b>"'), "width is '<b>'"),
        (lambda text: text.replace('"similarity": 0.75', '"similarity": NaN'), "NaN is no number"),
        (lambda text: text.replace('_link": 0.75', '_link": []'), "weakest_link is []"),
        (lambda text: text.replace('"members": [', '"members": 5, "x": ['), "no whole report"),
    ],
)
def test_a_report_that_is_not_whole_makes_no_page(
    sscd: Run, tmp_path: Path, damage: Any, told: str
) -> None:
    report = clusters_report(tmp_path / "r.jsonl", [pair_of_pictures(tmp_path, 1, 0.75)])
    report.write_text(damage(report.read_text()))
    ran = sscd("review", report, "-o", "page.html")
    assert ran.status == 3
    assert told in error_line(ran)
    assert not (tmp_path / "page.html").exists()


def test_a_page_needs_one_place(sscd: Run, tmp_path: Path) -> None:
    clusters_report(tmp_path / "report.jsonl", [])
    for words in ([], ["--serve", "-o", "page.html"]):
        ran = sscd("review", "report.jsonl", *words)
        assert (ran.status, "name a file with -o, or add --serve" in error_line(ran)) == (2, True)


@pytest.mark.parametrize(
    "words",
    [
        "review nope",
        "review nope --serve -o page.html",
        "apply nope --yes 3",
        "apply nope --delete --action trash",
        "filter photos --remove nope",
    ],
)
def test_that_the_report_is_missing_is_told_before_what_else_is_wrong(
    sscd: Run, words: str
) -> None:
    ran = sscd(*words.split())
    told = "cannot read nope: No such file or directory; name a report of sscd dedup"
    assert (ran.status, error_line(ran)) == (3, told)


def test_a_page_never_takes_the_place_of_what_it_is_made_of(sscd: Run, tmp_path: Path) -> None:
    clusters_report(tmp_path / "report.jsonl", [])
    append_decisions(tmp_path / "said.jsonl", [SAME])
    (tmp_path / "link.html").symlink_to("said.jsonl")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for output, replaced in (("report.jsonl", "report.jsonl"), ("link.html", "said.jsonl")):
        ran = sscd("review", "report.jsonl", "--decisions", "said.jsonl", "-o", output)
        assert error_line(ran) == f"the page would replace {replaced}; name another file with -o"
        assert ran.status == 2
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


A1, B1 = "a" * 32, "b" * 32
SAME = {"left": A1, "right": B1, "verdict": "same", "keeper": B1}


def test_the_last_decision_on_a_pair_holds(tmp_path: Path) -> None:
    file = tmp_path / "decisions.jsonl"
    assert read_decisions(file).verdicts == {}
    append_decisions(file, [SAME, {**SAME, "verdict": "other_shot", "keeper": None}])
    assert read_decisions(file).verdicts == {(A1, B1): ("other_shot", "")}
    file.write_bytes(file.read_bytes().rstrip())
    append_decisions(file, [SAME])
    assert read_decisions(file).verdicts == {(A1, B1): ("same", B1)}
    append_decisions(file, [{**SAME, "verdict": "revoked", "keeper": None}])
    assert read_decisions(file).verdicts == {}


@pytest.mark.parametrize(
    "change",
    [{"left": B1, "right": A1}, {"left": "a"}, {"verdict": "yes"}, {"keeper": None}, {"right": 1}],
)
def test_what_is_no_decision_is_never_written(tmp_path: Path, change: dict[str, Any]) -> None:
    file = tmp_path / "decisions.jsonl"
    with pytest.raises((ValueError, TypeError)):
        append_decisions(file, [SAME, {**SAME, **change}])
    assert not file.exists()


def test_a_line_that_is_no_decision_is_named(sscd: Run, tmp_path: Path) -> None:
    report = clusters_report(tmp_path / "r.jsonl", [pair_of_pictures(tmp_path, 1, 0.75)])
    (tmp_path / "decisions.jsonl").write_text(json.dumps(SAME) + "\n{\n")
    ran = sscd("review", report, "-o", "page.html")
    assert ran.status == 3
    assert error_line(ran).startswith("line 2 of decisions.jsonl is no decision")


def test_what_was_decided_before_is_on_the_page(sscd: Run, tmp_path: Path) -> None:
    report = clusters_report(tmp_path / "r.jsonl", [pair_of_pictures(tmp_path, 1, 0.75)])
    left, right = sorted(map(hash_of, ("kept/1.png", "copies/1.png")))
    decision = {"left": left, "right": right, "verdict": "keep_both", "keeper": None}
    append_decisions(tmp_path / "said.jsonl", [decision])
    assert sscd("review", report, "-o", "page.html", "--decisions", "said.jsonl").status == 0
    _, (_, _, images), _ = Page((tmp_path / "page.html").read_text()).data
    assert images[1][-2:] == ["keep_both", ""]


def test_a_spool_gives_each_image_by_its_number() -> None:
    clusters = [
        ReportedCluster(
            f"{n}", 0.5, [shown(f"{n}/{m}", "" if m == 0 else f"{n}/0") for m in range(n)]
        )
        for n in (2, 5, 3)
    ]
    every = [image for cluster in clusters for image in cluster.images]
    with closing(Spool(iter(clusters))) as spool:
        assert list(spool) == clusters
        assert [spool.image(number) for number in range(spool.images)] == every
        for number in (-1, 10):
            with pytest.raises(IndexError):
                spool.image(number)


@pytest.fixture
def served() -> Iterator[tuple[Server, list[Any]]]:
    """Serve a page of one word, and collect what it is told."""
    told: list[Any] = []

    def preview(number: int, full: bool) -> bytes | str:
        if number > 1:
            raise IndexError(number)
        return "torn" if number else b"full" if full else b"small"

    def write(decisions: list[Any]) -> None:
        if not isinstance(decisions, list):
            raise ValueError("no list")
        told.extend(decisions)

    with running(Server(Site(lambda: iter(["page"]), preview, write))) as server:
        yield server, told


def asked(server: Server, name: str, body: str | None = None, **headers: str) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("GET" if body is None else "POST", name, body, named)
    answer = connection.getresponse()
    try:
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_a_server_answers_those_who_know_its_token_only(
    served: tuple[Server, list[Any]],
) -> None:
    server, told = served
    home = f"/{server.token}/"
    assert asked(server, home) == (200, "page")
    for name in ("/", "/x/", f"/{server.token}", f"/{server.token}x/", f"{home}../etc/passwd"):
        assert asked(server, name)[0] == 404
    assert asked(server, home, Host="evil.example")[0] == 404
    assert asked(server, f"{home}decisions", "[1]", Origin="http://evil.example")[0] == 404
    assert told == []


def test_a_server_makes_previews_and_takes_decisions(served: tuple[Server, list[Any]]) -> None:
    server, told = served
    home = f"/{server.token}/"
    assert asked(server, f"{home}preview/0") == (200, "small")
    assert asked(server, f"{home}preview/0?full") == (200, "full")
    assert asked(server, f"{home}preview/1") == (404, "torn")
    assert asked(server, f"{home}preview/2")[0] == 404
    assert asked(server, f"{home}preview/{'9' * 5000}")[0] == 404
    assert asked(server, f"{home}decisions", '[{"verdict": "same"}]')[0] == 200
    assert asked(server, f"{home}decisions", "{}") == (400, "no list")
    assert asked(server, f"{home}decisions", "[")[0] == 400
    assert told == [{"verdict": "same"}]


A, B, C = np.eye(3)


def test_dedup_writes_the_same_page_as_review(sscd: Run, tmp_path: Path, store: Store) -> None:
    photos = [picture(tmp_path / f"{n}.png", n, (90, 60)) for n in range(4)]
    near = 0.875 * B + (1 - 0.875**2) ** 0.5 * C
    store(tmp_path / "descriptors", dict(zip(photos, (A, A, B, near), strict=True)), root=tmp_path)
    words = ("dedup", "-t", "0.5", "--keep", "path", "-f")  # pictures that are drawn tell nothing
    ran = sscd(*words, "html")
    assert ran.status == 0
    found = Page(ran.out.decode())
    assert found.title.startswith("sscd review: 2 clusters, 2 removable (")
    header, weak, sure, _ = found.data
    assert [link for _, link, _ in (weak, sure)] == [0.875, 1.0]
    assert (header["model"], header["threshold"], header["base"]) == ("drawn", 0.5, ".")
    assert sorted(found.previews) == ["p0", "p1", "p2", "p3"]
    for format in ("jsonl", "csv", "parquet"):
        assert sscd(*words, format, "-o", "report").status == 0
        assert sscd("review", "report", "-o", "page.html").status == 0
        assert Page((tmp_path / "page.html").read_text()).data[1:] == found.data[1:]


def test_copies_in_another_data_set_are_reviewed_and_stay(
    sscd: Run, tmp_path: Path, store: Store
) -> None:
    near = 0.875 * A + (1 - 0.875**2) ** 0.5 * C
    store(tmp_path / "descriptors", {picture(tmp_path / "train" / "a.png", 1): A})
    theirs = {picture(tmp_path / f"test/{n}.png", 2 + n): v for n, v in enumerate((near, A))}
    store(tmp_path / "other", theirs)
    words = ("dedup", "--against", "other", "-t", "0.5", "-f")
    found = Page(sscd(*words, "html").out.decode())
    assert found.title == "sscd review: 1 image with a copy in the other data set"
    _, (_, _, images), _ = found.data
    verdict, fixed = 11, 14
    assert [(image[0], image[1], image[verdict], image[fixed]) for image in images] == [
        ("test/1.png", 0, "", 1),
        ("train/a.png", 0, "cannot tell", 0),
        ("test/0.png", 2, "", 1),
    ]
    for format in ("jsonl", "csv", "parquet"):
        assert sscd(*words, format, "-o", "report").status == 0
        assert sscd("review", "report", "-o", "page.html").status == 0
        assert Page((tmp_path / "page.html").read_text()).data[1:] == found.data[1:]


def test_a_page_is_not_for_filter(sscd: Run, tmp_path: Path, store: Store) -> None:
    photos = {picture(tmp_path / "photos" / f"{n}.png", n): A for n in (1, 2)}
    store(tmp_path / "descriptors", photos)
    assert sscd("dedup", "-f", "html", "-o", "report.html").status == 0
    ran = sscd("filter", "photos", "--remove", "report.html", "-o", "clean")
    assert ran.status == 3
    assert "it has no first record" in error_line(ran)


def test_a_preview_is_small_upright_and_in_proportion(tmp_path: Path) -> None:
    tall = Image.new("RGB", (400, 100), "red")
    exif = Image.Exif()
    exif[274] = 6  # to be turned by a quarter
    tall.save(tmp_path / "tall.jpg", exif=exif)
    data = thumbnail(ImageRef("tall.jpg", "", str(tmp_path / "tall.jpg")), 64)
    with Image.open(io.BytesIO(data)) as small:
        assert (small.format, small.size) == ("JPEG", (16, 64))
