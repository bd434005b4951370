"""Houses, rows of houses, street canyons and skylines."""

from __future__ import annotations

import dataclasses

import numpy as np

from inpaintzoo.scenes.canvas import line
from inpaintzoo.scenes.plants import bush
from inpaintzoo.scenes.stage import Stage, mix, rgb
from inpaintzoo.scenes.walls import FacadeStyle, GroundFloor, Wall, draw_style, facade, paint_boxes, surface

_TILES = ("9c4a36", "7f4336", "5a5e68", "6a5648", "a85c3c", "4a4f58")


def _roof_colour(stage: Stage) -> np.ndarray:
    colour = stage.pick(_TILES)
    return mix(colour, rgb("e9eef4"), 0.88) if stage.light.season == "winter" else colour


def roof_plane(stage: Stage, corners: np.ndarray, colour: np.ndarray, facing: float, part: str) -> None:
    """A sloping roof with courses of tiles.

    Args:
        stage: where to paint.
        corners: `(4, 3)` in metres: eave left, eave right, ridge right, ridge left.
        colour: colour of the tiles.
        facing: how much it faces the light.
        part: its part.
    """
    stage = stage.fork()
    canvas, camera = stage.canvas, stage.camera
    distance = float(corners[:, 2].mean())
    outline = camera.project(*corners.T)
    tone = stage.light.on(colour, facing, distance)
    patch = canvas.cover([outline])
    if patch is None:
        return
    mottled = 1.0 + 0.045 * canvas.noise("grain", stage.rng, (0.6, 0.6), patch)
    canvas.paint(patch, tone * mottled[..., None], part)
    count = 9
    steps = np.linspace(0.0, 1.0, count + 1)[:-1, None]
    left = outline[0] + (outline[3] - outline[0]) * steps
    right = outline[1] + (outline[2] - outline[1]) * steps
    thick = (outline[3] - outline[0]) * 0.3 / count, (outline[2] - outline[1]) * 0.3 / count
    courses = np.stack([left, right, right + thick[1], left + thick[0]], axis=1)
    canvas.paint(canvas.cover(courses), tone * 0.72, alpha=0.55)


def house(stage: Stage, x: float, z: float, size: tuple[float, float, float], yaw: float, style: FacadeStyle) -> None:
    """A detached house with a gable roof.

    Args:
        stage: where to paint.
        x: metres from the vanishing line to its middle, positive to the right.
        z: metres from the viewer to its middle.
        size: length along the ridge, width of the gable and height of the walls, metres.
        yaw: rotation in radians; two walls can be seen.
        style: how the walls look.
    """
    length, width, top = size
    along, across = np.array([np.cos(yaw), np.sin(yaw)]), np.array([-np.sin(yaw), np.cos(yaw)])
    centre = np.array([x, z])
    rise, colour = width * stage.between(0.38, 0.6), _roof_colour(stage)
    corner = {(i, j): centre + i * along * length / 2 + j * across * width / 2 for i in (-1, 1) for j in (-1, 1)}
    foot = np.array([_xyz(point, 0.0) for point in corner.values()])
    shadow = np.concatenate([stage.cast(foot), stage.cast(foot + np.array((0.0, top + 0.6 * rise, 0.0)))])
    stage.shadow([_hull(shadow)], blur=0.004)
    # The eaves wall at j = -1 and one gable wall face the viewer.
    gable_side = 1 if (centre @ along) < 0 else -1
    reach = 0.45
    ridge = [centre + i * along * (length / 2 + reach) for i in (-1, 1)]
    eaves = {j: [corner[i, j] + i * along * reach + j * across * reach * 0.8 for i in (-1, 1)] for j in (-1, 1)}
    planes = {}
    for j in (-1, 1):
        low, high = top - 0.35 * rise / (width / 2) * reach, top + rise
        planes[j] = np.array([
            (*_xyz(eaves[j][0], low),), (*_xyz(eaves[j][1], low),), (*_xyz(ridge[1], high),), (*_xyz(ridge[0], high),)
        ])  # fmt: skip
    light = stage.light
    slopes = {j: float(np.clip(0.35 + 0.6 * light.facing((j * across[0], j * across[1])), 0, 1)) for j in (-1, 1)}
    roof_plane(stage, planes[1], colour, slopes[1], "gable roof")
    gable = (corner[gable_side, 1], corner[gable_side, -1]) if gable_side < 0 else (corner[1, -1], corner[1, 1])
    _gable_wall(stage, Wall(_xz(gable[0]), _xz(gable[1]), top), style, rise)
    facade(stage, Wall(_xz(corner[-1, -1]), _xz(corner[1, -1]), top), style, "door")
    _chimney(stage, centre + along * length * 0.22, top + rise, style)
    roof_plane(stage, planes[-1], colour, slopes[-1], "gable roof")


def _xyz(point: np.ndarray, height: float) -> tuple[float, float, float]:
    return float(point[0]), height, float(point[1])


def _xz(point: np.ndarray) -> tuple[float, float]:
    return float(point[0]), float(point[1])


def _gable_wall(stage: Stage, wall: Wall, style: FacadeStyle, rise: float) -> None:
    facade(stage, wall, style)
    apex = wall.project(
        stage.camera, np.array([0.0, wall.length, wall.length / 2]), np.array([wall.top, wall.top, wall.top + rise])
    )
    tall = dataclasses.replace(wall, top=wall.top + 3 * rise)
    surface(stage, stage.canvas.cover([apex]), tall, style)


def _hull(points: np.ndarray) -> np.ndarray:
    """Convex hull of a few points (monotone chain)."""
    ordered = points[np.lexsort((points[:, 1], points[:, 0]))]

    def half(sequence: np.ndarray) -> list[np.ndarray]:
        chain: list[np.ndarray] = []
        for point in sequence:
            while len(chain) > 1 and _turn(chain[-2], chain[-1], point) <= 0:
                chain.pop()
            chain.append(point)
        return chain[:-1]

    return np.array(half(ordered) + half(ordered[::-1]))


def _turn(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
    return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))


def _chimney(stage: Stage, place: np.ndarray, top: float, style: FacadeStyle) -> None:
    canvas, camera, light = stage.canvas, stage.camera, stage.light
    x, z = _xz(place)
    for left, right, facing in ((-0.4, 0.15, 0.6 - 0.3 * light.side), (0.15, 0.4, 0.6 + 0.3 * light.side)):
        box = camera.project(x + np.array([left, right, right, left]), top + np.array([-1.6, -1.6, 0.9, 0.9]), z)
        canvas.paint(canvas.cover([box]), light.on(rgb("8a5a48"), facing, z), "brick")


def row(stage: Stage, z: float, left: float, right: float) -> None:
    """Houses side by side along a street at `z` metres, from `left` to `right` metres; facades towards the viewer."""
    x = left
    stage.canvas.notes.add("row of houses")
    while x < right:
        width, storeys = stage.between(6.5, 13.0), int(stage.rng.integers(2, 5))
        style = draw_style(stage)
        floor: GroundFloor = ("windows", "door", "shop")[int(stage.rng.choice(3, p=(0.1, 0.55, 0.35)))]
        wall = Wall((x, z), (x + width, z), storeys * style.storey)
        kind = int(stage.rng.integers(3))
        if kind == 0:
            _eaves_roof(stage, wall, style)
        facade(stage, wall, style, floor)
        if kind == 1:
            _gable_front(stage, wall, style)
        elif kind == 2:
            _parapet(stage, wall, style)
        pipe = wall.rectangles(stage.camera, np.array([[-0.06, 0.08, 0.0, wall.top]]))
        tone = stage.light.on(rgb("55585c"), stage.light.facing(wall.normal), wall.distance)
        stage.canvas.paint(stage.canvas.cover(pipe), tone)
        x += width


def _eaves_roof(stage: Stage, wall: Wall, style: FacadeStyle) -> None:
    (x0, z), (x1, _) = wall.start, wall.end
    rise = stage.between(2.2, 4.0)
    _chimney(stage, np.array([x0 + (x1 - x0) * stage.between(0.15, 0.85), z + 3.0]), wall.top + rise + 0.4, style)
    corners = np.array([
        (x0 - 0.1, wall.top - 0.1, z - 0.3), (x1 + 0.1, wall.top - 0.1, z - 0.3),
        (x1 + 0.1, wall.top + rise, z + 2.5), (x0 - 0.1, wall.top + rise, z + 2.5),
    ])  # fmt: skip
    facing = 0.35 + 0.6 * stage.light.facing((0.0, -1.0))
    roof_plane(stage, corners, _roof_colour(stage), min(facing, 1.0), "gable roof")
    middle = x0 + (x1 - x0) * stage.between(0.3, 0.7)
    dormer = Wall((middle - 1.1, z + 0.2), (middle + 1.1, z + 0.2), wall.top + 0.62 * rise)
    if stage.chance(0.6):
        base = stage.camera.project(
            np.array([middle - 1.1, middle + 1.1, middle + 1.1, middle, middle - 1.1]),
            wall.top + rise * np.array([0.1, 0.1, 0.62, 0.95, 0.62]),
            z + 0.2,
        )
        surface(stage, stage.canvas.cover([base]), dormer, style)
        pane = dormer.rectangles(stage.camera, np.array([[0.55, 1.65, wall.top + 0.2 * rise, wall.top + 0.58 * rise]]))
        glow = style.lit > 0.2
        tone = rgb("ffd98a") if glow else stage.light.on(rgb("4a5a6a"), 0.6, z)
        stage.canvas.paint(stage.canvas.cover(pane), tone, "lit window" if glow else "window")


def _gable_front(stage: Stage, wall: Wall, style: FacadeStyle) -> None:
    canvas, camera = stage.canvas, stage.camera
    rise = (wall.length / 2) * stage.between(0.75, 1.15)
    x = np.array([0.0, wall.length, wall.length / 2])
    corners = wall.project(camera, x, np.array([wall.top, wall.top, wall.top + rise]))
    surface(stage, canvas.cover([corners]), dataclasses.replace(wall, top=wall.top + 3 * rise), style)
    edge = wall.project(
        camera,
        np.array([-0.3, wall.length / 2, wall.length + 0.3]),
        np.array([wall.top - 0.2, wall.top + rise + 0.15, wall.top - 0.2]),
    )
    thick = 0.55 * camera.focal / wall.distance
    tone = stage.light.on(_roof_colour(stage), 0.6, wall.distance)
    canvas.paint(canvas.cover([line(edge, thick)]), tone, "gable roof")
    middle = wall.length / 2
    centre = wall.project(camera, middle, wall.top + 0.34 * rise)
    radius = 0.62 * camera.focal / wall.distance
    canvas.paint(
        canvas.cover(ellipses=np.array([[*centre, radius * 1.25, radius * 1.25]])),
        stage.light.on(style.trim, 0.7, wall.distance),
        style.material,
    )
    canvas.paint(
        canvas.cover(ellipses=np.array([[*centre, radius, radius]])),
        stage.light.on(rgb("3c4a58"), 0.7, wall.distance),
        "window",
    )


def _parapet(stage: Stage, wall: Wall, style: FacadeStyle) -> None:
    canvas, camera, light = stage.canvas, stage.camera, stage.light
    facing = light.facing(wall.normal)
    cornice = np.array([[-0.2, wall.length + 0.2, wall.top - 0.15, wall.top + 0.55]])
    paint_boxes(stage, wall, cornice, light.on(style.trim, facing, wall.distance), "flat roof")
    lip = cornice + np.array((0, 0, 0.5, 0.12))
    paint_boxes(stage, wall, lip, light.on(style.trim * 0.75, facing, wall.distance), "flat roof")
    if camera.focal * canvas.unit / min(wall.start[1], wall.end[1]) < 4.0:
        return
    teeth = np.arange(0.1, wall.length, 0.7)
    blocks = np.column_stack(
        [teeth, teeth + 0.3, np.full(len(teeth), wall.top - 0.4), np.full(len(teeth), wall.top - 0.15)]
    )
    paint_boxes(
        stage,
        wall,
        blocks,
        light.on(style.trim * 0.85, facing, wall.distance),
        style.material,
    )


def canyon(stage: Stage, half: float, side: int, tall: bool) -> None:
    """Buildings along one side of a street that runs away from the viewer, farthest first.

    Args:
        stage: where to paint.
        half: metres from the vanishing line to the facades.
        side: -1 left, 1 right.
        tall: office towers instead of town houses.
    """
    ends = [stage.between(2.5, 5.0)]
    while ends[-1] < 110.0:
        ends.append(ends[-1] + stage.between(9.0, 16.0) * (1.6 if tall else 1.0))
    count, x = len(ends) - 1, side * half
    towers = stage.rng.random(count) < (0.8 if tall else 0.0)
    styles = [draw_style(stage, "tower" if tower else None) for tower in towers]
    tops = [
        style.storey * int(stage.rng.integers(6, 14) if tower else stage.rng.integers(2, 6))
        for style, tower in zip(styles, towers, strict=True)
    ]
    for number in reversed(range(count)):
        near, far, style, top = ends[number], ends[number + 1], styles[number], tops[number]
        if number > 0 and tops[number - 1] < top:  # otherwise the neighbour hides it
            front = ((x, near), (x + 16.0, near)) if side > 0 else ((x - 16.0, near), (x, near))
            facade(stage.fork(), Wall(*front, top), style)
        # On the right the far end is the left one, as the viewer sees it.
        wall = Wall((x, far), (x, near), top) if side > 0 else Wall((x, near), (x, far), top)
        facade(stage, wall, style, "shop" if near < 60 and stage.chance(0.4) else "windows")
        _parapet(stage, wall, style)


def skyline(stage: Stage, z: float, count: int, tallest: float) -> None:
    """A row of towers at `z` metres, in two depths."""
    span = 0.55 / stage.camera.focal * z
    for depth, share in ((1.5, 0.6), (1.0, 0.4)):
        for x in np.sort(stage.rng.uniform(-span, span, max(int(count * share), 1))) * depth:
            style = draw_style(stage, "tower" if stage.chance(0.85) else "brick")
            top = tallest * stage.between(0.25, 1.0) * (1.1 if depth > 1 else 0.75)
            width = stage.between(0.045, 0.11) * z * depth
            coarse = dataclasses.replace(
                style, storey=max(top / 14, 4.0), bay=width / int(stage.rng.integers(4, 9)), bars=False, shutters=False
            )
            wall = Wall((x - width / 2, z * depth), (x + width / 2, z * depth), top)
            facade(stage, wall, coarse)
            # The flank away from the light is a narrow darker strip.
            share = 0.3 * wall.length
            left, right = (0.0, share) if stage.light.side > 0 else (wall.length - share, wall.length)
            flank = wall.rectangles(stage.camera, np.array([[left, right, 0.0, wall.top]]))
            stage.canvas.multiply(stage.canvas.cover(flank), (0.78, 0.80, 0.86))
            _crown(stage, wall, style)


def _crown(stage: Stage, wall: Wall, style: FacadeStyle) -> None:
    canvas, camera, light = stage.canvas, stage.camera, stage.light
    tone = light.on(style.colour * 0.85, 0.5, wall.distance)
    kind, middle = int(stage.rng.integers(3)), wall.length / 2
    slab = np.array([[-0.02, 1.02, 0.0, 0.02]]) * (wall.length, wall.length, wall.top, wall.top) + (
        0,
        0,
        wall.top,
        wall.top,
    )
    paint_boxes(stage, wall, slab, tone, "flat roof")
    if kind == 0:
        setback = np.array([[0.2 * wall.length, 0.8 * wall.length, wall.top, wall.top * 1.1]])
        paint_boxes(stage, wall, setback, tone, "flat roof")
    elif kind == 1:
        mast = wall.project(camera, np.array([middle, middle]), np.array([wall.top, wall.top * 1.25]))
        canvas.paint(canvas.cover([line(mast, 0.003)]), tone, "pole")


def garden(stage: Stage, x: float, z: float, length: float) -> None:
    """Bushes in front of a house."""
    for _ in range(3):
        foot = stage.camera.on_ground(x + stage.between(-0.6, 0.6) * length, z)
        bush(stage, *foot, stage.between(0.9, 1.5) * stage.camera.focal / z, z)
