"""Brushes of the gallery: noise, light and shapes on a canvas that is a float array (H, W, 3).

Colours run from 0 (black) to 1. Lengths are in units of the picture's height unless a name says
pixels; x runs to the right from 0 to width / height, y runs down from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

OVERSAMPLING = 3


class Frame(NamedTuple):
    """The size of a picture in pixels, and the coordinates of its pixels."""

    width: int
    height: int

    @property
    def aspect(self) -> float:
        return self.width / self.height

    def grid(self) -> tuple[np.ndarray, np.ndarray]:
        """Return x_HW and y_HW."""
        y, x = np.mgrid[0 : self.height, 0 : self.width] / self.height
        return x, y

    def flat(self, colour: str) -> np.ndarray:
        return np.tile(rgb(colour), (self.height, self.width, 1))

    def sky(self, *colours: str) -> np.ndarray:
        """Return a canvas that runs through the colours from top to bottom."""
        return ramp(self.grid()[1], *colours)


def rgb(colour: str) -> np.ndarray:
    return np.array(ImageColor.getrgb(colour)[:3]) / 255


def smoothstep(low: float, high: float, values: np.ndarray) -> np.ndarray:
    """Return 0 below low and 1 above high, with a soft rise between; low > high falls."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def ramp(values: np.ndarray, *colours: str) -> np.ndarray:
    """Map values (...) in 0..1 to colours (..., 3), evenly spaced."""
    stops = np.linspace(0, 1, len(colours))
    table = np.array([rgb(colour) for colour in colours])
    return np.stack([np.interp(values, stops, table[:, c]) for c in range(3)], axis=-1)


def lay(canvas: np.ndarray, paint: np.ndarray | str, mask_HW: np.ndarray) -> np.ndarray:
    """Return the canvas covered with paint where the mask is 1."""
    colour = rgb(paint) if isinstance(paint, str) else paint
    cover = np.clip(mask_HW, 0, 1)[..., None]
    return canvas * (1 - cover) + colour * cover


def stretch(values: np.ndarray) -> np.ndarray:
    """Return the values moved and scaled to 0..1."""
    return (values - values.min()) / np.ptp(values)


def fractal(
    rng: np.random.Generator,
    frame: Frame,
    cells: tuple[float, float] = (4, 4),
    octaves: int = 6,
    gain: float = 0.5,
    *,
    ridged: bool = False,
) -> np.ndarray:
    """Return noise (H, W) in 0..1: octaves of smooth value noise, cells wide and high at first."""
    total = np.zeros((frame.height, frame.width))
    for octave in range(octaves):
        columns, rows = (max(2, round(n * 2**octave)) for n in cells)
        values = rng.random((rows + 3, columns + 3)).astype(np.float32)
        box = (1, 1, columns + 1, rows + 1)
        layer = Image.fromarray(values).resize(frame, Image.Resampling.BICUBIC, box)
        noise = np.asarray(layer, dtype=float)
        total += gain**octave * (1 - abs(2 * noise - 1) if ridged else noise)
    return stretch(total)


def blur(values: np.ndarray, sigma: float) -> np.ndarray:
    """Return values (H, W) or (H, W, 3) after a Gaussian blur; sigma is in pixels."""
    reach = int(3 * sigma) + 1
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    for axis in (0, 1):
        margins = [(reach, reach) if a == axis else (0, 0) for a in range(values.ndim)]
        padded = np.moveaxis(np.pad(values, margins, mode="edge"), axis, 0)
        length = values.shape[axis]
        summed = sum(w * padded[i : i + length] for i, w in enumerate(weights / weights.sum()))
        values = np.moveaxis(summed, 0, axis)
    return values


def relief(heights_HW: np.ndarray, light: tuple[float, float, float], steep: float) -> np.ndarray:
    """Return the brightness (H, W) in 0..1 of a surface lit from the direction light (x, y, z)."""
    rise, run = np.gradient(heights_HW * steep)
    x, y, z = np.array(light) / np.linalg.norm(light)
    return np.clip((z - run * x - rise * y) / np.sqrt(1 + rise**2 + run**2), 0, 1)


def shape(frame: Frame, sketch: Callable[[Pencil], None]) -> np.ndarray:
    """Return the mask (H, W) of what the sketch draws, with smooth edges."""
    big = Image.new("L", (frame.width * OVERSAMPLING, frame.height * OVERSAMPLING))
    sketch(Pencil(big))
    return np.asarray(big.resize(frame, Image.Resampling.BOX), dtype=float) / 255


class Pencil:
    """Draws on a mask in picture units; ink 255 covers and ink 0 rubs out."""

    def __init__(self, mask: Image.Image) -> None:
        self.unit = mask.height
        self.draw = ImageDraw.Draw(mask)

    def _pixels(self, points: np.ndarray | list[tuple[float, float]]) -> list[tuple[float, ...]]:
        return [tuple(point) for point in (np.asarray(points) * self.unit).tolist()]

    def polygon(self, points: np.ndarray | list[tuple[float, float]], ink: int = 255) -> None:
        self.draw.polygon(self._pixels(points), fill=ink)

    def line(
        self, points: np.ndarray | list[tuple[float, float]], width: float, ink: int = 255
    ) -> None:
        thick = max(1, round(width * self.unit))
        self.draw.line(self._pixels(points), fill=ink, width=thick, joint="curve")

    def ellipse(
        self, centre: tuple[float, float], radii: tuple[float, float], ink: int = 255
    ) -> None:
        (x, y), (a, b) = centre, radii
        corners = self._pixels([(x - a, y - b), (x + a, y + b)])
        self.draw.ellipse(corners, fill=ink)

    def box(self, corner: tuple[float, float], size: tuple[float, float], ink: int = 255) -> None:
        (x, y), (w, h) = corner, size
        self.polygon([(x, y), (x + w, y), (x + w, y + h), (x, y + h)], ink)

    def text(self, at: tuple[float, float], words: str, size: float, anchor: str = "la") -> None:
        font = ImageFont.load_default(round(size * self.unit))
        self.draw.text(self._pixels([at])[0], words, fill=255, font=font, anchor=anchor)


def ball(frame: Frame, centre: tuple[float, float], radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the mask (H, W) of a ball and the unit normals (H, W, 3) of its front, z outwards."""
    x, y = frame.grid()
    u, v = (x - centre[0]) / radius, (y - centre[1]) / radius
    square = u**2 + v**2
    edge = 2 / (radius * frame.height)
    normals = np.stack([u, v, np.sqrt(np.clip(1 - square, 0, 1))], axis=-1)
    return smoothstep(1, 1 - edge, np.sqrt(square)), normals


def lit(normals: np.ndarray, light: tuple[float, float, float]) -> np.ndarray:
    """Return the brightness (H, W) in 0..1 of normals (H, W, 3) under a distant light."""
    return np.clip(normals @ (np.array(light) / np.linalg.norm(light)), 0, 1)


def voronoi(frame: Frame, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which of the points (N, 2) is nearest to each pixel, and how far the nearest two are.

    Looks no further than three steps of an even spread, so it is meant for points without holes.
    """
    x, y = frame.grid()
    owner = np.zeros(x.shape, dtype=int)
    first, second = np.full((2, *x.shape), 9.0)
    reach = 3 * np.sqrt(frame.aspect / len(points))
    for number, (px, py) in enumerate(points):
        top, left = (max(0, int((at - reach) * frame.height)) for at in (py, px))
        bottom, right = (max(0, int((at + reach) * frame.height)) for at in (py, px))
        near = (slice(top, bottom), slice(left, right))
        distance = np.hypot(x[near] - px, y[near] - py)
        closer = distance < first[near]
        second[near] = np.where(closer, first[near], np.minimum(second[near], distance))
        owner[near][closer] = number
        first[near] = np.minimum(first[near], distance)
    return owner, first, second


def spread(rng: np.random.Generator, frame: Frame, count: int) -> np.ndarray:
    """Return about count points (N, 2) on a jittered grid that reaches beyond the picture."""
    step = np.sqrt(frame.aspect / count)
    x, y = np.meshgrid(
        np.arange(-step, frame.aspect + step, step), np.arange(-step, 1 + step, step)
    )
    points = np.stack([x.ravel(), y.ravel()], axis=-1)
    return points + rng.uniform(-0.45, 0.45, points.shape) * step


def mirror(canvas: np.ndarray, shore: float, rng: np.random.Generator, swell: float) -> np.ndarray:
    """Return the canvas with rippled water below the height shore that mirrors what is above it."""
    height, width = canvas.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    line = int(shore * height)
    depth = np.clip((y - line) / (height - line), 0, 1)
    near = Frame(width, height)
    waves = fractal(rng, near, (6, 70), 4, 0.7) - 0.5
    rows = np.abs(2 * line - y + waves * swell * (0.1 + depth) * height).astype(int)
    columns = (x + waves * swell * 0.3 * depth * height).astype(int)
    water = canvas[np.clip(rows, 0, line - 1), np.clip(columns, 0, width - 1)]
    water = water * (0.85 - 0.35 * depth + 0.5 * waves)[..., None]
    return np.where((y >= line)[..., None], water, canvas)


def fly_over(
    heights_NN: np.ndarray, frame: Frame, eye: float, horizon: float, focal: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Look across a square landscape from its near edge.

    Heights are in units of the side. Returns, per pixel, the row and the column of the landscape
    seen there (int, (H, W)) and its distance in 0..1, which is inf for sky. Beyond its left and
    right edges the landscape goes on as its mirror image.
    """
    side = len(heights_NN)
    depths = np.geomspace(0.06, 0.98, 900)
    across = (np.arange(frame.width) / frame.width - 0.5) * frame.aspect / focal
    columns = ((0.5 + np.outer(depths, across)) * side).astype(int)
    columns = (side - 1) - abs(columns % (2 * side) - (side - 1))
    rows = (depths * (side - 1)).astype(int)
    above = horizon + (eye - heights_NN[rows[:, None], columns]) / depths[:, None] * focal
    skyline = np.minimum.accumulate(above, axis=0)
    pixel_y = np.arange(frame.height) / frame.height
    steps = np.stack([np.searchsorted(-line, -pixel_y) for line in skyline.T], axis=-1)
    seen = np.minimum(steps, len(depths) - 1)
    distance = np.where(steps < len(depths), depths[seen], np.inf)
    return rows[seen], columns[seen, np.arange(frame.width)], distance


def develop(
    canvas: np.ndarray, rng: np.random.Generator, grain: float = 0.012, glow: float = 0.25
) -> Image.Image:
    """Return the canvas as a photograph: glow around lights, darker corners, grain."""
    height, width = canvas.shape[:2]
    x, y = Frame(width, height).grid()
    halo = blur(np.clip(canvas - 0.7, 0, 1.5), height / 40)
    corner = np.hypot(x - width / height / 2, y - 0.5) / np.hypot(width / height, 1) * 2
    shot = (canvas + glow * halo) * (1 - 0.25 * corner**3)[..., None]
    shot += rng.normal(0, grain, (height, width, 1)) * (0.3 + np.sqrt(np.clip(shot, 0, 1)))
    return Image.fromarray((np.clip(shot, 0, 1) * 255 + 0.5).astype(np.uint8))
