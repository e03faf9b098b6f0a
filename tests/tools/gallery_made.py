"""Scenes of the gallery that people made, with depth: each returns a canvas."""

from __future__ import annotations

from functools import partial

import numpy as np
from gallery_paint import (
    Frame,
    Pencil,
    ball,
    blur,
    fractal,
    lay,
    lit,
    mirror,
    ramp,
    relief,
    rgb,
    shape,
    smoothstep,
    stretch,
)

Random = np.random.Generator

HOURS = ("XII", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI")


def marbles(rng: Random) -> np.ndarray:
    """Polished balls that mirror one another on a chequered floor."""
    frame = Frame(600, 420)
    x, y = frame.grid()
    rays = np.stack([(x - frame.aspect / 2) * 1.1, 0.3 - y * 1.1, np.ones_like(x)], axis=-1)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    balls = [(-1.7, 1.0, 5.2, 1.0), (0.35, 0.75, 4.2, 0.75), (1.9, 1.15, 6.0, 1.15)]
    balls += [(x, 0.3, z, 0.3) for x, z in rng.uniform((-2, 2.6), (2, 3.8), (7, 2))]
    paints = ["#b01c2e", "#e8b020", "#1c6a9c", "#2c8c4a", "#e0e0e4", "#7a3a9c", "#e06a20"]
    eye = np.broadcast_to(np.array([0.0, 1.6, 0.0]), rays.shape)
    return _trace(eye, rays, np.array(balls), np.array([rgb(p) for p in paints]), bounces=3)


def _trace(
    start: np.ndarray, rays: np.ndarray, balls_N4: np.ndarray, paints: np.ndarray, bounces: int
) -> np.ndarray:
    """Return the light (H, W, 3) that arrives along unit rays from balls on the floor y = 0."""
    sun = np.array([-0.5, 0.75, -0.45]) / np.linalg.norm([-0.5, 0.75, -0.45])
    distance, number = _nearest(start, rays, balls_N4)
    floor = np.where(rays[..., 1] < 0, -start[..., 1] / np.minimum(rays[..., 1], -1e-6), np.inf)
    on_floor = floor < distance
    reach = np.minimum(distance, floor)
    point = start + rays * np.where(np.isfinite(reach), reach, 0)[..., None]
    normal = (point - balls_N4[number, :3]) / balls_N4[number, 3:]
    normal = np.where(on_floor[..., None], [0.0, 1.0, 0.0], normal)
    squares = (np.floor(point[..., 0]) + np.floor(point[..., 2])) % 2
    fade = np.exp(-0.06 * np.where(on_floor, reach, 0))[..., None]
    tiles = ramp(squares, "#4a2c20", "#e8dcc4") * fade + rgb("#a8b4c0") * (1 - fade)
    colour = np.where(on_floor[..., None], tiles, paints[number % len(paints)])
    away = point + normal * 1e-3
    shade = 1 - 0.75 * np.isfinite(_nearest(away, np.broadcast_to(sun, rays.shape), balls_N4)[0])
    light = colour * (0.25 + 0.85 * np.clip(normal @ sun, 0, 1) * shade)[..., None]
    facing = np.clip(-np.sum(rays * normal, axis=-1), 0, 1)[..., None]
    bounce = rays + 2 * facing * normal
    if bounces > 1:
        gloss = np.where(on_floor[..., None], 0.12, 0.14 + 0.8 * (1 - facing) ** 4)
        light = light * (1 - gloss) + gloss * _trace(away, bounce, balls_N4, paints, bounces - 1)
    light = light + (np.clip(bounce @ sun, 0, 1) ** 120 * shade * ~on_floor)[..., None]
    sky = ramp(np.clip(rays[..., 1] * 2.5, 0, 1), "#cfd6dc", "#7f9cc0", "#3f5f94")
    return np.where(np.isfinite(reach)[..., None], light, sky)


def _nearest(
    start: np.ndarray, rays: np.ndarray, balls_N4: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return how far along each unit ray the first ball is (inf: none), and its number."""
    distance, number = np.full(rays.shape[:2], np.inf), np.zeros(rays.shape[:2], dtype=int)
    for index, (*centre, radius) in enumerate(balls_N4):
        gap = start - np.array(centre)
        half = np.sum(gap * rays, axis=-1)
        inside = half**2 - np.sum(gap * gap, axis=-1) + radius**2
        near = -half - np.sqrt(np.clip(inside, 0, None))
        closer = (inside > 0) & (near > 1e-4) & (near < distance)
        distance[closer], number[closer] = near[closer], index
    return distance, number


def skyline(rng: Random) -> np.ndarray:
    """Lit towers at night across a river."""
    frame = Frame(640, 360)
    x, y = frame.grid()
    canvas = frame.sky("#060a1e", "#141a44", "#43305c", "#8a4a5a", "#8a4a5a")
    for depth in (0.0, 0.5, 1.0):
        for left in np.arange(0.03, 1.8, 0.1 - 0.02 * depth):
            at, wide = left + rng.uniform(-0.03, 0.03), rng.uniform(0.05, 0.1)
            top = 0.62 - min(rng.gamma(3, 0.055), 0.36) - 0.12 * (1 - depth)
            canvas = _tower(canvas, rng, frame, (at, top, wide), depth)
    lamps = np.exp(-((x * 24 % 1 - 0.5) ** 2) * 40 - ((y - 0.665) * 90) ** 2)
    canvas = canvas + lamps[..., None] * rgb("#ffb050") * 1.5
    return mirror(canvas, 0.68, rng, 0.2) * 1.05


def _tower(
    canvas: np.ndarray, rng: Random, frame: Frame, box: tuple[float, float, float], depth: float
) -> np.ndarray:
    x, y = frame.grid()
    at, top, wide = box
    wall = ramp(np.full(x.shape, depth), "#2c2a4e", "#10121f") * rng.uniform(0.7, 1.3)
    column, row = (x - at) * 110, (y - top) * 75
    lights = rng.random((200, 200)) < rng.uniform(0.2, 0.6)
    on = lights[np.clip(row, 0, 199).astype(int), np.clip(column, 0, 199).astype(int)]
    pane = on * (column % 1 > 0.3) * (row % 1 > 0.4)
    glow = ramp(rng.random(), "#ffd080", "#ffeec0", "#a8d8ff") * (0.4 + 0.5 * depth)
    inside = (x > at) & (x < at + wide) & (y > top)
    return lay(lay(canvas, wall, inside), glow, inside * pane)


def vase(rng: Random) -> np.ndarray:
    """A painted blue-and-white vase on a cloth."""
    frame = Frame(420, 560)
    x, y = frame.grid()
    wall = ramp(
        0.7 * fractal(rng, frame, (2, 2)) + 0.4 * (0.75 - x), "#4a2020", "#8c4a34", "#c48a58"
    )
    folds = fractal(rng, frame, (7, 2), 3)
    cloth = ramp(relief(blur(folds, 6), (-0.5, -0.6, 0.5), 40), "#1a2a24", "#3c6a58", "#8cb8a0")
    edge = smoothstep(0.765, 0.775, y + 0.02 * np.sin(x * 9))
    canvas = lay(wall, cloth, edge)
    shadow = np.exp(-(((x - 0.5) / 0.26) ** 2) - ((y - 0.9) / 0.045) ** 2)
    canvas = canvas * (1 - 0.8 * shadow)[..., None]
    levels = [0.08, 0.1, 0.14, 0.22, 0.3, 0.45, 0.6, 0.75, 0.86, 0.905]
    radii = [0.12, 0.115, 0.075, 0.06, 0.1, 0.205, 0.235, 0.19, 0.12, 0.125]
    radius = blur(np.tile(np.interp(y[:, :1], levels, radii), (1, 3)), 9)[:, :1]
    across = (x - 0.37) / radius
    turn = np.arcsin(np.clip(across, -1, 1))
    bend = y + 0.025 * np.cos(turn)
    glaze = _glaze(turn, bend)
    slope = np.gradient(radius[:, 0])[:, None] * np.ones_like(x) * 560 * 0.6
    normals = np.stack([np.sin(turn), -slope, np.cos(turn)], axis=-1)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    paint = glaze * (0.18 + 0.9 * lit(normals, (-0.7, -0.35, 0.6)))[..., None]
    paint = paint + (lit(normals, (-0.5, -0.25, 0.8)) ** 50 * 0.9)[..., None]
    body = smoothstep(1.01, 0.99, abs(across)) * (bend > 0.1) * (bend < 0.925)
    return lay(canvas, paint, body)


def _glaze(turn: np.ndarray, bend: np.ndarray) -> np.ndarray:
    """Return porcelain (H, W, 3) with rosettes and bands, by angle and height."""
    u, v = turn * 3.2 % 1 * 2 - 1, (bend - 0.46) * 8 % 1 * 2 - 1
    petal = np.hypot(u, v) - 0.55 - 0.25 * np.cos(np.arctan2(v, u) * 6)
    ink = smoothstep(0.08, 0, abs(petal)) + smoothstep(0.2, 0.15, np.hypot(u, v))
    ink *= (bend > 0.46) & (bend < 0.71)
    waves = abs(bend - 0.4 - 0.012 * np.sin(turn * 24))
    ink = ink + smoothstep(0.007, 0.004, waves) + smoothstep(0.007, 0.005, abs(bend - 0.45))
    ink = ink + smoothstep(0.012, 0.01, abs(bend - 0.73)) + (bend > 0.86) + (bend < 0.125)
    leaves = abs(bend - 0.25) * 12 - np.cos(turn * 8) ** 2
    return lay(ramp(bend, "#f4f6f8", "#e8eef4"), "#1a3a9c", ink + smoothstep(0.05, -0.05, leaves))


def balloons(rng: Random) -> np.ndarray:
    """Hot-air balloons over green hills in the morning."""
    frame = Frame(480, 600)
    x, y = frame.grid()
    canvas = frame.sky("#6fa8dc", "#b8d4ea", "#fbe4c0", "#f8d0a0")
    for depth in np.linspace(0, 1, 6):
        crest = 0.72 + 0.22 * depth + 0.12 * (fractal(rng, frame, (3, 1), 5, 0.4)[0] - 0.5)
        trees = ramp(fractal(rng, frame, (50, 40), 3), "#1c3a1a", "#5a8a34", "#a8b858")
        hill = lay(trees, "#c8d4d8", np.full(x.shape, 0.85 * (1 - depth)))
        canvas = lay(canvas, hill, smoothstep(0, 0.004, y - crest))
    suits = ["#c81e2c #ffd23c", "#1e50b4 #ffffff #e8462c", "#7a1e8c #ff9a2c", "#0f8c7a #f4f0d8"]
    for at, size, suit in (
        ((0.63, 0.14), 0.05, suits[3]),
        ((0.18, 0.5), 0.07, suits[2]),
        ((0.57, 0.47), 0.11, suits[1]),
        ((0.27, 0.22), 0.17, suits[0]),
    ):
        canvas = _balloon(canvas, frame, at, size, suit.split())
    return canvas


def _balloon(
    canvas: np.ndarray, frame: Frame, at: tuple[float, float], size: float, suit: list[str]
) -> np.ndarray:
    x, y = frame.grid()
    u, v = (x - at[0]) / size, (y - at[1]) / size
    wide = np.sqrt(np.clip(1 - np.where(v > 0, v / 1.45, v) ** 2, 0, 1))
    wide = np.where(v > 0, wide**1.6, wide) + 1e-6
    turn = np.arcsin(np.clip(u / wide, -1, 1)) / np.pi + 0.5
    gores = np.array([rgb(colour) for colour in suit])[(turn * 12).astype(int) % len(suit)]
    zig = abs(v - 0.1 - 0.12 * abs(turn * 12 % 1 - 0.5)) < 0.12
    gores = lay(gores, suit[-1], zig)
    shade = np.clip(1.02 - 0.6 * smoothstep(-0.3, 1, u / wide) - 0.2 * v, 0, 1.2)
    seams = 0.82 + 0.18 * smoothstep(0, 0.25, abs((turn * 12 + 0.5) % 1 - 0.5))
    envelope = smoothstep(1.03, 0.99, abs(u) / wide) * (abs(v - 0.2) < 1.2)
    canvas = lay(canvas, gores * (shade * seams)[..., None], envelope)
    ropes = shape(frame, partial(_basket, at=at, size=size))
    return lay(canvas, "#5a3818", ropes)


def _basket(pencil: Pencil, at: tuple[float, float], size: float) -> None:
    x, y = at[0], at[1] + 1.38 * size
    for side in (-1, -0.3, 0.3, 1):
        pencil.line([(x + side * 0.2 * size, y), (x + side * 0.13 * size, y + 0.4 * size)], 0.002)
    pencil.box((x - 0.15 * size, y + 0.38 * size), (0.3 * size, 0.22 * size))


def brick_wall(rng: Random) -> np.ndarray:
    """A brick house front with a shuttered window and geraniums."""
    frame = Frame(520, 400)
    x, y = frame.grid()
    row = (y * 20).astype(int)
    across = x * 8 + 0.5 * (row % 2)
    tone = rng.random((21, 13))[row, across.astype(int)]
    rough = fractal(rng, frame, (90, 70), 4, 0.8)
    canvas = ramp(0.7 * tone + 0.3 * rough, "#5f2418", "#9c4428", "#b86a44", "#cf9470")
    joint = np.minimum(0.5 - abs(across % 1 - 0.5), (0.5 - abs(y * 20 % 1 - 0.5)) * 0.4)
    canvas = lay(canvas, ramp(rough, "#8c857c", "#cfc8bc"), smoothstep(0.06, 0.035, joint))
    edges = relief(blur(smoothstep(0.03, 0.07, joint), 1), (-0.6, -0.6, 0.6), 2)
    canvas = canvas * (0.7 + 0.4 * edges)[..., None]
    canvas = lay(canvas, "#ece6d8", shape(frame, partial(_boards, boxes=[(0.4, 0.16, 0.5, 0.56)])))
    glass = ramp(fractal(rng, frame, (2, 3), 4), "#141c26", "#3c5468", "#b8d0dc")
    canvas = lay(canvas, glass, shape(frame, _panes))
    slats = ramp(y * 32 % 1, "#0f3a34", "#2f7c6c", "#3f9484")
    shutters = [(0.19, 0.17, 0.2, 0.54), (0.91, 0.17, 0.2, 0.54)]
    canvas = lay(canvas, slats, shape(frame, partial(_boards, boxes=shutters)))
    canvas = lay(
        canvas, "#6a4424", shape(frame, partial(_boards, boxes=[(0.38, 0.72, 0.54, 0.12)]))
    )
    return _geraniums(canvas, rng, frame)


def _geraniums(canvas: np.ndarray, rng: Random, frame: Frame) -> np.ndarray:
    x, y = frame.grid()
    bed = np.exp(-(((x - 0.65) / 0.28) ** 4) - ((y - 0.7) / 0.075) ** 2)
    foliage = fractal(rng, frame, (40, 30), 3)
    green = ramp(foliage, "#123a14", "#5a9c3c")
    canvas = lay(canvas, green, smoothstep(0.5, 0.55, bed * 0.6 + foliage * 0.5))
    bloom = fractal(rng, frame, (46, 36), 2)
    petals = ramp(bloom, "#8c0f2c", "#ff4a6a", "#ff9ab0")
    return lay(canvas, petals, smoothstep(0.98, 1.05, bed * 0.5 + bloom))


def _boards(pencil: Pencil, boxes: list[tuple[float, float, float, float]]) -> None:
    for x, y, width, height in boxes:
        pencil.box((x, y), (width, height))


def _panes(pencil: Pencil) -> None:
    for column in range(2):
        for row in range(3):
            pencil.box((0.44 + 0.22 * column, 0.19 + 0.175 * row), (0.2, 0.155))


def rain(rng: Random) -> np.ndarray:
    """Street lights out of focus behind a wet window."""
    frame = Frame(600, 420)
    x, y = frame.grid()
    canvas = ramp(fractal(rng, frame, (3, 3), 3), "#070b16", "#1c2c44", "#3a3a50")
    colours = ("#ff5a3c", "#ffb040", "#ffe0a0", "#50c8a0", "#6aa0ff", "#ff80b0")
    for _ in range(60):
        at, size = (rng.uniform(0, 1.43), rng.normal(0.45, 0.2)), rng.uniform(0.025, 0.075)
        disc = smoothstep(1.05, 0.95, np.hypot(x - at[0], y - at[1]) / size)
        rim = 0.35 + 0.3 * smoothstep(0.7, 1, np.hypot(x - at[0], y - at[1]) / size)
        canvas = canvas + (disc * rim)[..., None] * rgb(rng.choice(colours)) * rng.uniform(0.4, 1.1)
    turned = blur(canvas[::-1, ::-1], 1.5) + 0.12
    for _ in range(90):
        at, size = (rng.uniform(0, 1.43), rng.uniform(0, 1)), 0.007 + 0.04 * rng.random() ** 3
        mask, normals = ball(frame, at, size)
        bent = turned * (0.3 + 1.6 * lit(normals, (0.2, 0.8, 0.5)))[..., None]
        canvas = lay(canvas, bent + (lit(normals, (-0.3, -0.6, 0.7)) ** 40)[..., None], mask)
    return canvas


def clock(rng: Random) -> np.ndarray:
    """A brass wall clock on green wallpaper."""
    frame = Frame(480, 480)
    x, y = frame.grid()
    damask = np.cos(x * 40) * np.cos(y * 40 + 2 * np.cos(x * 20)) + 0.5 * np.cos(y * 80)
    wall = ramp(stretch(damask) ** 2, "#1f3f34", "#2c5848", "#7c9c74")
    shadow = blur(smoothstep(0.43, 0.4, np.hypot(x - 0.55, y - 0.57)), 9)
    canvas = wall * (1 - 0.7 * shadow)[..., None] * (1.25 - 0.5 * x)[..., None]
    u, v = x - 0.49, y - 0.49
    radius, angle = np.hypot(u, v), np.arctan2(v, u)
    gleam = 0.5 + 0.3 * np.cos(2 * angle + 0.8) + 0.25 * np.cos(5 * angle)
    brass = ramp(gleam, "#4a2c08", "#b07c20", "#ffe08c", "#fff8d8")
    brass = brass * (0.55 + 0.5 * np.sin((radius - 0.34) / 0.07 * np.pi))[..., None]
    canvas = lay(canvas, brass, smoothstep(0.41, 0.407, radius))
    paper = ramp(fractal(rng, frame, (5, 5), 6), "#d8c8a0", "#f4ecd4")
    inner = 0.55 + 0.45 * smoothstep(0.345, 0.3, radius + 0.04 * (u + v))
    canvas = lay(canvas, paper * inner[..., None], smoothstep(0.345, 0.342, radius))
    canvas = lay(canvas, "#14110f", shape(frame, _dial))
    glare = smoothstep(0.3, 0.1, abs(u + v + 0.25)) * smoothstep(0.33, 0.3, radius)
    return canvas + (0.16 * glare)[..., None]


def _dial(pencil: Pencil) -> None:
    for hour, name in enumerate(HOURS):
        angle = np.pi * (hour / 6 - 0.5)
        pencil.text((0.49 + 0.26 * np.cos(angle), 0.49 + 0.26 * np.sin(angle)), name, 0.05, "mm")
    for minute in range(60):
        way = np.array([np.cos(minute * np.pi / 30), np.sin(minute * np.pi / 30)])
        pencil.line([0.49 + 0.315 * way, 0.49 + 0.33 * way], 0.007 if minute % 5 == 0 else 0.003)
    for turn, reach, width in ((0.84, 0.18, 0.02), (0.22, 0.28, 0.012)):
        way = np.array([np.sin(turn * 2 * np.pi), -np.cos(turn * 2 * np.pi)])
        pencil.line([0.49 - 0.05 * way, 0.49 + reach * way], width)
    pencil.ellipse((0.49, 0.49), (0.018, 0.018))


SCENES = (marbles, skyline, vase, balloons, brick_wall, rain, clock)
