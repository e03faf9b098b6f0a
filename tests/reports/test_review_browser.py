"""What a person does on the page, done in Chromium; skipped where there is none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Browser, browser
from conftest import Run, picture
from review_reports import clusters_report, hash_of, member, pair_of_pictures

KEPT, COPY = "#one-text .file span:last-child", "#other-text .file span:last-child"


@pytest.fixture
def chromium(tmp_path: Path) -> Iterator[Browser]:
    with browser(tmp_path / "profile") as opened:
        yield opened
        assert opened.errors == []
        hosts = {address.split("/")[2] for address in opened.requests if "://" in address}
        assert {host.partition(":")[0] for host in hosts} <= {"", "127.0.0.1"}


@pytest.fixture
def three_pairs(sscd: Run, tmp_path: Path) -> str:
    """Make a page of three pairs of pictures and return its address."""
    pairs = [pair_of_pictures(tmp_path, n, n / 10, band=f"band {n}") for n in (5, 7, 9)]
    report = clusters_report(tmp_path / "report.jsonl", pairs)
    assert sscd("review", report, "-o", "page.html").status == 0
    return (tmp_path / "page.html").as_uri()


def cluster_of(names: list[str], sscd: Run, tmp_path: Path) -> str:
    """Make a page of one cluster, the first image of which stays, and return its address."""
    for number, name in enumerate(names):
        picture(tmp_path / name, number)
    copies = [member(name, names[0], 0.9 - place / 10) for place, name in enumerate(names[1:])]
    report = clusters_report(tmp_path / "report.jsonl", [[member(names[0]), *copies]])
    assert sscd("review", report, "-o", "page.html").status == 0
    return (tmp_path / "page.html").as_uri()


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


@pytest.mark.parametrize("previews", [0, 100])
def test_pictures_with_any_name_are_shown(
    chromium: Browser, sscd: Run, tmp_path: Path, previews: int
) -> None:
    name = os.fsdecode(b"</script>\"'#?%41\n\xe9.png")
    for number, path in enumerate(("a.png", name)):
        picture(tmp_path / "photos" / path, number, (60, 40))
    names = [f"photos/{path}" for path in ("a.png", name)]
    report = clusters_report(tmp_path / "r.jsonl", [[member(names[0]), member(names[1], names[0])]])
    (tmp_path / "out").mkdir()
    assert sscd("review", report, "-o", "out/page.html", "--previews", str(previews)).status == 0
    chromium.open((tmp_path / "out/page.html").as_uri())
    pictures = "[...document.querySelectorAll('#stage img')]"
    chromium.wait(f"{pictures}.filter((one) => one.naturalWidth === 60).length === 2")
    assert chromium.text(COPY) == "photos/</script>\"'#?%41\\n\\xe9.png"
    assert chromium.ask(f"{pictures}.every((one) => one.alt.includes('photos/'))")


@pytest.mark.parametrize("mode", ["2", "3", "4"])
def test_a_mirrored_crop_is_laid_over_its_original(
    chromium: Browser, sscd: Run, tmp_path: Path, mode: str
) -> None:
    from PIL import Image, ImageOps

    photo = Path(__file__).parents[1] / "data" / "gallery"
    with Image.open(sorted(photo.glob("*.jpg"))[0]) as opened:
        whole = opened.convert("RGB")
    width, height = whole.size
    box = round(0.1 * width), round(0.2 * height), round(0.8 * width), round(0.9 * height)
    whole.save(tmp_path / "whole.png")
    ImageOps.mirror(whole.crop(box)).save(tmp_path / "part.png")
    sizes = [dict(zip(("width", "height"), size, strict=True)) for size in (whole.size, (7, 7))]
    images = [member("whole.png", **sizes[0]), member("part.png", "whole.png", 0.8, **sizes[1])]
    report = clusters_report(tmp_path / "r.jsonl", [images])
    assert sscd("review", report, "-o", "page.html").status == 0
    chromium.open((tmp_path / "page.html").as_uri())
    chromium.press(mode)
    chromium.wait("byId('alignment').textContent.startsWith('aligned, mirrored')")
    placing = chromium.ask("view.placing")
    found = [placing[name] for name in ("tx", "ty", "sx", "sy")]
    assert found == pytest.approx([0.1, 0.2, 0.7, 0.7], abs=0.02)


@pytest.mark.parametrize(
    ("one", "other"), [("alps", "clock"), ("reef", "sunflower"), ("canyon", "aurora")]
)
def test_strangers_are_not_said_to_be_parts_of_each_other(
    chromium: Browser, sscd: Run, tmp_path: Path, one: str, other: str
) -> None:
    from PIL import Image

    images = []
    for name in (one, other):
        path = Path(__file__).parents[1] / "data" / "gallery" / f"{name}.jpg"
        with Image.open(path) as opened:
            size = dict(zip(("width", "height"), opened.size, strict=True))
        (tmp_path / path.name).write_bytes(path.read_bytes())
        images.append(member(path.name, *([f"{one}.jpg", 0.5] if images else []), **size))
    report = clusters_report(tmp_path / "r.jsonl", [images])
    assert sscd("review", report, "-o", "page.html").status == 0
    chromium.open((tmp_path / "page.html").as_uri())
    chromium.press("4")
    chromium.wait("byId('alignment').textContent !== 'aligning …'")
    assert not {"covers", "turned", "mirrored"} & set(chromium.text("#alignment").split())


def test_both_pictures_are_zoomed_alike(chromium: Browser, three_pairs: str) -> None:
    chromium.open(three_pairs)
    chromium.press("+", "+")
    assert chromium.text("#zoom-now") == "225 %"
    boxes = chromium.ask(
        "[...document.querySelectorAll('figure .frame')].map((f) => [f.style.width, f.style.left])"
    )
    assert boxes[0] == boxes[1]
    chromium.press("0")
    assert chromium.text("#zoom-now") == "fit"


@pytest.mark.parametrize("dark", [False, True])
def test_a_narrow_screen_shows_all_of_it(chromium: Browser, three_pairs: str, dark: bool) -> None:
    chromium.resize(400, 800, dark=dark)
    chromium.open(three_pairs)
    for key in ("1", "4", "?", "Escape", "m", "Escape"):
        chromium.press(key)
        assert chromium.ask("document.documentElement.scrollWidth") <= 400
        assert chromium.ask(
            "byId('other-text').getBoundingClientRect().bottom <= "
            "byId('actions').getBoundingClientRect().top"
        )
    assert chromium.ask(
        "[...document.querySelectorAll('#actions button')].every((one) => "
        "one.getBoundingClientRect().bottom <= innerHeight)"
    )


def test_a_narrow_screen_shows_the_other_images_of_a_cluster(
    chromium: Browser, sscd: Run, tmp_path: Path
) -> None:
    chromium.resize(400, 800)
    chromium.open(cluster_of(["0.png", "1.png", "2.png"], sscd, tmp_path))
    assert chromium.ask(
        "byId('strip').getBoundingClientRect().bottom <= "
        "byId('actions').getBoundingClientRect().top"
    )


def test_everything_can_be_reached_and_is_named(chromium: Browser, three_pairs: str) -> None:
    chromium.open(three_pairs)
    names = chromium.ask(
        "[...document.querySelectorAll('button, input, select')].map((one) => one.ariaLabel ||"
        "one.textContent.trim() || one.labels?.[0]?.textContent.trim() || one.id)"
    )
    assert all(names)


@pytest.mark.parametrize("dark", [False, True])
def test_all_text_has_the_contrast_of_wcag_aa(
    chromium: Browser, three_pairs: str, dark: bool
) -> None:
    chromium.resize(1400, 900, dark=dark)
    chromium.open(three_pairs)
    for keys in ((), ("?",), ("Escape", "m"), ("Escape", "r", "n"), ("ArrowLeft",), ("k", "b")):
        chromium.press(*keys)
        assert chromium.ask(FAINT) == [], keys


# what people read, with less than 4.5 between its colour and its ground; disabled buttons may
FAINT = """(() => {
  const parts = (colour) => {
    const [r, g, b, a = 1] = colour.match(/[\\d.]+/g).map(Number);
    return [[r, g, b], a];
  };
  const linear = (v) => v <= .03928 * 255 ? v / 255 / 12.92 : ((v / 255 + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => .2126 * linear(r) + .7152 * linear(g) + .0722 * linear(b);
  const over = (top, alpha, below) => top.map((v, place) => alpha * v + (1 - alpha) * below[place]);
  function ground(element) {
    if (!element) return [255, 255, 255];
    const [rgb, alpha] = parts(getComputedStyle(element).backgroundColor);
    return alpha === 1 ? rgb : over(rgb, alpha, ground(element.parentElement));
  }
  const top = document.querySelector("dialog[open]") ?? document.body;
  const says = (one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  return [...top.querySelectorAll("*")]
    .filter((one) => says(one) && one.checkVisibility() && !one.closest(":disabled"))
    .map((one) => {
      const [rgb] = parts(getComputedStyle(one).color);
      const [low, high] = [light(rgb), light(ground(one))].sort((a, b) => a - b);
      return [one.textContent.trim(), (high + .05) / (low + .05)];
    }).filter(([, contrast]) => contrast < 4.5);
})()"""


def test_of_a_long_path_the_name_and_both_ends_of_the_folder_are_shown(
    chromium: Browser, sscd: Run, tmp_path: Path
) -> None:
    folder, name = f"kept/{'scans of the museum/' * 8}shelf 12/", f"{'page ' * 12}.png"
    (tmp_path / folder).mkdir(parents=True)
    picture(tmp_path / folder / name, 1)
    pair = [member(folder + name), member("copy.png", folder + name, 0.8)]
    report = clusters_report(tmp_path / "report.jsonl", [pair])
    assert sscd("review", report, "-o", "page.html").status == 0
    chromium.open((tmp_path / "page.html").as_uri())
    shown = chromium.text(KEPT)
    assert shown.startswith("kept/scans of")
    assert shown.endswith(f"…ans of the museum/shelf 12/{name}")


def test_a_report_of_nothing_offers_nothing_to_do(
    chromium: Browser, sscd: Run, tmp_path: Path
) -> None:
    report = clusters_report(tmp_path / "report.jsonl", [])
    assert sscd("review", report, "-o", "page.html").status == 0
    chromium.open((tmp_path / "page.html").as_uri())
    assert chromium.text("#end") == "There is nothing to decide: no copies were found."
    shown = "[...document.querySelectorAll('button')].filter((one) => one.checkVisibility())"
    assert chromium.ask(f"{shown}.map((one) => one.id)") == ["save", "help-open"]


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
