"""Land and water: mountains, hills, meadows, crops, beaches, and water that reflects what is already painted."""

from __future__ import annotations

import numpy as np

from inpaintzoo.scenes import noise
from inpaintzoo.scenes.canvas import Coverage, line
from inpaintzoo.scenes.stage import Stage, mix, rgb, smoothstep

_ROCKS = ("7d756c", "6f7480", "8a7765", "667066", "7a6a74")
_FORESTS = {"summer": ("3f5c3a", "4a6a3c", "35553f"), "autumn": ("8a6a35", "a0703a", "6f6a38"), "winter": ("8d989f",)}
_MEADOWS = {
    "summer": ("6f9a45", "86a84c", "5f8f4c", "9aa653"),
    "autumn": ("a8984a", "b59a55", "948a48"),
    "winter": ("e4ebf2", "dfe6ee"),
}
_WATERS = ("2c5f7c", "2a6b74", "355a86", "3c6f7a")


def mountains(stage: Stage, base: float, height: float, distance: float, snow: bool) -> None:
    """A mountain range with lit and shaded flanks, and snow above a line.

    Args:
        stage: where to paint.
        base: world height of the foot.
        height: height of the highest peak, in world units.
        distance: metres, for the haze.
        snow: whether snow may lie on the peaks.
    """
    stage = stage.fork()
    canvas, light, rng = stage.canvas, stage.light, stage.rng
    count = int(rng.integers(3, 7))
    peaks = (np.arange(count) + rng.uniform(0.1, 0.9, count)) / count * 1.3 - 0.15
    heights, widths = height * rng.uniform(0.45, 1.0, count), height * rng.uniform(1.1, 1.9, count)
    colour, snowline = stage.pick(_ROCKS), stage.between(0.25, 0.75) if stage.chance(0.65) and snow else 2.0
    x = canvas.x[0]
    tents = heights[:, None] * np.clip(1.0 - np.abs(x - peaks[:, None]) / widths[:, None], 0, 1) ** 1.15
    ridge = base - tents.max(axis=0) - height * 0.05 * (noise.profile(rng, x, 8) + 1.2)
    patch = canvas.below(ridge.astype(np.float32), base + 0.01)
    seeds = rng.integers(2**31, size=2)
    if patch is None:
        return
    rough = canvas.noise("billow", np.random.default_rng(seeds[0]), (0.42, 0.95), patch)
    nudged = canvas.noise("billow", np.random.default_rng(seeds[0]), (0.42, 0.95), patch, (-0.006, light.side * 0.008))
    fine = canvas.noise("rough", np.random.default_rng(seeds[1]), (0.8, 0.8), patch)
    # The peak that a pixel belongs to, and its flank: the side of the spine, a wavering line that falls from the top.
    column = np.clip((np.arange(len(x)) + 0.035 * canvas.unit * rough).astype(np.int32), 0, len(x) - 1)
    owner = tents.argmax(axis=0)[column]
    depth = canvas.y[patch.rows] - base + heights[owner]
    spine = peaks[owner] + 0.22 * depth * rough + 0.05 * height * fine * np.sqrt(np.clip(depth / height, 0, 1))
    flank = smoothstep(-0.02, 0.05, (x - spine) * light.side / height + 0.02)
    facing = np.clip(0.18 + 0.55 * flank + 2.3 * (rough - nudged) + 0.07 * fine, -0.1, 1.15)
    altitude = (base - canvas.y[patch.rows]) / height + 0.11 * fine + 0.05 * rough
    white = smoothstep(snowline - 0.03, snowline + 0.05, altitude + 0.25 * (facing - 0.5))
    own = mix(colour * 0.92, (0.93, 0.95, 0.99), white)
    lit = own * mix(light.shade, light.lit, facing)
    air = 1.0 - np.exp(-distance / light.haze_length / 10.0)
    low = np.clip((canvas.y[patch.rows] - base) / height + 1.0, 0, 1) ** 2 * 0.35
    canvas.paint(patch, mix(lit, light.haze, np.clip(air + low * np.ones_like(flank), 0, 1)), "rock")
    canvas.paint(Coverage(patch.rows, patch.columns, patch.cover * (white > 0.5)), (0, 0, 0), "snowcap", alpha=0.0)


def hills(stage: Stage, base: float, height: float, distance: float, forest: bool) -> None:
    """A row of rounded hills, with tree tops on the skyline if `forest`; paler with distance."""
    stage = stage.fork()
    canvas, light, rng = stage.canvas, stage.light, stage.rng
    colour = stage.pick((_FORESTS if forest else _MEADOWS)[light.season])
    x = canvas.x[0]
    ridge = base - height * (0.55 + 0.45 * noise.profile(rng, x, 3, 4, 0.42))
    slope = np.gradient(ridge) * canvas.unit
    trees = noise.profile(rng, x, 60, 3, 0.8)
    if forest:
        ridge = ridge - 0.005 - 0.006 * np.abs(trees)
    patch = canvas.below(np.minimum(ridge, base).astype(np.float32), base + 0.02)
    seed = rng.integers(2**31)
    if patch is None:
        return
    depth = canvas.y[patch.rows] - ridge[None, :]
    texture = canvas.noise("rough" if forest else "billow", np.random.default_rng(seed), (1.0, 0.8), patch)
    facing = 0.55 - 0.45 * light.side * np.clip(slope, -1, 1) * np.exp(-np.maximum(depth, 0) / (0.7 * height + 0.01))
    facing = np.clip(facing + (0.16 if forest else 0.07) * texture, 0, 1)
    lit = colour * mix(light.shade, light.lit, facing)
    air = 1.0 - float(np.exp(-distance / light.haze_length / 2.5))
    low = np.clip(depth / (height + 0.02), 0, 1) * 0.22
    canvas.paint(patch, mix(lit, light.haze, np.clip(air + low, 0, 1)), "hill")


def ground(stage: Stage) -> None:
    """Meadow, crops or snow from the horizon to the viewer."""
    stage = stage.fork()
    canvas, light, rng, camera = stage.canvas, stage.light, stage.rng, stage.camera
    near, far = stage.pick(_MEADOWS[light.season]), stage.pick(_MEADOWS[light.season])
    swell = camera.horizon + 0.012 * noise.profile(rng, canvas.x[0], 3, 4)
    patch = canvas.below(swell.astype(np.float32))
    if patch is None:
        return
    t = np.clip((canvas.y[patch.rows] - camera.horizon) / (1.0 - camera.horizon), 0, 1)
    winter = light.season == "winter"
    coarse = stage.ground_noise("billow", patch, 60.0 * camera.eye)
    fine = stage.ground_noise("rough", patch, 6.0 * camera.eye)
    texture = (0.05 if winter else 0.13) * coarse + (0.02 if winter else 0.10) * fine
    colour = mix(far, near, np.broadcast_to(t, texture.shape)) * (1.0 + texture)[..., None]
    if not winter:
        colour = mix(colour, colour * rgb("c8b070") * 1.35, smoothstep(0.2, 1.6, coarse) * 0.5)
    facing = 0.72 + 0.10 * coarse
    lit = colour * mix(light.shade, light.lit, np.clip(facing, 0, 1))
    air = np.clip(1.0 - np.exp(-camera.focal * camera.eye / np.maximum(t, 0.004) / light.haze_length / 2.0), 0, 0.85)
    canvas.paint(patch, mix(lit, light.haze, np.broadcast_to(air, facing.shape)), "snowfield" if winter else "meadow")


def crops(stage: Stage, left: float, right: float, near: float, far: float) -> None:
    """A field of rows that run to the vanishing point; corners in metres."""
    stage = stage.fork()
    canvas, light = stage.canvas, stage.light
    colour, soil = stage.pick(("c9a94a", "8fa83e", "b98f3c", "9c7ab0", "7fa04a")), stage.pick(("6b5138", "7a5f42"))
    spacing, skew = stage.between(0.9, 1.8) * stage.camera.eye / 2.5, stage.between(-0.25, 0.25)
    corners = np.array(
        [[left, near], [right, near], [right + skew * (far - near), far], [left + skew * (far - near), far]]
    )
    patch = canvas.cover([stage.camera.project(corners[:, 0], 0.0, corners[:, 1])])
    if patch is None:
        return
    x, z = stage.ground_grid(patch)
    phase = (x - skew * (z - near)) / spacing
    # Rows finer than two pixels blend into their mean.
    across = z / stage.camera.focal
    down = across * z / stage.camera.eye * np.abs(x / z - skew)
    visible = np.clip(spacing * canvas.unit / np.hypot(across, down) / 3.0 - 0.4, 0.0, 1.0)
    wave = 0.5 + visible * 0.5 * np.clip(1.6 * np.cos(2 * np.pi * phase), -1, 1)
    texture = 1.0 + 0.12 * stage.ground_noise("rough", patch, 6.0 * stage.camera.eye)
    own = mix(soil, colour, wave * 0.85) * texture[..., None]
    air = np.broadcast_to(1.0 - np.exp(-z / light.haze_length / 2.0), wave.shape)
    canvas.paint(patch, mix(own * mix(light.shade, light.lit, 0.75), light.haze, air), "crop")


def sand(stage: Stage, edge: np.ndarray) -> None:
    """A beach below `edge`, a world height for each column."""
    stage = stage.fork()
    canvas, light = stage.canvas, stage.light
    colour = stage.pick(("dcc79c", "d8bd8e", "e6d6b4", "cbb38c"))
    patch = canvas.below(edge.astype(np.float32))
    if patch is None:
        return
    texture = stage.ground_noise("rough", patch, 5.0 * stage.camera.eye)
    dunes = stage.ground_noise("billow", patch, 24.0 * stage.camera.eye)
    wet = np.exp(-np.clip(canvas.y[patch.rows] - edge, 0, 1) / 0.03)[..., None]
    facing = np.clip(0.7 + 0.08 * dunes + 0.06 * texture, 0, 1)
    own = colour * (1.0 + 0.04 * texture + 0.05 * dunes)[..., None] * (1.0 - 0.35 * wet)
    canvas.paint(patch, own * mix(light.shade, light.lit, facing), "sand")


def water(stage: Stage, patch: Coverage | None, mirror: float, part: str, calm: float) -> None:
    """Fill a patch with water that reflects the picture above.

    Args:
        stage: where to paint; everything to be reflected must already be painted.
        patch: the surface.
        mirror: world height of the far shore.
        part: `lake`, `river` or `sea`.
        calm: from 0, choppy, to 1, a mirror.
    """
    stage = stage.fork()
    canvas, light, rng = stage.canvas, stage.light, stage.rng
    deep, seed = stage.pick(_WATERS), int(rng.integers(2**31))
    if patch is None:
        return
    y = canvas.y[patch.rows]
    depth = np.clip(y - mirror, 0.0, 1.0)
    waves = _waves(stage, patch, mirror, seed)
    rough = (1.0 - calm) * 0.9 + 0.12
    rows = (2.0 * mirror - y - 0.002 + waves * rough * (0.10 * depth + 0.004) - canvas.top) * canvas.unit
    columns = np.arange(patch.columns.start, patch.columns.stop) + waves * rough * (0.03 * depth * canvas.unit)
    last = max(canvas.row(mirror) - 1, 0)
    row = np.minimum(np.abs(np.clip(rows, -canvas.height, last)).astype(np.int32), last)
    column = np.clip(columns, 0, canvas.width - 1).astype(np.int32)
    seen = np.take(canvas.image.reshape(-1, 3), row * canvas.width + column, axis=0)
    own = light.on(deep, 0.6) + 0.12 * light.sky[1]
    clear = np.clip(0.22 + 0.95 * depth + 0.12 * waves * rough, 0.1, 0.8 - 0.2 * calm)
    colour = mix(seen * 0.94, np.broadcast_to(own, seen.shape), clear)
    colour = colour * (1.0 + (0.05 + 0.09 * (1 - calm)) * waves)[..., None]
    canvas.paint(patch, colour, part)
    _glitter(stage, patch, waves, mirror)


def _waves(stage: Stage, patch: Coverage, mirror: float, seed: int) -> np.ndarray:
    """Horizontal streaks, fine at the far shore and broad near the viewer."""
    canvas = stage.canvas
    depth = np.clip(canvas.y[patch.rows, 0] - mirror, 0.0, 1.0)
    t = np.log1p(depth / 0.03) / np.log1p(1.0 / 0.03)
    oy, ox = np.random.default_rng(seed).random(2)
    period = 0.25 + 1.2 * depth
    columns = (canvas.x[:, patch.columns] - 0.5) / period[:, None] * 0.35 + ox
    fine = noise.gather("rough", (t * 1.7 + oy)[:, None], columns)
    broad = noise.gather("billow", (t * 1.1 + ox)[:, None], columns * 0.7 + oy)
    return 0.6 * fine + 0.7 * broad


def _glitter(stage: Stage, patch: Coverage, waves: np.ndarray, mirror: float) -> None:
    """The sun's or moon's path on the water."""
    canvas, light = stage.canvas, stage.light
    if light.sun is None or light.haze_length < 200:
        return
    depth = np.clip(canvas.y[patch.rows] - mirror, 0.0, 1.0)
    near = np.exp(-(((canvas.x[:, patch.columns] - light.sun[0]) / (0.035 + 0.16 * depth)) ** 2))
    sparkle = smoothstep(0.1, 1.1, waves) * near * (0.7 if light.hour == "sunset" else 0.5)
    canvas.add(Coverage(patch.rows, patch.columns, (sparkle * patch.cover).astype(np.float32)), light.glow)


def river(stage: Stage, far: float) -> Coverage | None:
    """The surface of a river that winds from `far` metres to the viewer."""
    rng, camera = stage.rng, stage.camera
    z = np.geomspace(camera.depth(1.08), far, 40)
    swing, phase = stage.between(1.5, 4.0) * camera.eye, stage.between(0, 2 * np.pi)
    bend = swing * np.sin(phase + 2.6 * np.log(z / z[0])) * (z / z[0]) ** 0.55
    half = camera.eye * stage.between(0.5, 0.9) * (1.0 + 0.25 * np.sin(5.0 * np.log(z) + rng.uniform(0, 6)))
    left, right = camera.project(bend - half, 0.0, z), camera.project(bend + half, 0.0, z)
    return stage.canvas.cover([np.concatenate([left, right[::-1]])])


def blades(stage: Stage) -> None:
    """Grass at the viewer's feet, and flowers in it."""
    canvas, light, rng = stage.canvas, stage.light, stage.rng
    count, flowers = 300, stage.chance(0.45)
    roots = np.column_stack([rng.uniform(-0.02, 1.02, count), rng.uniform(0.94, 1.06, count)])
    tips = roots + np.column_stack([rng.normal(0, 0.012, count), -rng.uniform(0.02, 0.07, count)])
    tones, petals = rng.random(count) - 0.2, stage.pick(("e8d44a", "e2504c", "f2f2f2", "b06ad0", "e88ac0"))
    colour = stage.pick(_MEADOWS[light.season])
    if light.season == "winter":
        return
    triangles = np.stack([roots - (0.0022, 0), roots + np.array((0.0022, 0)), tips], axis=1)
    for low, shade in ((-0.2, 0.6), (0.15, 0.82), (0.5, 1.08)):
        chosen = triangles[(tones >= low) & (tones < low + 0.35)]
        canvas.paint(canvas.cover(chosen), light.on(colour * shade, 0.7), "meadow")
    if flowers:
        heads = np.column_stack([tips[::6], *([rng.uniform(0.003, 0.0065, len(tips[::6]))] * 2)])
        canvas.paint(canvas.cover(ellipses=heads), light.on(petals, 0.9), "flower")
        canvas.paint(canvas.cover(ellipses=heads * (1, 1, 0.4, 0.4)), light.on(petals * 0.6, 0.9))


def rocks(stage: Stage, count: int) -> None:
    """Boulders on the ground near the viewer."""
    colour = stage.pick(_ROCKS)
    for base in np.sort(stage.rng.uniform(stage.camera.horizon + 0.15, 1.0, count)):
        x, size = stage.between(-0.05, 1.05), stage.between(0.012, 0.04)
        angles = np.linspace(0, 2 * np.pi, 9)[:-1]
        radii = size * stage.rng.uniform(0.7, 1.1, 8)
        points = np.column_stack([x + radii * np.cos(angles), base - 0.25 * size + 0.6 * radii * np.sin(angles)])
        stage.shadow([points + np.array((-stage.light.side * size * 0.6, size * 0.3))])
        stage.canvas.paint(stage.canvas.cover([points]), stage.light.on(colour, 0.25), "rock")
        upper = mix(points, points.mean(axis=0) + np.array((stage.light.side * size * 0.35, -size * 0.2)), 0.42)
        stage.canvas.paint(stage.canvas.cover([upper], blur=0.002), stage.light.on(colour * 1.12, 0.95))


def surf(stage: Stage, edge: np.ndarray) -> None:
    """Foam where the sea meets the beach below `edge`."""
    x = stage.canvas.x[0]
    for offset, width in ((-0.004, 0.006), (-0.022, 0.003), (-0.045, 0.002)):
        wobble = 0.004 * noise.profile(stage.rng, x, 8, 4)
        points = np.column_stack([x, edge + offset + wobble])
        widths = width * np.clip(0.6 + noise.profile(stage.rng, x, 10, 3), 0.0, 1.5)
        patch = stage.canvas.cover([line(points, widths)])
        stage.canvas.paint(patch, stage.light.on((0.96, 0.97, 0.98), 0.9), "sea", alpha=0.85)
