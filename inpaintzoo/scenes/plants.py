"""Trees, bushes and woods: silhouettes first, then clusters that brighten towards the light."""

from __future__ import annotations

import numpy as np

from inpaintzoo.scenes.canvas import line
from inpaintzoo.scenes.stage import Stage, rgb

_LEAVES = {
    "summer": ("4c7a34", "5b8a3a", "3f6e3c", "6d9140", "557f46"),
    "autumn": ("c8752e", "b8502c", "d09a35", "a8862f", "8c3f30"),
    "winter": ("6f6a66",),
}
_NEEDLES = ("2f5540", "36604a", "2a4c3c", "40644a")
_BARK = ("5a4634", "4d4038", "6a5844")
# Leaf clusters, dark to light: how far towards the light they begin, colour, share of light, size.
_TONES = ((-9.0, 0.58, 0.2, 0.20), (-0.22, 0.78, 0.4, 0.17), (0.12, 0.98, 0.75, 0.135), (0.42, 1.2, 1.0, 0.10))


def deciduous(stage: Stage, x: float, base: float, height: float, distance: float = 0.0) -> None:
    """A broad-leaved tree; bare and snowy in winter.

    Args:
        stage: where to paint.
        x: world position of the trunk.
        base: world height of the foot.
        height: height in world units.
        distance: metres, for the haze.
    """
    canvas, light, rng = stage.canvas, stage.light, stage.rng
    leaves, bark = stage.pick(_LEAVES[light.season]), light.on(stage.pick(_BARK), 0.45, distance)
    lean, slim = stage.between(-0.04, 0.04) * height, stage.between(0.85, 1.2)
    stage.shadow(
        [_oval(x - light.side * 0.35 * height, base, 0.42 * height, 0.055 * height)], blur=0.012 * height + 0.002
    )
    top = np.array([x + lean, base - 0.55 * height])
    trunk = np.array([[x, base], [x + 0.3 * lean, base - 0.25 * height], top])
    canvas.paint(canvas.cover([line(trunk, np.array([0.075, 0.05, 0.03]) * height)]), bark, "deciduous")
    if light.season == "winter":
        _bare_crown(stage, trunk, height, bark)
        return
    centre = np.array([x + lean, base - 0.66 * height])
    angles, reach = rng.uniform(0, 2 * np.pi, 7), rng.uniform(0.3, 1.0, 7)
    blobs = (
        centre + np.column_stack([np.cos(angles) * 0.25 / slim, np.sin(angles) * 0.21 * slim]) * reach[:, None] * height
    )
    foliage(stage, blobs, 0.145 * height, leaves, distance, "deciduous")


def _bare_crown(stage: Stage, trunk: np.ndarray, height: float, bark: np.ndarray) -> None:
    rng, canvas = stage.rng, stage.canvas
    branches = []
    for number in range(9):
        start = trunk[1] + (trunk[2] - trunk[1]) * (number / 8)
        side = 1.0 if number % 2 else -1.0
        reach = height * (0.42 - 0.03 * number)
        end = start + reach * np.array([side * rng.uniform(0.45, 0.8), -rng.uniform(0.6, 1.0)])
        branches.append(
            line(
                np.stack([start, (start + end) / 2 + (0, 0.03 * height), end]), np.array([0.028, 0.017, 0.008]) * height
            )
        )
        for part in (0.45, 0.7):
            fork = start + (end - start) * part
            tip = fork + reach * 0.42 * np.array([side * rng.uniform(-0.5, 1.0), -rng.uniform(0.4, 1.0)])
            branches.append(line(np.stack([fork, tip]), np.array([0.013, 0.005]) * height))
    canvas.paint(canvas.cover(branches), bark, "deciduous")


def foliage(stage: Stage, blobs: np.ndarray, radius: float, colour: np.ndarray, distance: float, part: str) -> None:
    """Masses of leaves: dark clusters everywhere, then brighter and brighter ones on the side of the light.

    Args:
        stage: where to paint.
        blobs: `(n, 2)` world centres of the masses.
        radius: radius of a mass, in world units.
        colour: colour of the leaves.
        distance: metres, for the haze.
        part: name of the part.
    """
    stage = stage.fork()
    canvas, light, rng = stage.canvas, stage.light, stage.rng
    masses = np.column_stack([blobs, *([np.full(len(blobs), radius)] * 2)])
    towards = np.array([light.side * 0.6, -0.8])
    extent = np.abs(blobs - blobs.mean(axis=0)).max() + radius
    # Small trees need fewer, larger clusters.
    few = int(np.clip(7.0 * radius * canvas.unit, 16, 300))
    texture = np.random.default_rng(int(rng.integers(2**31)))
    for low, gain, facing, size in _TONES:
        owner, angle = rng.integers(len(blobs), size=300), rng.uniform(0, 2 * np.pi, 300)
        offsets = np.column_stack([np.cos(angle), np.sin(angle)]) * np.sqrt(rng.random(300))[:, None]
        places = blobs[owner] + offsets * radius * 1.12
        height = 0.55 * offsets @ towards + 0.65 * ((places - blobs.mean(axis=0)) / extent) @ towards
        sizes = radius * size * rng.uniform(0.5, 1.3, (300, 2)) * (300 / few) ** 0.28
        shapes = np.column_stack([places, sizes])[:few][(height + rng.normal(0, 0.12, 300))[:few] > low]
        patch = canvas.cover(ellipses=np.concatenate([masses, shapes]) if low < -1 else shapes)
        tone = light.on(np.clip(colour * gain, 0, 1), facing, distance)
        if patch is not None and radius * canvas.unit > 5.0:
            tone = tone * (1.0 + 0.07 * canvas.noise("grain", texture, (1.0, 1.0), patch))[..., None]
        canvas.paint(patch, tone, part)


def bush(stage: Stage, x: float, base: float, height: float, distance: float = 0.0) -> None:
    """A round bush; under snow in winter."""
    light = stage.light
    colour = stage.pick(_LEAVES[light.season] if light.season != "winter" else ("dfe6ee",))
    blobs = np.column_stack(
        [x + stage.rng.uniform(-0.7, 0.7, 4) * height, base - stage.rng.uniform(0.35, 0.6, 4) * height]
    )
    stage.shadow([_oval(x - light.side * 0.3 * height, base, height, 0.15 * height)], blur=0.003)
    foliage(stage, blobs, 0.42 * height, colour, distance, "bush")


def conifer(stage: Stage, x: float, base: float, height: float, distance: float = 0.0) -> None:
    """A spruce: tiers of hanging boughs, snow on them in winter."""
    canvas, light = stage.canvas, stage.light
    colour, bark = stage.pick(_NEEDLES), stage.pick(_BARK)
    slim = stage.between(0.17, 0.25)
    stage.shadow(
        [_oval(x - light.side * 0.28 * height, base, 0.34 * height, 0.045 * height)], blur=0.01 * height + 0.002
    )
    trunk = np.array([[x, base], [x, base - 0.3 * height]])
    canvas.paint(canvas.cover([line(trunk, 0.045 * height)]), light.on(bark, 0.4, distance), "conifer")
    canvas.paint(canvas.cover(_tiers(x, base, height, slim)), light.on(colour * 0.6, 0.25, distance), "conifer")
    boughs, bright = _boughs(stage, x, base, height, slim)
    winter = light.season == "winter"
    top = rgb("eaf0f6") if winter else colour * 1.3
    for low, tone in ((0.0, light.on(colour * 0.82, 0.45, distance)), (0.55, light.on(colour * 1.05, 0.75, distance))):
        canvas.paint(canvas.cover(boughs[bright > low]), tone, "conifer")
    canvas.paint(
        canvas.cover(boughs[bright > (0.3 if winter else 0.85)]), light.on(top, 0.9, distance), "conifer", alpha=0.8
    )


def _tiers(x: float, base: float, height: float, slim: float) -> list[np.ndarray]:
    """The outline of a spruce, tier by tier, with a fringed hem."""
    tiers, fringe = 8, np.linspace(-1, 1, 9)
    outlines = []
    for number in range(tiers):
        low, high = 0.10 + 0.80 * number / tiers, min(0.10 + 0.80 * (number + 2.1) / tiers, 1.0)
        half = slim * height * (1.0 - number / (tiers + 0.6))
        sag = np.where(np.arange(9) % 2 == 0, 0.0, 0.022) - 0.03 * (1 - np.abs(fringe))
        hem = np.column_stack([x + fringe * half, base - (low + sag) * height])
        outlines.append(np.concatenate([hem, [[x, base - high * height]]]))
    return outlines


def _boughs(stage: Stage, x: float, base: float, height: float, slim: float) -> tuple[np.ndarray, np.ndarray]:
    """Hanging boughs of a spruce as `(n, 4, 2)` leaves, and how bright each one is, about -0.5 to 1.5."""
    u, level = (axis.ravel() for axis in np.meshgrid(np.linspace(-0.95, 0.95, 9), np.linspace(0.0, 0.97, 13)))
    u = u + stage.rng.uniform(-0.1, 0.1, len(u))
    level = level + stage.rng.uniform(-0.02, 0.02, len(level))
    half, at = slim * height * (1.0 - 0.93 * level), base - (0.13 + 0.83 * level) * height
    stem = np.column_stack([x + 0.25 * u * half, at - 0.045 * height])
    tip = np.column_stack([x + u * half, at + 0.018 * height * (1.0 - level) * (1.2 - np.abs(u))])
    middle, wide = 0.5 * (stem + tip), np.column_stack([0.16 * half, 0.012 * height * np.ones_like(half)])
    boughs = np.stack([stem, middle - wide, tip, middle + wide * (1.0, -0.2)], axis=1)
    return boughs, 0.45 + 0.55 * u * stage.light.side + stage.rng.normal(0.0, 0.25, u.shape)


def wood(stage: Stage, base: float, height: float, distance: float, count: int = 90) -> None:
    """A distant row of small trees along `base`, conifers and round crowns mixed."""
    canvas, light, rng = stage.canvas, stage.light, stage.rng
    x = np.sort(rng.uniform(-0.03, 1.03, count))
    heights, pointed = height * rng.uniform(0.55, 1.1, count), rng.random(count) < stage.between(0.1, 0.95)
    needles, leaves = stage.pick(_NEEDLES), stage.pick(_LEAVES[light.season])
    tones = {
        gain: [light.on(c * gain, 0.2 + 0.6 * (gain > 1), distance) for c in (leaves, needles)] for gain in (0.66, 1.08)
    }
    px, ph = x[~pointed], heights[~pointed]
    crowns = np.column_stack([px, base - 0.52 * ph, 0.38 * ph, 0.50 * ph])
    canvas.paint(canvas.cover(ellipses=crowns), tones[0.66][0], "deciduous")
    clumps = np.repeat(crowns, 4, axis=0)
    clumps[:, :2] += clumps[:, 2:] * rng.uniform(
        (-0.6 + 0.22 * light.side, -0.9), (0.6 + 0.22 * light.side, 0.3), (len(clumps), 2)
    )
    clumps[:, 2:] *= rng.uniform(0.22, 0.42, (len(clumps), 1))
    canvas.paint(canvas.cover(ellipses=clumps), tones[1.08][0], "deciduous")
    px, ph = x[pointed], heights[pointed]
    spires = np.stack([[px, base - ph], [px - 0.24 * ph, base + 0 * ph], [px + 0.24 * ph, base + 0 * ph]]).transpose(
        2, 0, 1
    )
    canvas.paint(canvas.cover(spires), tones[0.66][1], "conifer")
    spires[:, 1 if light.side > 0 else 2, 0] = px
    spires[:, 1:, 1] -= 0.06 * ph[:, None]
    canvas.paint(canvas.cover(spires), tones[1.08][1], "conifer")


def palm(stage: Stage, x: float, base: float, height: float) -> None:
    """A palm with a curved trunk."""
    canvas, light, rng = stage.canvas, stage.light, stage.rng
    bend = stage.between(-0.25, 0.25) * height
    t = np.linspace(0, 1, 8)
    trunk = np.column_stack([x + bend * t**2, base - 0.78 * height * t])
    stage.shadow([_oval(x - light.side * 0.4 * height, base, 0.4 * height, 0.05 * height)], blur=0.004)
    canvas.paint(
        canvas.cover([line(trunk, np.linspace(0.05, 0.026, 8) * height)]), light.on(rgb("8a6f50"), 0.5), "palm"
    )
    shade, bright = [], []
    for number, angle in enumerate(np.linspace(-0.3, np.pi + 0.3, 11) + rng.uniform(-0.12, 0.12, 11)):
        s = np.linspace(0, 1, 12)
        reach = height * rng.uniform(0.34, 0.44)
        spine = trunk[-1] + np.column_stack([np.cos(angle) * s, -np.sin(angle) * s * 0.75 + 0.72 * s**2]) * reach
        leaves = _frond(spine, 0.16 * height)
        shade.append(leaves)
        if number % 2 == 0:
            bright.append(leaves + np.array((0.0, -0.014 * height)))
    canvas.paint(canvas.cover(np.concatenate(shade)), light.on(rgb("376433"), 0.35), "palm")
    canvas.paint(canvas.cover(np.concatenate(bright)), light.on(rgb("5f9044"), 0.85), "palm")


def _frond(spine: np.ndarray, length: float) -> np.ndarray:
    """Leaflets that hang from a spine on both sides: `(n, 3, 2)` triangles."""
    along = np.gradient(spine, axis=0)
    along /= np.maximum(np.hypot(*along.T), 1e-9)[:, None]
    across = np.column_stack([-along[:, 1], along[:, 0]])
    taper = length * np.sin(np.pi * np.linspace(0.14, 0.97, len(spine)))[:, None]
    wide = 0.11 * length * along
    triangles = []
    for side, hang in ((1.0, 0.55), (-1.0, 0.55)):
        tips = spine + taper * (side * 0.45 * across + 0.45 * along) + taper * np.array((0.0, hang * 0.45))
        triangles.append(np.stack([spine - wide, spine + wide, tips], axis=1))
    return np.concatenate(triangles)


def _oval(x: float, y: float, half_width: float, half_height: float) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, 17)[:-1]
    return np.column_stack([x + half_width * np.cos(angles), y + half_height * np.sin(angles)])
