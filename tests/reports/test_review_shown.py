"""What the page to decide on shows, in a browser."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from browser import Browser
from conftest import Run, picture
from review_reports import clusters_report, member
from reviewing import COPY, KEPT, cluster_of


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
