"""Roads and what stands along them: markings, pavements, fences, lamps and cars."""

from __future__ import annotations

import numpy as np

from inpaintzoo.scenes.canvas import Coverage
from inpaintzoo.scenes.sky import lamp_glow
from inpaintzoo.scenes.stage import Stage, mix, rgb, smoothstep

_CARS = ("a8322c", "2f5a9a", "d8d8d4", "33363c", "c9a23a", "5a7a68", "8a8f96")


def bend(curve: float, z: np.ndarray) -> np.ndarray:
    """Sideways metres of the road's middle at a distance."""
    return curve * (z / 40.0) ** 2 / (1.0 + (z / 90.0) ** 2)


def strip(stage: Stage, left: float, right: float, curve: float, near: float, far: float) -> np.ndarray:
    """World outline of the ground between two lines along the road, metres from its middle."""
    z = np.geomspace(near, far, 24)
    middle = bend(curve, z)
    sides = stage.camera.project(middle + left, 0.0, z), stage.camera.project(middle + right, 0.0, z)
    return np.concatenate([sides[0], sides[1][::-1]])


def road(stage: Stage, half: float, curve: float, marked: bool) -> None:
    """A road from the viewer to the horizon, `half` metres to each side."""
    canvas, light, camera = stage.canvas, stage.light, stage.camera
    near, far = 0.6 * camera.depth(1.0), 2500.0
    colour = stage.pick(("5f6064", "6c6a68", "54565c")) if marked else stage.pick(("a58a64", "b39a74", "8f7a5e"))
    if light.season == "winter":
        colour = mix(colour, rgb("c9d0d8"), 0.35)
    shoulder = canvas.cover([strip(stage, -half - 0.5, half + 0.5, curve, near, far)])
    canvas.paint(shoulder, light.on(rgb("8f8a78"), 0.7), alpha=0.55)
    patch = canvas.cover([strip(stage, -half, half, curve, near, far)])
    asphalt(stage, patch, colour)
    if not marked:
        return
    white = light.on(rgb("f1efe6"), 0.85)
    edges = [strip(stage, s * (half - 0.35) - 0.09, s * (half - 0.35) + 0.09, curve, near, 260.0) for s in (-1, 1)]
    phase, dashes = stage.between(0, 6), []
    for start in np.arange(near - 4.0 + phase % 2, 200.0, 7.0 * max(camera.eye / 3.0, 1.0)):
        dashes.append(
            strip(
                stage,
                -0.1,
                0.1,
                curve,
                max(start, near * 0.8),
                max(start, near * 0.8) + 3.2 * max(camera.eye / 3.0, 1.0),
            )
        )
    middle = white if stage.chance(0.65) else light.on(rgb("e8bf3c"), 0.85)
    canvas.paint(canvas.cover(edges), white, "marking")
    canvas.paint(canvas.cover(dashes), middle, "marking")


def asphalt(stage: Stage, patch: Coverage | None, colour: np.ndarray, part: str = "asphalt") -> None:
    """Paint a ground patch with a rough surface; wet and shining in the rain."""
    inner = stage.fork()
    if patch is None:
        return
    light, canvas = stage.light, stage.canvas
    grain = inner.ground_noise("grain", patch, 9.0 * stage.camera.eye)
    worn = inner.ground_noise("billow", patch, 40.0 * stage.camera.eye)
    own = colour * (1.0 + 0.05 * grain + 0.06 * worn)[..., None]
    _, z = inner.ground_grid(patch)
    lit = own * mix(light.shade, light.lit, 0.7)
    if light.weather == "rain":
        lit = mix(lit * 0.72, light.sky[2], np.clip(0.18 + 0.22 * smoothstep(0.0, 1.5, worn), 0, 1))
    air = np.broadcast_to(1.0 - np.exp(-z / light.haze_length), grain.shape)
    canvas.paint(patch, mix(lit, light.haze, air), part)


def pavement(stage: Stage, left: float, right: float, near: float = 2.0, far: float = 2500.0) -> None:
    """Slabs beside a straight road, with a kerb; metres from the vanishing line."""
    canvas, light = stage.canvas, stage.light
    patch = canvas.cover([strip(stage, left, right, 0.0, near, far)])
    asphalt(stage, patch, stage.pick(("a7a39b", "b3ada0", "9a9a9a")), "paving")
    if patch is None:
        return
    x, z = stage.ground_grid(patch)
    slab = 1.2
    fine = np.clip(stage.camera.focal * slab / z * canvas.unit / 12.0 - 0.3, 0.0, 1.0)
    flat = np.clip(slab * stage.camera.focal * stage.camera.eye / z**2 * canvas.unit / 5.0 - 0.4, 0.0, 1.0)
    joints = np.maximum(((x / slab) % 1.0 < 0.05) * fine, ((z / slab) % 1.0 < 0.06) * flat)
    canvas.paint(
        Coverage(patch.rows, patch.columns, (patch.cover * joints).astype(np.float32)),
        light.on(rgb("6f6b66"), 0.6),
        alpha=0.7,
    )


def kerb(stage: Stage, x: float, near: float = 2.0) -> None:
    """The stone edge of a pavement along the road."""
    patch = stage.canvas.cover([strip(stage, x - 0.12, x + 0.12, 0.0, near, 400.0)])
    stage.canvas.paint(patch, stage.light.on(rgb("cbc7bd"), 0.75), "paving")


def cross_street(stage: Stage, wall_z: float, kerb_z: float) -> None:
    """A street across the picture in front of a row of houses: pavement down to the kerb, then the road."""
    canvas, light, camera = stage.canvas, stage.light, stage.camera
    edge, border = (float(camera.project(0.0, 0.0, z)[1]) for z in (wall_z, kerb_z))
    ends = np.array([-1.0, 2.0, 2.0, -1.0])
    slabs = canvas.cover([np.column_stack([ends, [edge, edge, border, border]])])
    asphalt(stage, slabs, stage.pick(("a7a39b", "b3ada0", "9a9a9a")), "paving")
    joints = []
    for x in np.arange(-40.0, 40.0, 1.5):
        ground = camera.project(np.array([x, x + 0.06, x + 0.06, x]), 0.0, np.array([wall_z, wall_z, kerb_z, kerb_z]))
        joints.append(ground)
    for z in np.linspace(kerb_z, wall_z, 5)[1:-1]:
        joints.append(camera.project(np.array([-60.0, 60.0, 60.0, -60.0]), 0.0, np.array([z, z, z + 0.06, z + 0.06])))
    canvas.paint(canvas.cover(joints), light.on(rgb("77736c"), 0.6), alpha=0.6)
    lane = canvas.cover([np.column_stack([ends, [border, border, 2.0, 2.0]])])
    asphalt(stage, lane, stage.pick(("5f6064", "6c6a68", "54565c")))
    drop = 0.16 * camera.focal / kerb_z
    stone = np.column_stack([ends, [border - 0.3 * drop, border - 0.3 * drop, border + drop, border + drop]])
    canvas.paint(canvas.cover([stone]), light.on(rgb("c4c0b6"), 0.7), "paving")
    foot = np.column_stack([ends, [border + drop, border + drop, border + 1.4 * drop, border + 1.4 * drop]])
    canvas.paint(canvas.cover([foot]), (0.1, 0.1, 0.12), alpha=0.5)
    middle, dashes = max(kerb_z - stage.between(3.0, 4.0), 1.2), []
    shift = stage.between(0.0, 4.0)
    for x in np.arange(-24.0, 24.0, 4.0) + shift:
        dashes.append(camera.project(np.array([x, x + 2, x + 2, x]), 0.0, middle + np.array([0, 0, 0.14, 0.14])))
    canvas.paint(canvas.cover(dashes), light.on(rgb("efece2"), 0.85), "marking")


def fence(stage: Stage, x: float, curve: float = 0.0, near: float = 3.0, far: float = 120.0) -> None:
    """Posts and two rails along the road, `x` metres from its middle."""
    canvas, light, camera = stage.canvas, stage.light, stage.camera
    colour = stage.pick(("8a6a4a", "e9e4d8", "6a5846", "9a8468"))
    z = np.arange(near, far, 2.6 * max(camera.eye / 3.0, 1.0))
    side = bend(curve, z) + x
    foot, head = camera.project(side, 0.0, z), camera.project(side, 1.25, z)
    half = 0.5 * 0.15 * camera.focal / z
    rails = []
    for low, high in ((0.42, 0.56), (0.88, 1.02)):
        rails.append(np.concatenate([camera.project(side, low, z), camera.project(side, high, z)[::-1]]))
    posts = [
        np.array([f - (w, 0), f + np.array((w, 0)), h + np.array((w, 0)), h - (w, 0)])
        for f, h, w in zip(foot, head, half, strict=True)
    ]
    ground = camera.project(side - light.direction[0] * 1.2, 0.0, z - light.direction[2] * 1.2)
    stage.shadow(
        [np.array([f - (w, 0), f + np.array((w, 0)), g]) for f, g, w in zip(foot, ground, half, strict=True)][:8],
        0.7,
        0.001,
    )
    canvas.paint(canvas.cover(rails), light.on(colour * 0.86, 0.6), "fence")
    canvas.paint(canvas.cover(posts), light.on(colour, 0.75), "fence")


def lamps(stage: Stage, x: float, curve: float = 0.0, height: float = 6.0, spacing: float = 16.0) -> None:
    """Street lamps along the road, `x` metres from its middle, arms over the road; farthest first."""
    start = stage.between(5.0, 11.0)
    for z in np.arange(start, 130.0, spacing)[::-1]:
        lamp(stage, float(bend(curve, np.array(z))) + x, float(z), height, -1.0 if x > 0 else 1.0)


def lamp(stage: Stage, x: float, z: float, height: float, arm: float) -> None:
    """One street lamp; `arm` is the side to which it reaches."""
    canvas, light, camera = stage.canvas, stage.light, stage.camera
    scale = camera.focal / z
    thick, reach = 0.09, 1.3 * arm
    post = camera.project(x + np.array([-thick, thick, 0.6 * thick, -0.6 * thick]), np.array([0, 0, height, height]), z)
    beam = camera.project(x + np.array([0, reach, reach, 0]), height + np.array([-0.05, 0.28, 0.40, 0.10]), z)
    tone = light.on(rgb("3f444a"), 0.6, z)
    canvas.paint(canvas.cover([post, beam]), tone, "pole")
    head = camera.project(x + reach, height + 0.22, z)
    night = light.hour == "night"
    bulb = rgb("ffe2a0") if night else light.on(rgb("d8d4c4"), 0.8, z)
    canvas.paint(canvas.cover(ellipses=np.array([[*head, 0.36 * scale, 0.16 * scale]])), bulb, "pole")
    lamp_glow(stage, float(head[0]), float(head[1]), 3.2 * scale + 0.01)
    if night:
        pool = camera.project(x + reach, 0.0, z)
        canvas.add(
            canvas.cover(ellipses=np.array([[*pool, 2.6 * scale, 0.8 * scale]]), blur=0.5 * scale), (0.16, 0.12, 0.06)
        )


def car(stage: Stage, x: float, z: float, heading: float) -> None:
    """A car seen from its side; `heading` 1 drives to the right."""
    canvas, light, camera = stage.canvas, stage.light, stage.camera
    colour = stage.pick(_CARS)

    def shape(points: list[tuple[float, float]]) -> np.ndarray:
        across, up = np.array(points).T
        return camera.project(x + heading * across, up, z)

    under = camera.project(x, 0.0, z)
    scale = camera.focal / z
    stage.shadow([shape([(-2.2, 0.0), (2.2, 0.0), (2.3, 0.3), (-2.3, 0.3)]) + np.array((0, 0.12 * scale))], 1.4, 0.003)
    body = [(-2.1, 0.3), (2.1, 0.3), (2.15, 0.75), (1.2, 0.95), (0.55, 1.42), (-1.0, 1.45), (-1.75, 0.98), (-2.1, 0.92)]
    canvas.paint(canvas.cover([shape(body)]), light.on(colour, 0.75, z), "car")
    canvas.paint(
        canvas.cover([shape([(-2.1, 0.3), (2.1, 0.3), (2.13, 0.55), (-2.1, 0.55)])]), light.on(colour * 0.7, 0.5, z)
    )
    glass = [
        [(-0.95, 1.35), (-0.2, 1.35), (-0.2, 0.95), (-1.5, 0.95)],
        [(-0.1, 1.35), (0.5, 1.33), (0.98, 0.95), (-0.1, 0.95)],
    ]
    canvas.paint(canvas.cover([shape(pane) for pane in glass]), mix(light.on(rgb("2e3844"), 0.5), light.sky[2], 0.3))
    wheels = np.array([[*camera.project(x + offset, 0.33, z), 0.36 * scale, 0.36 * scale] for offset in (-1.3, 1.3)])
    canvas.paint(canvas.cover(ellipses=wheels), light.on(rgb("1c1d20"), 0.5, z), "car")
    canvas.paint(canvas.cover(ellipses=wheels * (1, 1, 0.5, 0.5)), light.on(rgb("9a9ea4"), 0.7, z))
    front = camera.project(x + heading * 2.0, 0.72, z)
    night = light.hour == "night"
    canvas.paint(
        canvas.cover(ellipses=np.array([[*front, 0.12 * scale, 0.09 * scale]])),
        rgb("fff2c8"),
        alpha=1.0 if night else 0.7,
    )
    if night:
        canvas.add(
            canvas.disc(float(front[0]) + heading * 0.5 * scale, float(under[1]) - 0.6 * scale, 1.5 * scale),
            (0.4, 0.34, 0.2),
        )


def car_behind(stage: Stage, x: float, z: float, coming: bool) -> None:
    """A car on a road that runs away from the viewer: its back, or its front if `coming`."""
    canvas, light, camera = stage.canvas, stage.light, stage.camera
    colour, scale = stage.pick(_CARS), camera.focal / z

    def shape(points: list[tuple[float, float]]) -> np.ndarray:
        across, up = np.array(points).T
        return camera.project(x + across, up, z)

    stage.shadow([shape([(-1.0, 0.0), (1.0, 0.0), (1.1, 0.12), (-1.1, 0.12)]) + np.array((0, 0.1 * scale))], 1.5, 0.002)
    tyres = [
        [(-0.85, 0.0), (-0.55, 0.0), (-0.55, 0.5), (-0.85, 0.5)],
        [(0.55, 0.0), (0.85, 0.0), (0.85, 0.5), (0.55, 0.5)],
    ]
    canvas.paint(canvas.cover([shape(tyre) for tyre in tyres]), light.on(rgb("1c1d20"), 0.5, z), "car")
    body = [(-0.9, 0.28), (0.9, 0.28), (0.92, 0.85), (0.7, 1.42), (-0.7, 1.42), (-0.92, 0.85)]
    canvas.paint(canvas.cover([shape(body)]), light.on(colour, light.facing((0.0, -1.0)), z), "car")
    pane = shape([(-0.72, 0.92), (0.72, 0.92), (0.58, 1.34), (-0.58, 1.34)])
    canvas.paint(canvas.cover([pane]), mix(light.on(rgb("2e3844"), 0.5), light.sky[2], 0.35))
    ends = np.array([[*camera.project(x + s * 0.7, 0.72, z), 0.14 * scale, 0.08 * scale] for s in (-1, 1)])
    night = light.hour == "night"
    lamp_colour = rgb("fff4d0") if coming else rgb("d8342c") * (1.0 if night else 0.8)
    canvas.paint(canvas.cover(ellipses=ends), lamp_colour)
    if night:
        for end in ends:
            canvas.add(canvas.disc(float(end[0]), float(end[1]), 1.0 * scale), lamp_colour * 0.45)
