"""PDF files: a page as a picture, files of pages, what is said of those that cannot be opened."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from conftest import Run
from decoding import open_image
from drawn_pictures import draw_picture
from PIL import Image

from sscd_cli.images import signatures
from sscd_cli.images.decode import Decoded, decode
from sscd_cli.images.opening import open_picture, some_frames
from sscd_cli.images.read import Unreadable
from sscd_cli.images.refs import ImageRef

pypdfium2 = pytest.importorskip("pypdfium2")

PAGE = draw_picture(3, 420, 595)


def pdf(*pages: Image.Image, dpi: float = 72) -> bytes:
    stream = io.BytesIO()
    pages[0].save(stream, "PDF", save_all=True, append_images=pages[1:], resolution=dpi)
    return stream.getvalue()


def drawn(*sizes: tuple[float, float]) -> bytes:
    """Return a file of empty pages; sizes: in points."""
    document, stream = pypdfium2.PdfDocument.new(), io.BytesIO()
    for size in sizes:
        document.new_page(*size)
    document.save(stream)
    return stream.getvalue()


def locked() -> bytes:
    """Return a file of 40-bit RC4 whose user password nobody knows."""
    trailer = b"trailer\n<</Encrypt<</Filter/Standard/V 1/R 2/P -4/O<%s>/U<%s>>>/ID[<00><00>]"
    return pdf(PAGE).replace(b"trailer\n<<", trailer % (b"41" * 32, b"42" * 32), 1)


def the_error(tmp_path: Path, data: bytes) -> str:
    (tmp_path / "a.pdf").write_bytes(data)
    found = decode(ImageRef("a.pdf", str(tmp_path), str(tmp_path / "a.pdf")))
    assert isinstance(found, Unreadable)
    return found.error


@pytest.fixture
def without_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    monkeypatch.setattr(signatures, "reads_pdf", lambda: False)


def test_a_page_has_the_resolution_of_its_scan() -> None:
    found = open_image(pdf(PAGE.resize((1680, 2380)), dpi=288))
    assert (found.format, found.mode) == ("PDF", "RGB")
    assert found.size == pytest.approx((1680, 2380), abs=2)
    error = np.asarray(found.resize(PAGE.size), float) - np.asarray(PAGE, float)
    assert np.abs(error).mean() < 6


def test_a_page_without_a_scan_is_drawn_at_150_dpi() -> None:
    assert open_image(drawn((595, 842))).size == pytest.approx((1240, 1754), abs=1)


def test_the_pages_are_counted_and_some_are_shown() -> None:
    colours = ["red", "green", "blue", "white", "black", "yellow", "cyan"]
    data = pdf(*(Image.new("RGB", (60, 40), colour) for colour in colours))
    assert open_picture(data).frames == 7
    shown = [page.image.getpixel((9, 9)) for page in some_frames(data)]
    wanted = [(255, 0, 0), (0, 128, 0), (255, 255, 255), (0, 0, 0), (0, 255, 255)]
    assert np.abs(np.subtract(shown, wanted)).max() <= 3


def test_pages_that_look_alike_are_no_exact_copies(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf(PAGE))
    found = decode(ImageRef("a.pdf", str(tmp_path), str(tmp_path / "a.pdf")))
    assert isinstance(found, Decoded)
    assert found.pixel_hash is None


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (locked(), "PDF with a password"),
        (pdf(PAGE)[:900], "truncated PDF"),
        (b"%PDF-1.4\nnothing else\n%%EOF", "damaged PDF"),
        (drawn(), "damaged PDF"),  # no page at all
    ],
)
def test_what_cannot_be_opened_says_why(tmp_path: Path, data: bytes, error: str) -> None:
    assert the_error(tmp_path, data) == error


def test_a_bomb_on_a_page_is_refused_unread(tmp_path: Path) -> None:
    data = pdf(Image.new("1", (20_000, 20_000)), dpi=7200)
    assert the_error(tmp_path, data).startswith("20000 x 20000 pixels are more than the limit")


def test_threads_may_read_at_once() -> None:
    data, sizes = pdf(PAGE, PAGE), list[tuple[int, int]]()
    threads = [Thread(target=lambda: sizes.append(open_image(data).size)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sizes) == 8
    assert len(set(sizes)) == 1


def test_a_folder_holds_its_pdf_files(tmp_path: Path, sscd: Run) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "a.PDF").write_bytes(pdf(PAGE))
    run = sscd("embed", tmp_path / "pages", "-d", tmp_path / "d")
    assert "1 embedded" in run.err


@pytest.mark.usefixtures("without_extra")
def test_without_the_extra_pdf_files_are_counted(tmp_path: Path, sscd: Run) -> None:
    folder = tmp_path / "pages"
    folder.mkdir()
    (folder / "a.pdf").write_bytes(pdf(PAGE))
    run = sscd("embed", folder, "-d", tmp_path / "d")
    assert run.status == 3
    assert "no images in" in run.err
    assert "to read 1 PDF file there, pip install 'sscd-cli[pdf]'" in run.err
    PAGE.save(folder / "b.png")
    run = sscd("embed", folder, "-d", tmp_path / "d")
    assert "not images: 1 .pdf\nto read .pdf: pip install 'sscd-cli[pdf]'\n" in run.err
    assert the_error(folder, pdf(PAGE)) == "PDF needs pip install 'sscd-cli[pdf]'"
