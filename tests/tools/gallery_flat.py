"""Scenes of the gallery that are flat: cloth, boards, paint and paper; each returns a canvas."""

from __future__ import annotations

from functools import partial

import numpy as np
from gallery_paint import (
    Frame,
    Pencil,
    blur,
    fractal,
    lay,
    ramp,
    relief,
    rgb,
    shape,
    smoothstep,
    stretch,
)
from PIL import Image, ImageDraw

Random = np.random.Generator

LETTERS = ("la", "ve", "no", "ri", "ta", "mon", "se", "du", "ker", "pa", "lin", "os", "fe", "tur")


def tartan(rng: Random) -> np.ndarray:
    """Woven wool, red and green, with a crease."""
    frame = Frame(460, 460)
    x, y = frame.grid()
    x, y = x + 0.02 * np.sin(y * 4) + 0.15 * y, y - 0.12 * x + 0.015 * np.sin(x * 5)
    sett = np.repeat([0, 1, 0, 2, 1, 3, 1, 2, 0, 4], [30, 6, 6, 14, 3, 4, 3, 14, 20, 3])
    dyes = np.array([rgb(c) for c in ("#a81c24", "#14181f", "#1c5a38", "#f0e8d8", "#f0c030")])
    warp, weft = (dyes[sett[(axis * 230).astype(int) % len(sett)]] for axis in (x, y))
    twill = ((x + y) * 115 % 1 < 0.5)[..., None]
    threads = 0.75 + 0.25 * np.where(twill[..., 0], np.sin(x * 720), np.sin(y * 720))
    wool = 0.8 + 0.4 * fractal(rng, frame, (120, 120), 2)
    crease = relief(blur(fractal(rng, frame, (2, 3), 2), 8), (-0.7, -0.5, 0.5), 220)
    return np.where(twill, warp, weft) * (threads * wool * (0.35 + 1.1 * crease))[..., None]


def planks(rng: Random) -> np.ndarray:
    """Weathered boards with knots and nails."""
    frame = Frame(560, 400)
    x, y = frame.grid()
    row = np.minimum((y * 5).astype(int), 4)
    shift = rng.uniform(0, 40, 5)[row]
    wave = fractal(rng, frame, (3, 9), 4) * 0.5
    for _ in range(5):
        kx, ky = rng.uniform(0, frame.aspect), (rng.integers(5) + 0.5) / 5
        knot = np.hypot((x - kx) / 2.2, y - ky)
        wave = wave + 0.22 * np.exp(-((knot / 0.035) ** 2)) * (abs(y - ky) < 0.1)
    rings = np.sin((y * 9 + wave * 9 + shift) * 5) * 0.5 + 0.5
    fibre = fractal(rng, frame, (9, 160), 3, 0.8)
    tone = np.array([0.1, 0.22, 0.0, 0.3, 0.16])[row]
    canvas = ramp(0.45 * rings + 0.45 * fibre + tone, "#3a2414", "#8a5a30", "#c89a60", "#e8cc9c")
    paint = fractal(rng, frame, (7, 12), 6, 0.7) + 0.25 * fibre
    canvas = lay(canvas, ramp(fibre, "#4f8f98", "#86bfc0"), smoothstep(0.62, 0.66, paint) * 0.9)
    gap = abs((y * 5 + 0.5) % 1 - 0.5)
    canvas = canvas * (smoothstep(0.0, 0.05, gap) * 0.9 + 0.1)[..., None]
    nails = np.hypot((x + 0.2) % 0.6 - 0.3, (y * 5 % 1 - 0.5) / 5)
    return lay(canvas, "#2a2624", smoothstep(0.011, 0.008, nails))


def brushwork(rng: Random) -> np.ndarray:
    """An abstract painting: thick strokes that follow a swirling field."""
    frame, big = Frame(560, 440), Frame(1120, 880)
    field = fractal(rng, big, (3, 2), 2) * 4 * np.pi
    hue = fractal(rng, big, (3, 3), 3)
    inks = ("#12304f", "#1f7a8c", "#e8dcc0", "#e0a020", "#c8402c", "#5a1c3a")
    colours, heights = Image.new("RGB", big, "#b8a880"), Image.new("L", big, 90)
    for number in range(2200):
        path = _stroke(field, rng.uniform((0, 0), big))
        tone = hue[_at(hue, path[0])] + rng.normal(0, 0.07)
        ink = ramp(np.clip(tone * 1.5 - 0.25, 0, 1), *inks) * rng.uniform(0.8, 1.05)
        points, width = [tuple(point) for point in path.tolist()], 34 - number // 100
        fill = tuple((ink * 255).astype(int).tolist())
        ImageDraw.Draw(colours).line(points, fill, width, joint="curve")
        ImageDraw.Draw(heights).line(points, int(rng.integers(60, 256)), width, joint="curve")
    paint, thick = (
        np.asarray(layer.resize(frame, Image.Resampling.BOX)) / 255 for layer in (colours, heights)
    )
    hairs = fractal(rng, frame, (90, 90), 2) * 0.3
    return paint * (0.45 + 0.8 * relief(blur(thick + hairs, 0.8), (-0.6, -0.7, 0.6), 2))[..., None]


def _at(field: np.ndarray, point: np.ndarray) -> tuple[int, int]:
    """Return the row and the column of the field below a point (x, y) in pixels."""
    column, row = np.clip(point, 0, np.array(field.shape[::-1]) - 1).astype(int)
    return int(row), int(column)


def _stroke(field: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return 12 points (12, 2) in pixels that follow the field's angles from the start."""
    path = [start]
    for _ in range(11):
        angle = field[_at(field, path[-1])]
        path.append(path[-1] + 12 * np.array([np.cos(angle), np.sin(angle)]))
    return np.array(path)


def bauhaus(rng: Random) -> np.ndarray:
    """A geometric poster of circles, arcs and bars on old paper."""
    frame = Frame(400, 560)
    x, y = frame.grid()
    canvas = ramp(fractal(rng, frame, (30, 40), 4), "#e4d4b0", "#f4ead0")
    canvas = lay(canvas, "#d0342c", smoothstep(0.21, 0.207, np.hypot(x - 0.27, y - 0.33)))
    half = smoothstep(0.165, 0.162, np.hypot(x - 0.48, y - 0.62)) * (x > 0.48)
    canvas = lay(canvas, "#1c3f94", half)
    arcs = smoothstep(0.35, 0.3, abs(np.hypot(x - 0.48, y - 0.62) * 28 % 1 - 0.5))
    canvas = lay(canvas, "#16161a", arcs * (x < 0.48) * (np.hypot(x - 0.48, y - 0.62) < 0.25))
    canvas = lay(canvas, "#f0b81e", shape(frame, _triangle))
    bars = shape(frame, _bars)
    canvas = lay(canvas, "#16161a", bars)
    wear = smoothstep(0.66, 0.8, fractal(rng, frame, (60, 80), 3))
    fold = smoothstep(0.004, 0, abs(y - 0.5)) + smoothstep(0.004, 0, abs(x - 0.357))
    return lay(canvas, "#f4ead0", wear * 0.5 + fold * 0.35)


def _triangle(pencil: Pencil) -> None:
    pencil.polygon([(0.08, 0.9), (0.3, 0.6), (0.42, 0.9)])


def _bars(pencil: Pencil) -> None:
    for number in range(5):
        pencil.line([(0.36 + 0.05 * number, 0.02), (0.6 + 0.05 * number, 0.46)], 0.012)
    pencil.line([(0.03, 0.56), (0.68, 0.56)], 0.008)
    pencil.text((0.06, 0.93), "FORM 1923", 0.045)
    pencil.box((0.55, 0.84), (0.1, 0.06))


def newspaper(rng: Random) -> np.ndarray:
    """A page of newsprint with a headline, three columns and a picture."""
    frame = Frame(440, 600)
    x, y = frame.grid()
    canvas = ramp(fractal(rng, frame, (4, 5), 6), "#cfc6b0", "#e8e2d2", "#f2eee2")
    canvas = lay(canvas, "#22201e", shape(frame, partial(_columns, rng=rng)) * 0.9)
    inset = (x > 0.27) & (x < 0.69) & (y > 0.3) & (y < 0.55)
    hills = 0.45 + 0.1 * (fractal(rng, frame, (5, 1), 4)[0] - 0.5)
    scene = np.where(y > hills, 0.25 + 0.3 * (y - 0.4), 0.9 - 0.8 * (0.5 - y))
    scene = scene - 0.5 * smoothstep(0.05, 0.04, np.hypot(x - 0.4, y - 0.4))
    dots = np.sin((x + y) * 420) * np.sin((x - y) * 420) * 0.3
    screen = ramp(smoothstep(-0.1, 0.1, scene - 0.5 + dots), "#2a2826", "#d8d0be")
    canvas = lay(canvas, screen, inset)
    return canvas * (0.8 + 0.25 * smoothstep(0, 0.02, abs(y - 0.52)) * (1 - 0.2 * x))[..., None]


def _columns(pencil: Pencil, rng: Random) -> None:
    pencil.text((0.365, 0.06), "The Daily Ferry", 0.075, "mm")
    for level in (0.11, 0.137):
        pencil.line([(0.03, level), (0.7, level)], 0.002)
    pencil.text((0.04, 0.117), "No. 4071     MONDAY     two pence", 0.014)
    pencil.text((0.04, 0.15), "Harbour bridge opens", 0.058)
    pencil.text((0.04, 0.215), "after seven winters of work", 0.035)
    for column in range(3):
        left = 0.04 + 0.225 * column
        for row in np.arange(0.28, 0.97, 0.0165):
            if column == 0 or row > 0.56:
                pencil.text((left, row), _words(rng, 27), 0.0135)


def _words(rng: Random, length: int) -> str:
    line = ""
    while len(line) < length:
        line += "".join(rng.choice(LETTERS, rng.integers(1, 4))) + " "
    return line[:length].strip()


def chart(rng: Random) -> np.ndarray:
    """A slide with a bar chart, a curve and a legend."""
    frame = Frame(600, 400)
    x, y = frame.grid()
    canvas = frame.sky("#ffffff", "#eef2f8")
    canvas = lay(canvas, "#23395d", (y < 0.15).astype(float))
    canvas = lay(canvas, "#ffffff", shape(frame, _title))
    grid = (abs(y * 8 % 1 - 0.5) > 0.485) & (y > 0.2) & (y < 0.86) & (x > 0.14) & (x < 1.42)
    canvas = lay(canvas, "#c0c8d4", grid)
    tops = np.cumsum(rng.normal(0.02, 0.08, (3, 8)), axis=1) + 0.3
    for series, colour in enumerate(("#2a9d8f", "#e9c46a", "#e76f51")):
        heights = np.clip(tops[series], 0.08, 0.6)
        bars = shape(frame, partial(_bar_series, series=series, heights=heights))
        canvas = lay(canvas, colour, bars)
    curve = [(0.21 + 0.155 * i, 0.62 - 0.4 * v) for i, v in enumerate(tops.mean(axis=0))]
    canvas = lay(canvas, "#6a4c93", shape(frame, partial(Pencil.line, points=curve, width=0.012)))
    return lay(canvas, "#333a48", shape(frame, _axis_labels))


def _title(pencil: Pencil) -> None:
    pencil.text((0.06, 0.045), "Ferry passengers by quarter", 0.06)


def _bar_series(pencil: Pencil, series: int, heights: np.ndarray) -> None:
    for quarter, top in enumerate(heights):
        pencil.box((0.17 + 0.155 * quarter + 0.038 * series, 0.86 - top), (0.034, top))
    pencil.box((0.5 + 0.3 * series, 0.945), (0.03, 0.03))


def _axis_labels(pencil: Pencil) -> None:
    pencil.line([(0.14, 0.2), (0.14, 0.86), (1.42, 0.86)], 0.005)
    for quarter in range(8):
        pencil.text((0.225 + 0.155 * quarter, 0.9), f"Q{quarter % 4 + 1}", 0.038, "mm")
    for step in range(6):
        pencil.text((0.12, 0.81 - 0.125 * step), f"{step * 20}k", 0.035, "rm")
    for series, name in enumerate(("north", "west", "south")):
        pencil.text((0.55 + 0.3 * series, 0.96), name, 0.038, "lm")


def island_map(rng: Random) -> np.ndarray:
    """A relief map of an island with contours, roads, towns and a grid."""
    frame = Frame(520, 520)
    x, y = frame.grid()
    height = fractal(rng, frame, (3, 3), 7, 0.5) - 1.2 * np.hypot(x - 0.5, y - 0.48) + 0.12
    sea = ramp(smoothstep(-0.5, 0.2, height), "#6fa8cc", "#a8d0e4", "#d4ecf4")
    land = ramp(stretch(height), "#6f9c58", "#8cb468", "#c8cc88", "#d8b878", "#b08458", "#ffffff")
    land = land * (0.55 + 0.6 * relief(height, (-0.6, -0.6, 0.6), 90))[..., None]
    contour = smoothstep(0.1, 0.03, abs(height * 22 % 1 - 0.5))
    land = lay(land, "#7a4a24", contour * 0.5)
    canvas = lay(sea, land, smoothstep(0.198, 0.202, height))
    canvas = lay(canvas, "#2c5a7c", smoothstep(0.006, 0.002, abs(height - 0.2)))
    canvas = lay(canvas, "#5a7c94", smoothstep(0.49, 0.495, abs(x * 8 % 1 - 0.5)) * 0.5)
    canvas = lay(canvas, "#5a7c94", smoothstep(0.49, 0.495, abs(y * 8 % 1 - 0.5)) * 0.5)
    towns = np.array(
        [(0.3, 0.3), (0.34, 0.6), (0.5, 0.45), (0.46, 0.78), (0.68, 0.36), (0.66, 0.66)]
    )
    towns = towns + rng.uniform(-0.05, 0.05, towns.shape)
    canvas = lay(canvas, "#c8281e", shape(frame, partial(_roads, towns=towns)))
    return lay(canvas, "#1c1c24", shape(frame, partial(_names, rng=rng, towns=towns)))


def _roads(pencil: Pencil, towns: np.ndarray) -> None:
    order = np.argsort(towns[:, 0])
    for start, end in zip(towns[order], towns[order][1:], strict=False):
        bend = (start + end) / 2 + (end - start)[::-1] * (0.2, -0.2)
        pencil.line([tuple(start), tuple(bend), tuple(end)], 0.006)


def _names(pencil: Pencil, rng: Random, towns: np.ndarray) -> None:
    for at in towns.tolist():
        pencil.ellipse((at[0], at[1]), (0.009, 0.009))
        pencil.text((at[0] + 0.015, at[1] - 0.03), _words(rng, 6).split()[0].capitalize(), 0.03)
    pencil.text((0.04, 0.93), "1 : 50 000", 0.034)
    pencil.polygon([(0.9, 0.06), (0.92, 0.15), (0.9, 0.135), (0.88, 0.15)])


SCENES = (tartan, planks, brushwork, bauhaus, newspaper, chart, island_map)
