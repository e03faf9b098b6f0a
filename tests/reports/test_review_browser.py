"""What a person does on the page, done in Chromium; skipped where there is none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from browser import Browser
from conftest import Run, picture
from review_reports import clusters_report, hash_of, member, pair_of_pictures
from reviewing import COPY, KEPT, cluster_of


def saved(chromium: Browser, tmp_path: Path) -> list[dict[str, Any]]:
    """Save, and return what was downloaded."""
    folder = tmp_path / "downloads"
    folder.mkdir(exist_ok=True)
    chromium.download_to(folder)
    chromium.click("#save")
    file = folder / "decisions.jsonl"
    chromium.wait_until(file.exists)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    file.unlink()
    return lines


def said(lines: list[dict[str, Any]]) -> set[tuple[str, frozenset[str], str | None]]:
    return {(x["verdict"], frozenset((x["left"], x["right"])), x["keeper"]) for x in lines}


def of(number: int) -> tuple[str, str]:
    """Return the hashes of a pair."""
    return hash_of(f"kept/{number}.png"), hash_of(f"copies/{number}.png")


def test_what_the_keys_decide_is_saved(chromium: Browser, three_pairs: str, tmp_path: Path) -> None:
    chromium.open(three_pairs)
    assert chromium.text(KEPT) == "kept/5.png"
    assert chromium.text("#other-text").split("\n")[1:3] == ["copies/5.png", "40 × 30 px"]
    assert "similarity 0.500" in chromium.text("#other-text")
    chromium.press("r")
    assert chromium.text(COPY) == "copies/7.png"
    chromium.press("k", "n")
    assert chromium.text("#end-title") == "All pairs are decided."
    assert chromium.text("#left") == "0 of 3 pairs left · 2.0 kB to free"
    lines = saved(chromium, tmp_path)
    assert said(lines) == {
        ("same", frozenset(of(5)), of(5)[0]),
        ("same", frozenset(of(7)), of(7)[1]),
        ("not_duplicate", frozenset(of(9)), None),
    }
    assert all(
        [line["left"], line["right"]] == sorted(of(n))
        for line, n in zip(
            sorted(lines, key=lambda line: line["similarity"]), (5, 7, 9), strict=True
        )
    )
    assert {line["model"] for line in lines} == {"drawn"}


def test_back_takes_decisions_back_one_by_one(
    chromium: Browser, three_pairs: str, tmp_path: Path
) -> None:
    chromium.open(three_pairs)
    chromium.press("r", "k", "o", "Backspace")
    assert chromium.text(COPY) == "copies/9.png"
    chromium.press("Backspace")
    assert (chromium.text(KEPT), chromium.text(COPY)) == ("kept/7.png", "copies/7.png")
    chromium.press("b", "Backspace", "Backspace")
    assert chromium.text("#left") == "3 of 3 pairs left"
    assert saved(chromium, tmp_path) == []


def test_a_page_goes_on_where_one_stopped(
    chromium: Browser, three_pairs: str, tmp_path: Path
) -> None:
    chromium.open(three_pairs)
    chromium.press("s", "k")
    chromium.ask("store()")
    chromium.open("about:blank#")
    chromium.open(three_pairs)
    assert chromium.text(COPY) == "copies/9.png"
    assert chromium.text("#left") == "2 of 3 pairs left · 1.0 kB to free"
    assert said(saved(chromium, tmp_path)) == {("same", frozenset(of(7)), of(7)[1])}


def test_skipped_pairs_come_again_at_the_end(chromium: Browser, three_pairs: str) -> None:
    chromium.open(three_pairs)
    chromium.press("s", "r", "r")
    assert chromium.text(COPY) == "copies/5.png"
    chromium.press("s")
    assert chromium.text(COPY) == "copies/5.png"


def test_many_are_decided_at_once_and_taken_back_at_once(
    chromium: Browser, three_pairs: str
) -> None:
    chromium.open(three_pairs)
    chromium.press("m")
    chromium.click("#bulk-folders button")
    assert chromium.text("#left").startswith("0 of 3 pairs left")
    chromium.press("Backspace")
    assert chromium.text("#left") == "3 of 3 pairs left"
    chromium.ask("document.querySelector('#bulk-bands tr:nth-child(2) button').focus()")
    chromium.press("Enter")
    assert chromium.ask("document.activeElement.ariaLabel").startswith("Remove: 1 pair of band")
    chromium.press("Escape")
    chromium.wait("!byId('bulk').open")
    assert chromium.text("#left") == "2 of 3 pairs left · 1.0 kB to free"
    assert chromium.text("#place").endswith("of 2")


def test_filters_and_orders_choose_the_pairs(chromium: Browser, three_pairs: str) -> None:
    chromium.open(three_pairs)
    chromium.choose("#sort", "strong")
    chromium.choose("#band", "band 5")
    assert (chromium.text("#place"), chromium.text(COPY)) == ("Pair 1 of 1", "copies/5.png")
    chromium.choose("#band", "")
    assert chromium.ask("queue.map((number) => images[number].path)") == [
        *("copies/9.png", "copies/7.png", "copies/5.png")
    ]
    chromium.press("n")
    chromium.choose("#show", "done")
    assert chromium.text("#place") == "Pair 1 of 1"
    assert chromium.text("#other-text .chip") == "not duplicates"


def test_in_a_cluster_all_copies_follow_the_one_that_stays(
    chromium: Browser, sscd: Run, tmp_path: Path
) -> None:
    names = [f"{n}.png" for n in range(4)]
    chromium.open(cluster_of(names, sscd, tmp_path))
    chromium.press("r", "k")
    assert (chromium.text(KEPT), chromium.text(COPY)) == ("2.png", "3.png")
    assert "not compared" in chromium.text("#other-text")
    chromium.press("b")
    hashes = [hash_of(name) for name in names]
    assert said(saved(chromium, tmp_path)) == {
        ("same", frozenset((hashes[1], hashes[2])), hashes[2]),
        ("same", frozenset((hashes[0], hashes[2])), hashes[2]),
        ("keep_both", frozenset((hashes[3], hashes[2])), None),
    }


def test_what_goes_for_an_image_that_goes_itself_goes_for_what_stays_in_the_end(
    chromium: Browser, sscd: Run, tmp_path: Path
) -> None:
    a, b, c, d = names = [f"{letter}.png" for letter in "abcd"]
    for number, name in enumerate(names):
        picture(tmp_path / name, number)
    beside = member(b, a, 0.4, keep=True, band="look at it")
    images = [member(a), beside, member(c, b, 0.9), member(d, b, 0.8)]
    report = clusters_report(tmp_path / "r.jsonl", [images])
    assert sscd("review", report, "-o", "page.html").status == 0
    chromium.open((tmp_path / "page.html").as_uri())
    pairs = []
    for key in ("s", "k", "r", "r"):
        pairs.append((chromium.text(KEPT), chromium.text(COPY), key))
        chromium.press(key)
    assert pairs == [(a, b, "s"), (b, c, "k"), (a, c, "r"), (a, d, "r")]
    stays = hash_of(a)
    assert said(saved(chromium, tmp_path)) == {
        ("same", frozenset((stays, hash_of(name))), stays) for name in (b, c, d)
    }


def test_a_key_takes_less_than_a_quarter_of_a_second_among_10000_clusters(
    chromium: Browser, sscd: Run, tmp_path: Path
) -> None:
    kept, copy = pair_of_pictures(tmp_path, 1, 0.8)
    clusters = []
    for n in range(10_000):
        lead = {**kept, "content_hash": f"{n:032x}"}
        images = [{**copy, "content_hash": f"{10_000 * m + n:032x}"} for m in range(1, 2 + n % 3)]
        clusters.append([lead, *images])
    report = clusters_report(tmp_path / "report.jsonl", clusters)
    assert sscd("review", report, "-o", "page.html", "--previews", "0").status == 0
    chromium.open((tmp_path / "page.html").as_uri())
    assert chromium.text("#place") == "Pair 1 of 19,999"
    for key in ("r", "k", "s", "Backspace", "ArrowRight"):
        # a busy machine makes a key slow now and then, a slow page each time
        assert min(chromium.ask(TIMED % json.dumps(key)) for _ in range(3)) < 250, key


TIMED = """new Promise((done) => {
  const start = performance.now();
  document.body.dispatchEvent(new KeyboardEvent('keydown', { key: %s, bubbles: true }));
  document.body.getBoundingClientRect();
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
})"""


def test_a_server_writes_each_decision_at_once(chromium: Browser, tmp_path: Path) -> None:
    pairs = [pair_of_pictures(tmp_path, n, n / 10) for n in (5, 7, 9)]
    clusters_report(tmp_path / "report.jsonl", pairs)
    words = ["review", "report.jsonl", "--serve", "--decisions", "said.jsonl"]
    with subprocess.Popen(
        [sys.executable, "-m", "sscd_cli", *words],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout and process.stderr
        chromium.open(process.stdout.readline().decode().strip())
        chromium.wait("document.querySelectorAll('#stage img').length === 2")
        chromium.wait("document.querySelector('#stage img').naturalWidth === 40")
        chromium.press("r", "k", "Backspace", "n")
        file = tmp_path / "said.jsonl"
        chromium.wait("!unsent.length && sending === null")
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        assert [line["verdict"] for line in lines] == ["same", "same", "revoked", "not_duplicate"]
        assert said(lines[-1:]) == {("not_duplicate", frozenset(of(7)), None)}
        chromium.open(chromium.ask("location.href"))
        assert chromium.text("#left") == "1 of 3 pairs left · 1.0 kB to free"
        chromium.press("Ctrl+s")
        assert process.wait(20) == 0
        chromium.wait("document.querySelector('h2')?.innerText.startsWith('Written.')")
        chromium.resize(800, 600)
        chromium.press("r")
        assert process.stderr.read() == b"4 decisions written to said.jsonl\n"
