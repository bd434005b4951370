"""The kinds of scenes: what stands where, painted from far to near."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from inpaintzoo.scenes import buildings, noise, plants, sky, street, terrain
from inpaintzoo.scenes.canvas import Canvas, Coverage
from inpaintzoo.scenes.stage import Camera, Stage
from inpaintzoo.scenes.walls import GroundFloor, Wall, draw_style, facade


def paint_scene(entropy: tuple[int, ...], height: int, width: int) -> Canvas:
    """Paint the scene that some seed numbers give.

    Args:
        entropy: seeds every choice; the same numbers give the same scene at any size.
        height: height in pixels.
        width: width in pixels.

    Returns:
        The canvas: image in [0, 1], parts and notes.
    """
    rng = np.random.default_rng(entropy)
    painter, (low, high), eye, _ = _KINDS[int(rng.choice(len(_KINDS), p=[kind[3] for kind in _KINDS]))]
    camera = Camera(
        horizon=float(rng.uniform(low, high)),
        eye=float(rng.uniform(*eye)),
        vanish=float(rng.uniform(0.35, 0.65)),
        focal=0.9,
    )
    stage = Stage(Canvas(height, width), rng, sky.draw_light(rng, camera.horizon), camera)
    sky.paint_sky(stage)
    painter(stage)
    sky.paint_weather(stage)
    sky.note_light(stage)
    sky.finish(stage)
    return stage.canvas


def _background(stage: Stage, high: float = 1.0) -> None:
    """Mountains or hills, and mist in front of them."""
    horizon = stage.camera.horizon
    if stage.chance(0.6):
        terrain.mountains(stage, horizon + 0.01, stage.between(0.16, 0.34) * high, stage.between(6000, 14000), True)
        if stage.chance(0.35):
            terrain.mountains(stage, horizon + 0.01, stage.between(0.08, 0.16) * high, stage.between(3000, 6000), False)
    for distance in (2500.0, 1200.0, 600.0)[int(stage.rng.integers(3)) :]:
        rise = stage.between(0.03, 0.10) * high * (0.6 + distance / 3000.0)
        terrain.hills(stage, horizon + 0.01, rise, distance, stage.chance(0.55))
    sky.paint_fog(stage)


def _trees(stage: Stage, count: int, near: float, far: float, keep: float = 0.0) -> None:
    """Trees scattered over the ground, `keep` metres clear to each side of the vanishing line; farthest first."""
    for z in np.sort(stage.rng.uniform(near**0.5, far**0.5, count) ** 2)[::-1]:
        span = 0.62 * z / stage.camera.focal
        side = stage.either_side()
        _tree(stage, side * stage.between(min(keep, span), span), float(z), stage.between(5.0, 10.0))


def _tree(stage: Stage, x: float, z: float, metres: float) -> None:
    foot = stage.camera.on_ground(x, z)
    height = metres * stage.camera.focal / z
    kind = stage.rng.random()
    if kind < 0.55:
        plants.deciduous(stage, *foot, height, z)
    elif kind < 0.88:
        plants.conifer(stage, *foot, height * 1.2, z)
    else:
        plants.bush(stage, *foot, height * 0.3, z)


def _house(stage: Stage, x: float, z: float) -> None:
    size = (stage.between(8.0, 12.0), stage.between(6.0, 8.0), stage.between(3.2, 6.0))
    buildings.house(stage, x, z, size, stage.between(-0.6, 0.6), draw_style(stage))
    if stage.chance(0.6):
        buildings.garden(stage, x, z - 5.0, size[0])


def _meadow(stage: Stage) -> None:
    eye = stage.camera.eye
    _background(stage)
    terrain.ground(stage)
    plants.wood(stage, stage.camera.horizon + 0.012, stage.between(0.02, 0.05), 250.0)
    if stage.chance(0.4) and stage.light.season != "winter":
        terrain.crops(stage, stage.between(-30, -2) * eye, stage.between(4, 30) * eye, 4.0 * eye, 60.0 * eye)
    elif stage.chance(0.6):
        patch = terrain.river(stage, 90.0 * eye)
        terrain.water(stage, patch, stage.camera.horizon, "river", stage.between(0.5, 0.9))
    if stage.chance(0.5):
        _trees(stage, int(stage.rng.integers(3, 8)), 30.0, 140.0)
        _house(stage, stage.between(-9.0, 9.0), stage.between(24.0, 38.0))
    else:
        _trees(stage, int(stage.rng.integers(5, 12)), 20.0, 140.0)
    if stage.chance(0.3):
        terrain.rocks(stage, 4)
    if stage.chance(0.4):
        street.fence(stage, stage.between(2.0, 5.0) * stage.either_side(), stage.between(-8, 8))
    side = stage.either_side()
    _tree(stage, side * stage.between(4.0, 7.0), stage.between(11.0, 16.0), stage.between(6.0, 9.0))
    terrain.blades(stage)


def _lake(stage: Stage) -> None:
    canvas, horizon = stage.canvas, stage.camera.horizon
    _background(stage, 1.15)
    terrain.ground(stage)
    shore = horizon + stage.between(0.015, 0.03)
    plants.wood(stage, shore + 0.001, stage.between(0.03, 0.08), 300.0)
    if stage.chance(0.4):
        _house(stage, stage.between(-18, 18), stage.camera.depth(shore + 0.004) * 0.9)
    near = stage.between(0.86, 1.15)
    bank = near - 0.05 * noise.profile(stage.rng, canvas.x[0], 3, 5)
    tilt = stage.between(-0.25, 0.25)
    bank = np.maximum(bank + tilt * (canvas.x[0] - 0.5), shore + 0.15)
    surface = canvas.below(
        np.full(canvas.width, shore, dtype=np.float32) + 0.002 * noise.profile(stage.rng, canvas.x[0], 6, 4)
    )
    if surface is not None:
        land = np.clip((canvas.y[surface.rows] - bank) * canvas.unit + 0.5, 0, 1)
        surface = Coverage(surface.rows, surface.columns, (surface.cover * (1.0 - land)).astype(np.float32))
    terrain.water(stage, surface, shore, "lake", stage.between(0.35, 1.0))
    if stage.chance(0.5):
        terrain.rocks(stage, 5)
    side = stage.either_side()
    for _ in range(int(stage.rng.integers(1, 4))):
        x = 0.5 + side * stage.between(0.30, 0.52)
        y, height = stage.between(0.92, 1.04), stage.between(0.35, 0.75)
        (plants.conifer if stage.chance(0.6) else plants.deciduous)(stage, x, y, height)
    terrain.blades(stage)


def _road(stage: Stage) -> None:
    half, curve = stage.between(2.8, 4.2), stage.between(-14.0, 14.0) if stage.chance(0.7) else 0.0
    marked = stage.chance(0.8)
    _background(stage)
    terrain.ground(stage)
    plants.wood(stage, stage.camera.horizon + 0.01, stage.between(0.015, 0.04), 300.0)
    if stage.chance(0.35):
        side = stage.either_side()
        spans = (half + 3.0, 60.0) if side > 0 else (-60.0, -half - 3.0)
        terrain.crops(stage, *spans, 5.0, 110.0)
    street.road(stage, half, curve, marked)
    with_lamps = stage.chance(0.45)
    _trees(stage, int(stage.rng.integers(3, 8)), 22.0, 120.0, half + 5.0)
    for side in (-1, 1):
        if stage.chance(0.35):
            _house(stage, side * (half + stage.between(8.0, 13.0)), stage.between(22.0, 34.0))
        if stage.chance(0.5):
            street.fence(stage, side * (half + 1.6), curve)
        if with_lamps:
            street.lamps(stage, side * (half + 0.9), curve)
        elif stage.chance(0.35):
            for z in (62.0, 44.0, 31.0, 21.0, 14.0):
                _tree(stage, side * (half + 3.4) + float(street.bend(curve, np.array(z))), z, stage.between(5.0, 8.0))
    if marked:
        for z, side in ((stage.between(30, 50), -1), (stage.between(12, 20), 1)):
            if stage.chance(0.45):
                middle = float(street.bend(curve, np.array(z)))
                street.car_behind(stage, middle + side * half / 2, z, side < 0)
    if stage.chance(0.5):
        side = stage.either_side()
        _tree(stage, side * (half + stage.between(2.5, 4.5)), stage.between(9.0, 13.0), stage.between(5.5, 8.0))


def _sea(stage: Stage) -> None:
    canvas, horizon = stage.canvas, stage.camera.horizon
    if stage.chance(0.55):
        terrain.mountains(stage, horizon + 0.004, stage.between(0.06, 0.16), stage.between(4000, 9000), True)
    elif stage.chance(0.5):
        buildings.skyline(stage, 900.0, 14, stage.between(80.0, 160.0))
    sky.paint_fog(stage)
    surface = canvas.below(np.full(canvas.width, horizon, dtype=np.float32))
    terrain.water(stage, surface, horizon, "sea", stage.between(0.0, 0.6))
    middle, tilt = stage.between(0.72, 0.92), stage.between(-0.35, 0.35)
    edge = middle + tilt * (canvas.x[0] - 0.5) + 0.018 * noise.profile(stage.rng, canvas.x[0], 3, 4)
    edge = np.maximum(edge, horizon + 0.1)
    terrain.sand(stage, edge)
    terrain.surf(stage, edge)
    if stage.chance(0.5):
        terrain.rocks(stage, 6)
    warm = stage.light.season != "winter"
    if stage.chance(0.75):
        side = 1.0 if tilt < 0 else -1.0
        for _ in range(int(stage.rng.integers(1, 4))):
            x = 0.5 + side * stage.between(0.22, 0.5)
            base, height = stage.between(0.9, 1.02), stage.between(0.5, 0.8)
            plants.palm(stage, x, base, height) if warm else plants.conifer(stage, x, base, height)


def _row_of_houses(stage: Stage) -> None:
    wall = stage.between(19.0, 26.0)
    sky.paint_fog(stage)
    if stage.chance(0.4):
        buildings.skyline(stage, 160.0, 8, stage.between(30.0, 60.0))
    kerb = wall - stage.between(3.5, 5.0)
    street.cross_street(stage, wall + 2.0, kerb)
    buildings.row(stage, wall, -0.75 * wall, 0.75 * wall)
    _street_front(stage, wall, kerb)


def _street_front(stage: Stage, wall: float, kerb: float) -> None:
    """Trees, lamps and cars between the houses and the viewer."""
    start, gap = stage.between(-16.0, -8.0), stage.between(7.0, 13.0)
    trees, lamps = stage.chance(0.6), stage.chance(0.65)
    for number, x in enumerate(np.arange(start, 16.0, gap)):
        z = kerb + 0.8
        if trees and number % 2 == 0:
            plants.deciduous(stage, *stage.camera.on_ground(x, z), stage.between(4.5, 7.0) * stage.camera.focal / z, z)
        elif lamps:
            street.lamp(stage, x, z, 5.0, stage.either_side())
    for x in stage.rng.uniform(-11.0, 11.0, int(stage.rng.integers(0, 4))):
        street.car(stage, float(x), kerb - 1.2, stage.either_side())


def _canyon(stage: Stage) -> None:
    half, tall = stage.between(7.0, 9.5), stage.chance(0.55)
    road_half = half - stage.between(2.6, 3.6)
    if stage.chance(0.6):
        buildings.skyline(stage, 400.0, 6, stage.between(60.0, 130.0))
    sky.paint_fog(stage)
    terrain.ground(stage)
    street.road(stage, road_half, 0.0, True)
    for side in (-1, 1):
        ends = (road_half, half) if side > 0 else (-half, -road_half)
        street.pavement(stage, *ends)
        street.kerb(stage, side * road_half)
        buildings.canyon(stage, half, side, tall)
    trees = stage.chance(0.5)
    for side in (-1, 1):
        if trees:
            for z in (70.0, 50.0, 36.0, 26.0, 18.0):
                foot = stage.camera.on_ground(side * (road_half + 0.9), z)
                plants.deciduous(stage, *foot, 5.5 * stage.camera.focal / z, z)
        else:
            street.lamps(stage, side * (road_half + 0.5), 0.0, 6.0, 14.0)
    for z, side in ((stage.between(34, 50), -1), (stage.between(22, 32), 1), (stage.between(11, 18), -1)):
        if stage.chance(0.55):
            street.car_behind(stage, side * road_half * 0.5, z, side < 0)


def _facade(stage: Stage) -> None:
    distance = stage.between(9.0, 13.0)
    style = draw_style(stage)
    floor: GroundFloor = "shop" if stage.chance(0.4) else "door"
    wall = Wall((-14.0, distance), (14.0, distance + stage.between(-2.5, 2.5)), style.storey * 5)
    street.cross_street(stage, distance + 3.0, distance - stage.between(2.2, 3.0))
    facade(stage, wall, style, floor)
    if stage.chance(0.5):
        street.lamp(stage, stage.between(-4.0, 4.0), distance - 2.0, 4.4, 1.0)
    for x in stage.rng.uniform(-5.0, 5.0, int(stage.rng.integers(0, 3))):
        plants.bush(stage, *stage.camera.on_ground(x, distance - 0.6), 0.09, distance)
    if stage.chance(0.35):
        street.car(stage, stage.between(-4.0, 4.0), distance - 3.6, 1.0)


def _skyline(stage: Stage) -> None:
    canvas, horizon = stage.canvas, stage.camera.horizon
    if stage.chance(0.4):
        terrain.hills(stage, horizon + 0.01, stage.between(0.04, 0.1), 2500.0, True)
    buildings.skyline(stage, 500.0, int(stage.rng.integers(16, 24)), stage.between(110.0, 190.0))
    sky.paint_fog(stage)
    shore = horizon + 0.012
    plants.wood(stage, shore, 0.028, 300.0, 170)
    surface = canvas.below(np.full(canvas.width, shore, dtype=np.float32))
    terrain.water(stage, surface, shore, "river", stage.between(0.3, 0.9))
    if stage.chance(0.6):
        quay = stage.between(0.9, 0.96)
        z = stage.camera.depth(quay)
        ends = np.array([[-1.0, quay], [2.0, quay], [2.0, 1.2], [-1.0, 1.2]])
        street.asphalt(stage, canvas.cover([ends]), stage.pick(("a7a39b", "b3ada0")), "paving")
        _railing(stage, z)
        for x in np.arange(stage.between(-2.0, 0.0), 1.0, 0.42) + 0.5:
            street.lamp(stage, (float(x) - stage.camera.vanish) * z / stage.camera.focal, z, 0.42 * z, 1.0)


def _railing(stage: Stage, z: float) -> None:
    camera, high = stage.camera, 0.1 * z
    xs = np.arange(-0.9 * z, 0.9 * z, 0.045 * z)
    w = 0.004 * z
    boxes = [camera.project(x + np.array([-w, w, w, -w]), np.array([0, 0, high, high]), z) for x in xs]
    for level in (0.35, 1.0):
        up = high * level + np.array([-w, -w, w, w])
        boxes.append(camera.project(np.array([-2 * z, 2 * z, 2 * z, -2 * z]), up, z))
    stage.canvas.paint(stage.canvas.cover(boxes), stage.light.on((0.25, 0.28, 0.31), 0.6), "fence")


# Painter, range of the horizon, range of the eye's height in metres, share of all scenes.
_KINDS: tuple[tuple[Callable[[Stage], None], tuple[float, float], tuple[float, float], float], ...] = (
    (_meadow, (0.42, 0.58), (2.2, 4.0), 0.19),
    (_lake, (0.40, 0.55), (3.0, 6.0), 0.15),
    (_road, (0.42, 0.56), (2.2, 3.6), 0.19),
    (_sea, (0.40, 0.55), (2.5, 4.0), 0.09),
    (_row_of_houses, (0.60, 0.68), (2.4, 3.4), 0.12),
    (_canyon, (0.50, 0.62), (2.2, 4.5), 0.08),
    (_facade, (0.60, 0.70), (1.7, 2.3), 0.10),
    (_skyline, (0.52, 0.66), (6.0, 10.0), 0.08),
)
