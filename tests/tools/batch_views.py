"""Views drawn a batch at a time: one warp, one colour matrix and some overlays, all as tensors.

Shapes: N views, S × S pixels of a view, P × P pixels of a kept picture. Pictures are kept squashed
to a square beside their aspect (width / height); geometry is drawn in the true aspect. On one core
640 views/s of 112 pixels, where Pillow makes some 100.
"""

from __future__ import annotations

import io
import math
from random import Random

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from sscd_cli.edits.overlays import glyphs, sticker

GREY = torch.tensor([0.299, 0.587, 0.114])
TO_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


def draw_stamps(count: int, size: int, seed: int) -> Tensor:
    """Return text and stickers to lay over views, float32 (count, 4, size, size).

    Three channels of colour, 0..255, and one of opacity, 0..1.
    """
    rng = Random(seed)
    stamps = []
    for _ in range(count):
        # what changes on black and on white alike is the drawing
        state = rng.getrandbits(64)
        times = rng.choice((1, 2, 3, 4, 5))
        pair = []
        for ground in (0, 255):
            again = Random(state)
            image = Image.new("RGB", (size, size), (ground,) * 3)
            for _ in range(times):
                draw = glyphs if again.random() < 0.5 else sticker
                image = draw(image, again)
            pair.append(np.asarray(image, np.float32))
        alpha = 1 - (pair[1] - pair[0]).mean(-1, keepdims=True).clip(0, 255) / 255
        colour = np.where(alpha > 0.02, pair[0] / np.maximum(alpha, 0.02), 0).clip(0, 255)
        stamps.append(np.concatenate([colour, alpha], -1))
    return torch.from_numpy(np.stack(stamps).astype(np.float32)).permute(0, 3, 1, 2).contiguous()


def chance(rng: np.random.Generator, count: int, probability: float) -> np.ndarray:
    return np.flatnonzero(rng.random(count) < probability)


def warps(aspect_N: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw maps from places of a view to places of its picture, both in [-1, 1]: (N, 3, 3)."""
    count = len(aspect_N)
    maps = np.empty((count, 3, 3))
    for n in range(count):
        a = math.sqrt(aspect_N[n])
        # half extents in true proportions: (a, 1/a)
        m = np.diag([a, 1 / a, 1.0])
        kind = rng.random()
        if kind < 0.5:  # a crop
            area, shape = rng.uniform(0.2, 1), math.exp(rng.uniform(-0.3, 0.3))
            w, h = min(1, math.sqrt(area * shape)), min(1, math.sqrt(area / shape))
            x, y = rng.uniform(w - 1, 1 - w), rng.uniform(h - 1, 1 - h)
            m = m @ np.array([[w, 0, x], [0, h, y], [0, 0, 1]])
        elif kind < 0.72:  # bands at the sides: a frame, or above and below as on a telephone
            left, right, top, bottom = rng.uniform(0, 0.5, 4) * (rng.random(4) < 0.6)
            if rng.random() < 0.35:
                left, right, top, bottom = 0, 0, *rng.uniform(0.3, 1.0, 2)
                if rng.random() < 0.3:
                    left, right, top, bottom = top * 0.15, bottom * 0.8, 0.25, 0.1
            wide, high = 1 + left + right, 1 + top + bottom
            m = m @ np.array([[wide, 0, right - left], [0, high, bottom - top], [0, 0, 1]])
        if rng.random() < 0.25:
            angle = rng.uniform(-0.5, 0.5) if rng.random() < 0.9 else rng.uniform(-math.pi, math.pi)
            c, s = math.cos(angle), math.sin(angle)
            grow = 1 if rng.random() < 0.4 else abs(c) + abs(s) * max(a * a, 1 / a / a)
            grow = min(grow, 1.6)
            m = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ m @ np.diag([grow, grow, 1])
        m = np.diag([1 / a, a, 1.0]) @ m
        if rng.random() < 0.15:
            m = m @ np.array([[1, 0, 0], [0, 1, 0], [*rng.uniform(-0.3, 0.3, 2), 1]])
        if rng.random() < 0.5:
            m = m @ np.diag([-1.0, 1, 1])
        if rng.random() < 0.35:
            c, s = ((0, 1), (-1, 0), (0, -1))[rng.integers(3)]
            m = m @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
        maps[n] = m
    return maps


def colour_maps(count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Draw linear maps of colours, (N, 3, 3), and what contrast is kept of the mean, (N,)."""
    eye, grey = torch.eye(3), GREY.expand(3, 3)
    maps, contrast = [], torch.ones(count)
    to_rgb = torch.linalg.inv(TO_YIQ)
    for n in range(count):
        m = eye
        if rng.random() < 0.6:
            m = m * rng.uniform(0.4, 1.6)
            contrast[n] = rng.uniform(0.4, 1.7)
            s = rng.uniform(0.2, 2.0)
            m = m @ (s * eye + (1 - s) * grey)
            h = rng.uniform(-1, 1) * (0.6 if rng.random() < 0.7 else math.pi)
            c, d = math.cos(h), math.sin(h)
            m = (
                to_rgb
                @ torch.tensor([[1, 0, 0], [0, c, -d], [0, d, c]], dtype=torch.float32)
                @ TO_YIQ
                @ m
            )
        if rng.random() < 0.15:
            m = torch.diag(torch.from_numpy(rng.uniform(0.7, 1.3, 3)).float()) @ m
        if rng.random() < 0.18:
            tint = torch.ones(3) if rng.random() < 0.6 else torch.tensor([1.1, 0.95, 0.75])
            m = (tint[:, None] * grey) @ m
        maps.append(m)
    return torch.stack(maps), contrast


class ViewMaker:
    """Draws views of kept pictures; the same generator draws the same views."""

    def __init__(self, size: int, stamps: int = 500, seed: int = 0) -> None:
        self.size = size
        self.stamps = draw_stamps(stamps, size, seed)
        y, x = torch.meshgrid(
            torch.linspace(-1 + 1 / size, 1 - 1 / size, size),
            torch.linspace(-1 + 1 / size, 1 - 1 / size, size),
            indexing="ij",
        )
        self.places = torch.stack([x, y, torch.ones_like(x)], -1).view(-1, 3)

    def __call__(
        self, pictures_NPP3: np.ndarray, aspect_N: np.ndarray, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return uint8 views (N, 3, S, S), and which other view shines behind each, or -1."""
        count = len(aspect_N)
        x, outside = self._warped(pictures_NPP3, aspect_N, rng)
        behind = torch.full((count,), -1)
        plain = torch.from_numpy(
            np.where(
                rng.random((count, 1)) < 0.5,
                rng.choice([0.0, 255.0], (count, 1)),
                rng.uniform(0, 255, (count, 3)),
            )
        ).float()
        backdrop = plain[:, :, None, None].expand_as(x)
        x = torch.where(outside, backdrop, x)
        x = self._onto(x, behind, rng)
        x = self._stamped(x, rng)
        maps, contrast = colour_maps(count, rng)
        x = torch.einsum("nij,njhw->nihw", maps, x)
        mean = (x * GREY.view(3, 1, 1)).sum(1, keepdim=True).mean((2, 3), keepdim=True)
        x = mean + (x - mean) * contrast[:, None, None, None]
        x = x.clamp_(0, 255)
        self._bars(x, rng)
        self._blurred(x, rng)
        for n in chance(rng, count, 0.05):
            side = int(rng.uniform(0.1, 0.3) * self.size)
            x[n] = F.interpolate(
                F.interpolate(x[n : n + 1], (side, side), mode="area"), x.shape[2:], mode="nearest"
            )[0]
        for n in chance(rng, count, 0.12):
            noise = torch.from_numpy(
                rng.standard_normal(
                    (3 if rng.random() < 0.6 else 1, self.size, self.size), np.float32
                )
            )
            x[n] += noise * rng.uniform(8, 60)
        views = x.round_().clamp_(0, 255).byte()
        for n in chance(rng, count, 0.25):
            views[n] = self._encoded(views[n], int(rng.integers(5, 70)))
        return views, behind

    def _warped(
        self, pictures: np.ndarray, aspect: np.ndarray, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        count, s = len(aspect), self.size
        maps = warps(aspect, rng)
        there = self.places @ torch.from_numpy(maps).float().transpose(1, 2)
        grid = (there[..., :2] / there[..., 2:].clamp(min=0.2)).view(count, s, s, 2)
        outside = (grid.abs().amax(-1) > 1)[:, None]
        whole = torch.from_numpy(pictures).permute(0, 3, 1, 2).float()
        step = (
            (grid[:, s // 2, s // 2 + 1] - grid[:, s // 2, s // 2]).norm(dim=1)
            * pictures.shape[1]
            / 2
        )
        x = torch.empty(count, 3, s, s)
        for small in (False, True):
            rows = torch.nonzero((step > 1.55) == small)[:, 0]
            if len(rows):
                source = whole[rows]
                source = F.avg_pool2d(source, 2) if small else source
                x[rows] = F.grid_sample(
                    source, grid[rows], padding_mode="border", align_corners=False
                )
        return x, outside

    def _onto(self, x: Tensor, behind: Tensor, rng: np.random.Generator) -> Tensor:
        count, s = len(x), self.size
        result = x.clone()
        for n in chance(rng, count, 0.24):
            other = int((n + 1 + rng.integers(count // 2 - 1)) % count)
            side = rng.uniform(0.33, 0.8)
            shape = math.exp(rng.uniform(-0.25, 0.25))
            w, h = (max(8, min(s, int(s * side * k))) for k in (shape, 1 / shape))
            top, left = rng.integers(s - h + 1), rng.integers(s - w + 1)
            result[n] = x[other]
            result[n, :, top : top + h, left : left + w] = F.interpolate(
                x[n : n + 1], (h, w), mode="bilinear", antialias=True
            )[0]
            behind[n] = other
        for n in chance(rng, count, 0.04):
            other = int((n + 1 + rng.integers(count // 2 - 1)) % count)
            if behind[n] < 0:
                share = rng.uniform(0.15, 0.4)
                result[n] = (1 - share) * result[n] + share * x[other]
                behind[n] = other
        return result

    def _stamped(self, x: Tensor, rng: np.random.Generator) -> Tensor:
        rows = chance(rng, len(x), 0.45)
        stamps = self.stamps[rng.integers(len(self.stamps), size=len(rows))]
        stamps = stamps.roll((int(rng.integers(self.size)), int(rng.integers(self.size))), (2, 3))
        alpha = stamps[:, 3:]
        x[rows] = x[rows] * (1 - alpha) + stamps[:, :3] * alpha
        return x

    def _bars(self, x: Tensor, rng: np.random.Generator) -> None:
        s = self.size
        for n in chance(rng, len(x), 0.05):  # stripes over all of it
            bars, thick, colour = (
                int(rng.integers(4, 13)),
                rng.uniform(0.2, 0.45),
                float(rng.choice([0.0, 255.0])),
            )
            inside = torch.frac(torch.arange(s) * bars / s + rng.random()) < thick
            view = x[n] if rng.random() < 0.6 else x[n].transpose(1, 2)
            view[:, inside] = colour
        for n in chance(rng, len(x), 0.10):  # a few blocks
            for _ in range(int(rng.integers(1, 4))):
                h, w = (rng.uniform(0.05, 0.4, 2) * s).astype(int) + 1
                top, left = rng.integers(s - h), rng.integers(s - w)
                x[n, :, top : top + h, left : left + w] = torch.from_numpy(
                    rng.uniform(0, 255, (3, 1, 1))
                ).float()

    def _blurred(self, x: Tensor, rng: np.random.Generator) -> None:
        rows = chance(rng, len(x), 0.28)
        for part in np.array_split(rows, 3):
            if len(part):
                sigma = math.exp(rng.uniform(math.log(0.4), math.log(4.0))) * self.size / 160
                reach = math.ceil(2.5 * sigma)
                kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
                kernel = (kernel / kernel.sum()).expand(3, 1, -1)
                y = F.pad(x[part], (reach,) * 4, mode="replicate")
                y = F.conv2d(F.conv2d(y, kernel[:, :, None], groups=3), kernel[..., None], groups=3)
                x[part] = y

    def _encoded(self, view: Tensor, quality: int) -> Tensor:
        stream = io.BytesIO()
        Image.fromarray(view.permute(1, 2, 0).contiguous().numpy()).save(
            stream, "JPEG", quality=quality
        )
        return torch.from_numpy(np.array(Image.open(stream))).permute(2, 0, 1)
