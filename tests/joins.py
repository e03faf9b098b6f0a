"""Rows for joins, and what every pair of them is, one at a time."""

from __future__ import annotations

import numpy as np

from sscd_cli.matching.join import Pairs


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def descriptors(count, dimensions=64, seed=0, dtype=np.float32):
    """Random unit rows, half of them noisy copies of earlier ones at cosines 0.5 to 1."""
    generator = np.random.default_rng(seed)
    rows = unit(generator.standard_normal((count, dimensions)))
    for copy in range(count // 2, count):
        original = rows[generator.integers(copy)]
        cosine = generator.uniform(0.5, 1.0)
        noise = unit(generator.standard_normal((1, dimensions)))[0]
        rows[copy] = cosine * original + np.sqrt(1 - cosine**2) * noise
    return unit(rows).astype(dtype)


def brute_force(rows, threshold):
    """Every pair, one similarity at a time: {(left, right): float32 dot product}."""
    found = {}
    for left in range(len(rows)):
        for right in range(left + 1, len(rows)):
            a, b = rows[left].astype(np.float32), rows[right].astype(np.float32)
            one = 1.0 if np.array_equal(a, b) else np.einsum("d,d->", a, b)
            score = np.clip(np.float32(one), np.float32(-1), np.float32(1))
            if score >= np.float32(threshold):
                found[left, right] = score
    return found


def as_dict(pairs):
    keys = zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)
    return dict(zip(keys, pairs.similarity, strict=True))


def assert_same(one: Pairs, other: Pairs):
    assert one.left.tobytes() == other.left.tobytes()
    assert one.right.tobytes() == other.right.tobytes()
    assert one.similarity.tobytes() == other.similarity.tobytes()


def crowd(count=400, strangers=60, seed=0):
    """Noisy copies of one row at cosines of 0.6 to 1, in chains and knots, among strangers."""
    generator = np.random.default_rng(seed)
    rows = generator.standard_normal((count + strangers, 32))
    cosine = generator.uniform(0.6, 1, (count, 1))
    noise = rows[1 : count + 1] - rows[1 : count + 1, :1] * np.eye(32)[0]
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    rows[:count] = cosine * np.eye(32)[0] + np.sqrt(1 - cosine**2) * noise
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows[generator.permutation(len(rows))].astype(np.float16)
