"""Scenes of the gallery that nature made: each takes a seeded generator and returns a canvas."""

from __future__ import annotations

from functools import partial

import numpy as np
from gallery_paint import (
    Frame,
    Pencil,
    ball,
    blur,
    fly_over,
    fractal,
    lay,
    lit,
    mirror,
    ramp,
    relief,
    rgb,
    shape,
    smoothstep,
    spread,
    stretch,
    voronoi,
)

Random = np.random.Generator


def harbour(rng: Random) -> np.ndarray:
    """Sailing boats at anchor before a low sun."""
    frame = Frame(600, 400)
    x, y = frame.grid()
    canvas = frame.sky("#28336b", "#7a4f86", "#e8825a", "#ffd27a", "#ffd27a", "#ffd27a")
    streaks = fractal(rng, frame, (3, 14), 6, 0.6)
    canvas = lay(canvas, "#54386b", smoothstep(0.45, 0.75, streaks) * 0.8)
    sun = np.hypot(x - 1.0, y - 0.47)
    canvas = canvas + np.exp(-sun * 9)[..., None] * rgb("#ff9a40") * 0.8
    canvas = lay(canvas, "#fff3c0", smoothstep(0.052, 0.047, sun))
    coast = 0.5 + 0.05 * (fractal(rng, frame, (5, 1), 6)[0] - 0.6) * abs(x - 0.9)
    canvas = lay(canvas, "#4a3350", smoothstep(0, 0.006, y - coast))
    for at, size in ((0.28, 0.42), (0.62, 0.2), (1.25, 0.3), (1.42, 0.13)):
        canvas = lay(canvas, "#1c1626", shape(frame, partial(_boat, x=at, size=size)))
    return mirror(canvas, 0.56, rng, 0.16)


def _boat(pencil: Pencil, x: float, size: float) -> None:
    hull = [(-0.3, -0.08), (0.34, -0.1), (0.24, 0.02), (-0.24, 0.02)]
    sail = [(0.03, -0.92), (0.03, -0.17), (-0.24, -0.15)]
    pencil.polygon([(x + a * size, 0.555 + b * size) for a, b in hull])
    pencil.polygon([(x + a * size, 0.555 + b * size) for a, b in sail])
    pencil.line([(x + 0.04 * size, 0.555), (x + 0.04 * size, 0.555 - size)], 0.012 * size + 0.002)
    pencil.line([(x + 0.04 * size, 0.555 - size), (x + 0.34 * size, 0.555 - 0.1 * size)], 0.003)


def alps(rng: Random) -> np.ndarray:
    """Snowy summits above dark woods, under a blue sky."""
    frame, side = Frame(600, 400), Frame(1024, 1024)
    folds = fractal(rng, side, (5, 4), 8, 0.42, ridged=True)
    far = side.grid()[1]
    ground = folds**1.3 * (0.05 + 0.33 * smoothstep(0.2, 0.9, far))
    rows, columns, distance = fly_over(ground, frame, 0.2, 0.4, 0.9)
    height = ground[rows, columns]
    light = relief(ground, (-0.8, -0.25, 0.5), 1500)[rows, columns]
    rough = fractal(rng, side, (60, 60), 4)[rows, columns]
    land = ramp(rough, "#1d2c1a", "#3b4a2a", "#6a6a48")
    land = lay(land, ramp(rough, "#4b4540", "#8b8078"), smoothstep(0.06, 0.11, height))
    snow = smoothstep(0.12, 0.17, height + 0.08 * (rough - 0.5))
    land = lay(land, "#f4f6ff", snow) * ramp(light, "#4a5c86", "#b7b5b5", "#fffaf0")
    land = lay(land, "#9db9dc", np.clip(distance, 0, 1) * 0.45)
    sky = frame.sky("#1f58ac", "#a8cdf0", "#e5eef5")
    sky = lay(sky, "#ffffff", smoothstep(0.6, 0.9, fractal(rng, frame, (3, 6))) * 0.8)
    return lay(land, sky, np.isinf(distance))


def canyon(rng: Random) -> np.ndarray:
    """Red mesas in the haze of a desert."""
    frame, side = Frame(480, 540), Frame(1024, 1024)
    folds = fractal(rng, side, (7, 7), 8, 0.5)
    steps = folds * 9
    terraces = (np.floor(steps) + smoothstep(0.55, 1, steps % 1)) / 9
    ground = 0.34 * smoothstep(0.3, 0.75, terraces) + 0.02 * folds
    rows, columns, distance = fly_over(ground, frame, 0.62, 0.06, 1.0)
    light = relief(ground, (0.7, -0.5, 0.6), 700)[rows, columns]
    strata = ground[rows, columns] * 60 + fractal(rng, side, (9, 9))[rows, columns] * 3
    land = ramp(strata % 4 / 4, "#8c3b22", "#c8653a", "#e0a070", "#a84a2c", "#8c3b22")
    scrub = fractal(rng, side, (90, 90), 3)[rows, columns]
    flat = smoothstep(0.75, 0.9, relief(ground, (0, 0, 1), 300)[rows, columns])
    land = lay(land, ramp(scrub, "#4f5a2c", "#c99a62", "#e3bd8a"), 0.8 * flat)
    land = land * ramp(light, "#3d2438", "#c09a90", "#fff4dc")
    land = lay(land, "#d9c2c4", np.clip(distance, 0, 1) ** 2 * 0.6)
    return lay(land, frame.sky("#8fb6dc", "#e9ddd0"), np.isinf(distance))


def clouds(rng: Random) -> np.ndarray:
    """Towering white clouds in the afternoon."""
    frame = Frame(560, 420)
    _, y = frame.grid()
    canvas = frame.sky("#0f4d9e", "#3f86cf", "#a9d2ee")
    for level, size in ((0.45, 9), (0.62, 5), (0.85, 3)):
        puffs = fractal(rng, frame, (size, size), 7, 0.52)
        body = puffs + 0.9 * (1 - abs(y - level) * 3)
        shade = relief(blur(puffs, 3), (-0.5, -0.8, 0.5), 90)
        paint = ramp(0.75 * shade + 0.35 * puffs, "#6f86a8", "#b9c6d8", "#fff9ee", "#ffffff")
        canvas = lay(canvas, paint, smoothstep(1.15, 1.35, body))
    return canvas


def birches(rng: Random) -> np.ndarray:
    """White trunks in a yellow autumn wood."""
    frame = Frame(400, 560)
    x, y = frame.grid()
    leaves = fractal(rng, frame, (14, 18), 4, 0.8)
    canvas = ramp(leaves, "#3d3a16", "#a8791c", "#e8b838", "#fbe48c")
    canvas = blur(lay(canvas, "#7a4a1c", smoothstep(0.7, 0.95, y)), 4)
    for depth in np.linspace(0, 1, 16):
        centre = rng.uniform(0, frame.aspect) + rng.uniform(-0.05, 0.05) * (y - 0.5)
        width = 0.008 + 0.03 * depth**2
        across = (x - centre) / width
        bark = fractal(rng, frame, (20, 90), 3)
        paint = ramp(0.9 - 0.5 * abs(across - 0.3), "#4a4238", "#b5aa98", "#fbf6e8")
        paint = lay(paint, "#1f1a16", smoothstep(0.62, 0.72, bark))
        foot = smoothstep(0, 0.01, 0.72 + 0.3 * depth - y)
        canvas = lay(canvas, "#e0b050", np.full(x.shape, 0.06))
        canvas = lay(canvas, paint, smoothstep(1.05, 0.95, abs(across)) * foot)
    litter = fractal(rng, frame, (60, 120), 2)
    ground = ramp(litter, "#4a2410", "#b8681c", "#f0c050")
    canvas = lay(canvas, ground, smoothstep(0.8, 0.86, y) * smoothstep(0.3, 0.6, litter))
    return lay(canvas, "#f8cc40", smoothstep(0.66, 0.7, leaves) * smoothstep(0.5, 0.1, y))


def sunflower(rng: Random) -> np.ndarray:
    """One sunflower, close, before a blurred garden."""
    frame = Frame(480, 480)
    x, y = frame.grid()
    canvas = blur(ramp(fractal(rng, frame, (5, 5), 3), "#12301a", "#3f7a34", "#a8c878"), 12)
    u, v = x - 0.52, y - 0.48
    radius, angle = np.hypot(u, v), np.arctan2(v, u)
    for ring, count in enumerate((19, 17, 15)):
        turn = (angle / (2 * np.pi) * count + ring * 0.37) % 1 * 2 - 1
        length = 0.46 - 0.045 * ring
        along = np.clip((radius - 0.14) / (length - 0.14), 0, 1.2)
        half = 1.05 * np.sqrt(np.clip(1 - along**2.5, 0, 1)) * (0.65 + 0.35 * along)
        veins = 0.85 + 0.15 * np.cos(turn * 22)
        paint = ramp(along, "#a85208", "#eda50c", "#ffd428") * veins[..., None]
        paint = paint * (1 - 0.45 * abs(turn) ** 3)[..., None] * (0.7 + 0.15 * ring)
        canvas = lay(canvas, paint, smoothstep(0, 0.08, half - abs(turn)))
    canvas = lay(canvas, "#1a0d06", smoothstep(0.215, 0.2, radius))
    seeds = np.arange(420)
    turns, reach = seeds * np.pi * (3 - np.sqrt(5)), 0.205 * np.sqrt(seeds / 420)
    points = np.stack([0.52 + reach * np.cos(turns), 0.48 + reach * np.sin(turns)], axis=-1)
    _, first, second = voronoi(frame, points)
    bump = smoothstep(0, 0.008, second - first) * (1 - first / 0.012)
    paint = ramp(radius / 0.21, "#6f7a24", "#5a3a14", "#8a4a10", "#d88a18")
    return lay(canvas, paint, bump * smoothstep(0.213, 0.205, radius))


def leaf(rng: Random) -> np.ndarray:
    """A green leaf against the light, with drops of rain."""
    frame = Frame(600, 400)
    x, y = frame.grid()
    along, across = x * 0.9 + y * 0.35, y * 0.95 - x * 0.38 + 0.08 * np.sin(x * 2)
    side = across - 0.22
    ribs = np.abs((along - abs(side) * 0.7) * 7 % 1 - 0.5) * 2
    tissue, first, second = voronoi(frame, spread(rng, frame, 2200))
    tone = rng.random(tissue.max() + 1)[tissue] * 0.2 + 0.6 * fractal(rng, frame, (3, 3), 5)
    canvas = ramp(tone, "#1f5a12", "#4c9420", "#9ccc3c")
    canvas = lay(canvas, "#b4d860", smoothstep(0.005, 0, second - first) * 0.5)
    canvas = canvas * (0.75 + 0.35 * smoothstep(0, 0.7, ribs))[..., None]
    canvas = lay(canvas, "#d4ea90", smoothstep(0.12, 0.02, ribs))
    canvas = lay(canvas, "#e4f2b0", smoothstep(0.02, 0.008, abs(side)))
    for _ in range(26):
        at, size = (rng.uniform(0, 1.5), rng.uniform(0, 1)), 0.012 + 0.05 * rng.random() ** 2
        mask, normals = ball(frame, at, size)
        shadow, _ = ball(frame, (at[0] + size * 0.25, at[1] + size * 0.3), size)
        canvas = canvas * (1 - 0.5 * blur(shadow, 3))[..., None]
        glass = canvas * (0.75 + 0.8 * lit(normals, (0.6, 0.7, 0.4)))[..., None] + 0.05
        canvas = lay(canvas, glass, mask)
        canvas = lay(canvas, "#ffffff", lit(normals, (-0.45, -0.5, 0.7)) ** 60 * mask)
    return canvas


def pebbles(rng: Random) -> np.ndarray:
    """Wet pebbles on a beach, from above."""
    frame = Frame(480, 480)
    bend = (np.stack([fractal(rng, frame, (6, 6), 3) for _ in range(2)]) - 0.5) * 24
    owner, first, second = voronoi(frame, spread(rng, frame, 110))
    rows, columns = (frame.grid()[i] * 480 + bend[i] for i in (1, 0))
    bent = (np.clip(rows, 0, 479).astype(int), np.clip(columns, 0, 479).astype(int))
    owner, gap = owner[bent], blur((second - first)[bent], 2)
    dome = np.sqrt(smoothstep(0.004, 0.11, gap)) * 0.8
    stone = ramp(rng.random(owner.max() + 1), "#3a3f47", "#8d9196", "#b0624a", "#d8c7a8", "#5f7480")
    speck = fractal(rng, frame, (70, 70), 3)
    canvas = stone[owner] * (0.7 + 0.6 * speck)[..., None]
    stripe = np.sin((rows * 0.6 + columns) * 0.14 + owner * 9 + speck * 3)
    canvas = lay(canvas, "#e8e4da", smoothstep(0.8, 0.95, stripe) * (owner % 4 == 0) * 0.8)
    light = relief(dome, (-0.6, -0.7, 0.7), 26)
    canvas = canvas * (0.2 + 1.0 * light)[..., None] * smoothstep(0, 0.03, gap)[..., None]
    return canvas + (0.7 * relief(dome, (-0.4, -0.5, 0.9), 26) ** 40)[..., None]


def reef(rng: Random) -> np.ndarray:
    """A shoal of striped fish over corals, in shafts of light."""
    frame = Frame(600, 420)
    x, y = frame.grid()
    canvas = frame.sky("#5fd4e8", "#1f8fc4", "#0c4f8c", "#083058")
    rays = fractal(rng, frame, (16, 1), 4)[0]
    slant = np.clip(((x - 0.25 * y) / frame.aspect * 599).astype(int), 0, 599)
    canvas = canvas + (smoothstep(0.45, 0.9, rays[slant]) * (1 - y) * 0.4)[..., None]
    floor = 0.8 + 0.08 * fractal(rng, frame, (4, 1), 6)[0]
    ripples = 1 - fractal(rng, frame, (16, 26), 2, ridged=True)
    sand = ramp(ripples, "#e8f4d8", "#8ab8b0", "#4a8a98")
    canvas = lay(canvas, sand, smoothstep(0, 0.01, y - floor))
    for colour in ("#7a3a8a", "#d8506a", "#f08a3c", "#c8b040", "#e86a9a"):
        root = (rng.uniform(0.05, 1.4), rng.uniform(0.88, 1))
        tree = partial(_coral, rng=rng, at=root, angle=-np.pi / 2, length=0.13)
        mask = shape(frame, tree)
        light = 0.45 + 0.8 * relief(blur(mask, 2), (-0.5, -0.6, 0.6), 6)
        canvas = lay(canvas, rgb(colour) * light[..., None], mask)
    for _ in range(22):
        at, size = (rng.normal(0.85, 0.3), rng.normal(0.36, 0.13)), rng.uniform(0.03, 0.085)
        canvas = _fish(canvas, frame, at, size)
    return canvas


def _coral(
    pencil: Pencil, rng: Random, at: tuple[float, float], angle: float, length: float
) -> None:
    end = (at[0] + length * np.cos(angle), at[1] + length * np.sin(angle))
    pencil.line([at, end], length * 0.24)
    pencil.ellipse(end, (length * 0.12, length * 0.12))
    if length > 0.022:
        for turn in (-0.5, 0.0, 0.5):
            lean = angle + turn + rng.normal(0, 0.15)
            _coral(pencil, rng, end, lean, length * 0.72)


def _fish(canvas: np.ndarray, frame: Frame, at: tuple[float, float], size: float) -> np.ndarray:
    x, y = frame.grid()
    u, v = (x - at[0]) / size, (y - at[1]) / size
    body = smoothstep(1.05, 0.95, np.hypot(u, v / 0.62))
    tail = smoothstep(0, 0.05, (u - 0.7) * 0.8 - abs(v)) * (u < 1.5)
    paint = lay(frame.flat("#ffc81e"), "#fbfaf0", smoothstep(0.55, 0.7, abs(np.sin(u * 3.4 + 0.5))))
    paint = paint * (1.05 - 0.5 * smoothstep(-0.5, 0.8, v))[..., None]
    canvas = lay(canvas, paint, np.maximum(body, tail))
    return lay(canvas, "#10131c", smoothstep(0.13, 0.09, np.hypot(u + 0.68, v + 0.1)))


def aurora(rng: Random) -> np.ndarray:
    """Green northern lights over snow and dark firs."""
    frame = Frame(420, 560)
    x, y = frame.grid()
    canvas = frame.sky("#05081f", "#0b1a3c", "#123a4c", "#1a4a50")
    stars = rng.random(x.shape) ** 900
    canvas = canvas + blur(stars, 0.6)[..., None] * 3
    for base, colour in ((0.42, "#9a4cc8"), (0.5, "#2ee88a"), (0.62, "#5affb0")):
        wander = fractal(rng, frame, (2, 1), 3)[0] - 0.5
        folds = fractal(rng, frame, (30, 1), 3, 0.7)[0]
        above = base + 0.35 * wander - y
        curtain = np.exp(-np.clip(above, 0, 1) * 6) * smoothstep(-0.02, 0.03, above)
        canvas = canvas + (curtain * (0.15 + 0.8 * folds))[..., None] * rgb(colour)
    hill = 0.84 + 0.1 * (fractal(rng, frame, (3, 1), 5)[0] - 0.5)
    snow = ramp(fractal(rng, frame, (6, 20)), "#0e3448", "#4a9a98", "#a8e0cc")
    canvas = lay(canvas, snow, smoothstep(0, 0.006, y - hill))
    for _ in range(16):
        at = (rng.uniform(0, 0.75), rng.uniform(0.86, 1.0))
        tall = rng.uniform(0.1, 0.32)
        canvas = lay(canvas, "#03090d", shape(frame, partial(_fir, at=at, tall=tall)))
    return canvas


def _fir(pencil: Pencil, at: tuple[float, float], tall: float) -> None:
    x, foot = at
    for tier in np.linspace(0, 0.85, 8):
        top, wide = foot - tall * (1 - tier * 0.8), tall * 0.05 + tall * 0.17 * tier
        pencil.polygon([(x, top), (x - wide, top + tall * 0.22), (x + wide, top + tall * 0.22)])


def planet(rng: Random) -> np.ndarray:
    """A banded giant with rings and a moon."""
    frame = Frame(500, 500)
    x, y = frame.grid()
    canvas = frame.flat("#020308") + blur(rng.random(x.shape) ** 700, 0.6)[..., None] * 3
    mask, normals = ball(frame, (0.5, 0.52), 0.27)
    swirl = fractal(rng, frame, (5, 16), 7, 0.6)
    tilt = normals[..., 1] * 0.95 - normals[..., 0] * 0.3
    band = stretch(np.sin(tilt * 13 + swirl * 3.5) + np.sin(tilt * 31 + swirl * 5) * 0.5)
    paint = ramp(band, "#7a3e24", "#c98a58", "#f0d8b0", "#b86a3c", "#e8c898")
    disc = paint * (0.03 + 1.15 * lit(normals, (-0.75, -0.35, 0.6)))[..., None]
    u, v = (x - 0.5) * 0.95 + (y - 0.52) * 0.3, (y - 0.52) * 0.95 - (x - 0.5) * 0.3
    reach = np.hypot(u, v * 4.2)
    grooves = fractal(rng, Frame(1000, 2), (60, 1), 4, 0.8)[0]
    dust = grooves[np.clip(reach * 1600, 0, 999).astype(int)]
    ring = smoothstep(0.33, 0.35, reach) * smoothstep(0.55, 0.53, reach) * (0.15 + dust)
    rings = ramp(dust, "#6a5a48", "#d8c8a8", "#fff4e0")
    canvas = lay(lay(canvas, rings, ring * (v < 0)), disc, mask)
    canvas = lay(canvas, rings, ring * (v >= 0))
    moon, face = ball(frame, (0.8, 0.17), 0.045)
    craters = ramp(fractal(rng, frame, (50, 50), 3), "#5a6470", "#d8dce0")
    return lay(canvas, craters * lit(face, (-0.75, -0.35, 0.6))[..., None], moon)


def galaxy(rng: Random) -> np.ndarray:
    """A spiral galaxy among foreground stars."""
    frame = Frame(600, 400)
    x, y = frame.grid()
    u, v = (x - 0.74) * 0.9 + (y - 0.5) * 0.4, ((y - 0.5) * 0.9 - (x - 0.74) * 0.4) * 1.7
    radius, angle = np.hypot(u, v) + 1e-3, np.arctan2(v, u)
    gas = fractal(rng, frame, (9, 6), 7, 0.65)
    arms = np.cos(2 * (angle - 3.1 * np.log(radius)) + 4 * (gas - 0.5)) * 0.5 + 0.5
    disc = np.exp(-radius * 4.2) * (0.15 + 1.6 * arms**2) * (0.4 + gas)
    canvas = frame.flat("#04040c") + disc[..., None] * rgb("#8fb4ff")
    canvas = canvas + (np.exp(-radius * 16) * 1.3)[..., None] * rgb("#ffdfa0")
    knots = smoothstep(0.62, 0.8, fractal(rng, frame, (60, 40), 2)) * arms**3 * np.exp(-radius * 3)
    canvas = canvas + knots[..., None] * rgb("#ff5a90")
    lanes = smoothstep(0.5, 0.75, fractal(rng, frame, (12, 8), 6, 0.6)) * (1 - arms)
    canvas = canvas * (1 - 0.75 * lanes * smoothstep(0.05, 0.1, radius))[..., None]
    stars = blur(rng.random(x.shape) ** 1500, 0.7) * 6
    return canvas + stars[..., None] * ramp(fractal(rng, frame, (30, 20), 2), "#ffb080", "#c0d8ff")


def agate(rng: Random) -> np.ndarray:
    """A polished slice of blue and amber agate."""
    frame = Frame(520, 420)
    x, y = frame.grid()
    warp = fractal(rng, frame, (4, 3), 5, 0.3)
    deep = np.hypot(x - 0.68, (y - 0.52) * 1.25) + 0.5 * (warp - 0.5)
    growth = fractal(rng, Frame(1200, 2), (50, 1), 5, 0.85)[0]
    line = growth[np.clip(deep * 1200, 0, 1199).astype(int)]
    canvas = ramp(line, "#0d2a5a", "#2f6ca8", "#b8c8d8", "#d88a3a", "#6a2c14")
    glitter, first, _ = voronoi(frame, spread(rng, frame, 1500))
    quartz = ramp(rng.random(glitter.max() + 1)[glitter], "#5a6488", "#a8b2cc", "#d8dcec")
    canvas = lay(canvas, quartz * (1 - first * 20)[..., None], smoothstep(0.16, 0.13, deep))
    crust = ramp(fractal(rng, frame, (40, 40)), "#2a221c", "#7a6a58")
    canvas = lay(canvas, crust, smoothstep(0.72, 0.74, deep))
    return canvas + (0.12 * smoothstep(0.25, 0, abs(x - y - 0.1)))[..., None]


SCENES = (
    harbour,
    alps,
    canyon,
    clouds,
    birches,
    sunflower,
    leaf,
    pebbles,
    reef,
    aurora,
    planet,
    galaxy,
    agate,
)
