"""Trees, bushes and woods: silhouettes first, then lighter clusters towards the light."""

from __future__ import annotations

import numpy as np

from inpaintzoo.data.scenes.canvas import line
from inpaintzoo.data.scenes.stage import Stage, rgb

_LEAVES = {
    "summer": ("4c7a34", "5b8a3a", "3f6e3c", "6d9140", "557f46"),
    "autumn": ("c8752e", "b8502c", "d09a35", "a8862f", "8c3f30"),
    "winter": ("6f6a66",),
}
_NEEDLES = ("2f5540", "36604a", "2a4c3c", "40644a")
_BARK = ("5a4634", "4d4038", "6a5844")


def deciduous(stage: Stage, x: float, base: float, height: float, distance: float = 0.0) -> None:
    """A broad-leaved tree; bare and snowy in winter.

    Args:
        stage: where.
        x: world position of the trunk.
        base: world height of the foot.
        height: in world units.
        distance: metres, for the haze.
    """
    canvas, light, rng = stage.canvas, stage.light, stage.rng
    leaves, bark = stage.pick(_LEAVES[light.season]), light.on(stage.pick(_BARK), 0.45, distance)
    lean, slim = stage.between(-0.04, 0.04) * height, stage.between(0.85, 1.2)
    stage.shadow([_oval(x - light.side * 0.35 * height, base, 0.42 * height, 0.055 * height)], blur=0.012 * height + 0.002)
    top = np.array([x + lean, base - 0.55 * height])
    trunk = np.array([[x, base], [x + 0.3 * lean, base - 0.25 * height], top])
    canvas.paint(canvas.cover([line(trunk, np.array([0.075, 0.05, 0.03]) * height)]), bark, "deciduous")
    if light.season == "winter":
        _bare_crown(stage, trunk, height, bark)
        return
    centre = np.array([x + lean, base - 0.66 * height])
    angles, reach = rng.uniform(0, 2 * np.pi, 7), rng.uniform(0.3, 1.0, 7)
    blobs = centre + np.column_stack([np.cos(angles) * 0.25 / slim, np.sin(angles) * 0.21 * slim]) * reach[:, None] * height
    foliage(stage, blobs, 0.145 * height, leaves, distance, "deciduous")


def _bare_crown(stage: Stage, trunk: np.ndarray, height: float, bark: np.ndarray) -> None:
    rng, canvas = stage.rng, stage.canvas
    branches = []
    for number in range(9):
        start = trunk[1] + (trunk[2] - trunk[1]) * (number / 8)
        side = 1.0 if number % 2 else -1.0
        reach = height * (0.42 - 0.03 * number)
        end = start + reach * np.array([side * rng.uniform(0.45, 0.8), -rng.uniform(0.6, 1.0)])
        branches.append(line(np.stack([start, (start + end) / 2 + (0, 0.03 * height), end]), np.array([0.028, 0.017, 0.008]) * height))
        for part in (0.45, 0.7):
            fork = start + (end - start) * part
            tip = fork + reach * 0.42 * np.array([side * rng.uniform(-0.5, 1.0), -rng.uniform(0.4, 1.0)])
            branches.append(line(np.stack([fork, tip]), np.array([0.013, 0.005]) * height))
    canvas.paint(canvas.cover(branches), bark, "deciduous")


def foliage(
    stage: Stage, blobs: np.ndarray, radius: float, colour: np.ndarray, distance: float, part: str, clusters: int = 90
) -> None:
    """Leaf masses: dark clusters over all blobs, then ever lighter ones on the side of the light.

    Args:
        stage: where.
        blobs: `(n, 2)` world centres of the masses.
        radius: of a mass, world units.
        colour: of the leaves.
        distance: metres, for the haze.
        part: name of the part.
        clusters: leaf clusters in all.
    """
    canvas, light, rng = stage.canvas, stage.light, stage.rng
    owner = rng.integers(len(blobs), size=clusters)
    angle, reach = rng.uniform(0, 2 * np.pi, clusters), np.sqrt(rng.random(clusters))
    offsets = np.column_stack([np.cos(angle), np.sin(angle)]) * reach[:, None]
    places = blobs[owner] + offsets * radius * 1.12
    size = radius * rng.uniform(0.20, 0.36, clusters)
    towards = np.array([light.side * 0.6, -0.8])
    spread = (places - blobs.mean(axis=0)) / (np.abs(blobs - blobs.mean(axis=0)).max() + radius)
    height = 0.55 * offsets @ towards + 0.6 * spread @ towards + rng.normal(0, 0.13, clusters)
    masses = np.column_stack([blobs, *([np.full(len(blobs), radius)] * 2)])
    clumps = np.column_stack([places, size * 1.15, size])
    tones = ((-9.0, 0.62, 0.2, 1.0), (-0.25, 0.82, 0.45, 0.95), (0.12, 1.02, 0.8, 0.8), (0.42, 1.25, 1.0, 0.6))
    for low, gain, facing, scale in tones:
        shapes = clumps[height > low] * (1.0, 1.0, scale, scale)
        shapes = np.concatenate([masses, shapes]) if low < -1 else shapes
        patch = canvas.cover(ellipses=shapes)
        tone = light.on(np.clip(colour * gain, 0, 1), facing, distance)
        canvas.paint(patch, tone, part)


def bush(stage: Stage, x: float, base: float, height: float, distance: float = 0.0) -> None:
    """A round bush; under snow in winter."""
    light = stage.light
    colour = stage.pick(_LEAVES[light.season] if light.season != "winter" else ("dfe6ee",))
    blobs = np.column_stack([x + stage.rng.uniform(-0.7, 0.7, 4) * height, base - stage.rng.uniform(0.35, 0.6, 4) * height])
    stage.shadow([_oval(x - light.side * 0.3 * height, base, height, 0.15 * height)], blur=0.003)
    foliage(stage, blobs, 0.42 * height, colour, distance, "bush", clusters=30)


def conifer(stage: Stage, x: float, base: float, height: float, distance: float = 0.0) -> None:
    """A spruce: tiers of hanging boughs, snow on them in winter."""
    canvas, light, rng = stage.canvas, stage.light, stage.rng
    colour, bark, tiers = stage.pick(_NEEDLES), stage.pick(_BARK), 7
    slim = stage.between(0.17, 0.25)
    stage.shadow([_oval(x - light.side * 0.28 * height, base, 0.34 * height, 0.045 * height)], blur=0.01 * height + 0.002)
    trunk = np.array([[x, base], [x, base - 0.3 * height]])
    canvas.paint(canvas.cover([line(trunk, 0.045 * height)]), light.on(bark, 0.4, distance), "conifer")
    dark, lit, snow = [], [], []
    for number in range(tiers):
        low, high = 0.10 + 0.80 * number / tiers, min(0.10 + 0.80 * (number + 2.1) / tiers, 1.0)
        half = slim * height * (1.0 - number / (tiers + 0.6)) * rng.uniform(0.9, 1.1)
        fringe = np.linspace(-1, 1, 9)
        sag = np.where(np.arange(9) % 2 == 0, 0.0, 0.028) + 0.035 * (1 - np.abs(fringe)) * -1 + rng.uniform(-0.01, 0.01, 9)
        hem = np.column_stack([x + fringe * half, base - (low + sag) * height])
        tip = np.array([[x, base - high * height]])
        dark.append(np.concatenate([hem, tip]))
        bright = hem[4:] if light.side > 0 else hem[:5]
        lit.append(np.concatenate([bright * (1, 1) + (0, -0.012 * height), tip]))
        snow.append(np.concatenate([hem * (1, 0) + (0, base - (low + 0.05) * height) - sag[:, None] * (0, 0.6 * height), tip]))
    canvas.paint(canvas.cover(dark), light.on(colour * 0.62, 0.25, distance), "conifer")
    canvas.paint(canvas.cover(lit), light.on(colour * 1.15, 0.85, distance), "conifer")
    canvas.paint(canvas.cover([tier * (1, 1) + (0, 0.018 * height) for tier in dark]), light.on(colour * 0.5, 0.2, distance), alpha=0.18)
    if light.season == "winter":
        canvas.paint(canvas.cover(snow), light.on(rgb("eef3f8"), 0.75, distance), "conifer", alpha=0.8)


def wood(stage: Stage, base: float, height: float, distance: float, count: int = 90) -> None:
    """A far row of small trees along `base`, conifers and round crowns mixed."""
    canvas, light, rng = stage.canvas, stage.light, stage.rng
    x = np.sort(rng.uniform(-0.03, 1.03, count))
    heights, pointed = height * rng.uniform(0.55, 1.1, count), rng.random(count) < stage.between(0.1, 0.95)
    needles, leaves = stage.pick(_NEEDLES), stage.pick(_LEAVES[light.season])
    for sharp, colour, part in ((False, leaves, "deciduous"), (True, needles, "conifer")):
        for gain, facing, shift in ((0.66, 0.25, 0.0), (1.05, 0.8, 0.12 * light.side)):
            chosen = pointed == sharp
            px, ph = x[chosen] + shift * heights[chosen], heights[chosen] * (1.0 if shift == 0 else 0.86)
            tone = light.on(colour * gain, facing, distance)
            if sharp:
                tops = np.stack([px, base - ph], axis=1)
                feet = np.stack([np.full_like(px, 0.0), np.full_like(px, base)], axis=1)
                wide = np.stack([px - 0.24 * ph * (1 if shift == 0 else 0.4), feet[:, 1]], axis=1)
                other = np.stack([px + 0.24 * ph * (1 if shift == 0 else 0.4), feet[:, 1]], axis=1)
                canvas.paint(canvas.cover(np.stack([tops, wide, other], axis=1)), tone, part)
            else:
                scale = 1.0 if shift == 0 else 0.6
                ovals = np.column_stack([px, base - 0.55 * ph, 0.36 * ph * scale, 0.45 * ph * scale])
                canvas.paint(canvas.cover(ellipses=ovals), tone, part)


def palm(stage: Stage, x: float, base: float, height: float) -> None:
    """A palm with a curved trunk."""
    canvas, light, rng = stage.canvas, stage.light, stage.rng
    bend = stage.between(-0.25, 0.25) * height
    t = np.linspace(0, 1, 8)
    trunk = np.column_stack([x + bend * t**2, base - 0.78 * height * t])
    stage.shadow([_oval(x - light.side * 0.4 * height, base, 0.4 * height, 0.05 * height)], blur=0.004)
    canvas.paint(canvas.cover([line(trunk, np.linspace(0.05, 0.026, 8) * height)]), light.on(rgb("8a6f50"), 0.5), "palm")
    crown, fronds = trunk[-1], []
    for angle in np.linspace(-0.25, np.pi + 0.25, 10) + rng.uniform(-0.12, 0.12, 10):
        s = np.linspace(0, 1, 7)
        reach = height * rng.uniform(0.32, 0.42)
        spine = crown + np.column_stack([np.cos(angle) * s, -np.sin(angle) * s * 0.7 + 0.75 * s**2]) * reach
        fronds.append(line(spine, height * 0.055 * np.sin(np.pi * (0.12 + 0.88 * s))))
    canvas.paint(canvas.cover(fronds), light.on(rgb("3d6b38"), 0.35), "palm")
    canvas.paint(canvas.cover([frond + (0, -0.012 * height) for frond in fronds[::2]]), light.on(rgb("5f9044"), 0.9), "palm")


def _oval(x: float, y: float, half_width: float, half_height: float) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, 17)[:-1]
    return np.column_stack([x + half_width * np.cos(angles), y + half_height * np.sin(angles)])
