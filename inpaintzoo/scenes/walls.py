"""Walls in perspective and what is on them: brick or plaster, rows and columns of windows, doors and shops."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

from inpaintzoo.scenes import noise
from inpaintzoo.scenes.canvas import ColourLike, Coverage
from inpaintzoo.scenes.stage import Camera, Stage, mix, rgb, smoothstep

Material = Literal["brick", "plaster", "tower"]
GroundFloor = Literal["windows", "door", "shop"]

_WALLS: dict[Material, tuple[str, ...]] = {
    "brick": ("9c5a44", "a8664a", "8a4a3c", "b07a58", "7a4a42"),
    "plaster": ("e2d2b0", "d8b48a", "c9d2c4", "e6c7b4", "b9c7d6", "e9e4d8", "d9a58a", "c7b98a", "a9bfae"),
    "tower": ("8fa2b2", "a8adb0", "77899a", "b5a898", "8a9a98", "6f7f92"),
}
_TRIMS = ("f2efe6", "e6e0d2", "4a4640", "d8d4c8", "35423c")
_DOORS = ("7a3b2e", "2f4a3c", "34465e", "5a4028", "8a2f32", "3c3c40")
_AWNINGS = ("a33a32", "2f6b52", "32548a", "b0863a", "7a3f6a")


@dataclasses.dataclass(frozen=True)
class Wall:
    """An upright rectangle over the ground line from `start` to `end`, in metres.

    Attributes:
        start: (X, Z) of the left end as the viewer sees it.
        end: (X, Z) of the right end.
        top: height of the upper edge above the ground.
    """

    start: tuple[float, float]
    end: tuple[float, float]
    top: float

    @property
    def length(self) -> float:
        """Metres from end to end."""
        return float(np.hypot(self.end[0] - self.start[0], self.end[1] - self.start[1]))

    @property
    def distance(self) -> float:
        """Metres from the viewer to its middle."""
        return 0.5 * (self.start[1] + self.end[1])

    @property
    def normal(self) -> tuple[float, float]:
        """Horizontal direction (right, away) in which it faces, of unit length."""
        along = ((self.end[0] - self.start[0]) / self.length, (self.end[1] - self.start[1]) / self.length)
        return (along[1], -along[0])

    def project(self, camera: Camera, along: np.ndarray | float, height: np.ndarray | float) -> np.ndarray:
        """World positions of points that many metres along the wall and up."""
        t = np.asarray(along) / self.length
        x = self.start[0] + t * (self.end[0] - self.start[0])
        return camera.project(x, height, self.start[1] + t * (self.end[1] - self.start[1]))

    def rectangles(self, camera: Camera, boxes: np.ndarray) -> np.ndarray:
        """`(n, 4, 2)` world corners of `(n, 4)` boxes (from, to along the wall; bottom, top)."""
        return self.project(camera, boxes[:, [0, 1, 1, 0]], boxes[:, [2, 2, 3, 3]])

    def coordinates(self, camera: Camera, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Metres along the wall `(1, columns)` and up `(rows, columns)` at world positions; inverts `project`."""
        ray = (x - camera.vanish) / camera.focal
        across, away = self.end[0] - self.start[0], self.end[1] - self.start[1]
        divisor = across - ray * away
        t = (ray * self.start[1] - self.start[0]) / np.where(np.abs(divisor) < 1e-6, 1e-6, divisor)
        t = np.clip(t, -0.5, 1.5)
        depth = np.maximum(self.start[1] + t * away, 0.3)
        return t * self.length, camera.eye - (y - camera.horizon) * depth / camera.focal


@dataclasses.dataclass(frozen=True)
class FacadeStyle:
    """How a facade looks; lengths in metres, colours sRGB.

    Attributes:
        material: what the wall is made of.
        colour: colour of the wall.
        trim: colour of frames, sills and cornices.
        storey: height of a floor.
        bay: distance between windows.
        window: width and height of a window as fractions of bay and storey.
        bars: whether glazing bars divide the panes.
        shutters: whether the windows have shutters.
        lit: fraction of windows that are lit.
    """

    material: Material
    colour: np.ndarray
    trim: np.ndarray
    storey: float
    bay: float
    window: tuple[float, float]
    bars: bool
    shutters: bool
    lit: float


def draw_style(stage: Stage, material: Material | None = None) -> FacadeStyle:
    """Draw a style; at night and at dusk some windows are lit."""
    rng = stage.rng
    drawn: Material = "brick" if rng.random() < 0.42 else "plaster"
    material = material or drawn
    lit = {"night": stage.between(0.3, 0.7), "sunset": stage.between(0.05, 0.35)}.get(stage.light.hour, 0.0)
    tower = material == "tower"
    wide, tall = (
        (rng.uniform(0.6, 0.88), rng.uniform(0.5, 0.8)) if tower else (rng.uniform(0.38, 0.52), rng.uniform(0.5, 0.62))
    )
    return FacadeStyle(
        material=material,
        colour=stage.pick(_WALLS[material]),
        trim=stage.pick(_TRIMS, 0.02),
        storey=stage.between(3.4, 4.2) if tower else stage.between(2.9, 3.5),
        bay=stage.between(2.6, 4.0) if tower else stage.between(2.1, 3.0),
        window=(float(wide), float(tall)),
        bars=not tower and stage.chance(0.7),
        shutters=material == "plaster" and stage.chance(0.35),
        lit=lit,
    )


def facade(stage: Stage, wall: Wall, style: FacadeStyle, floor: GroundFloor = "windows") -> None:
    """Paint a wall with everything on it."""
    canvas, camera = stage.canvas, stage.camera
    patch = canvas.cover(wall.rectangles(camera, np.array([[0.0, wall.length, 0.0, wall.top]])))
    surface(stage, patch, wall, style)
    storeys = max(int(wall.top / style.storey), 1)
    bays = max(int((wall.length - 0.4) / style.bay), 1)
    bay, storey = (wall.length - 0.4) / bays, wall.top / storeys
    column, level = (axis.ravel() for axis in np.meshgrid(np.arange(bays), np.arange(storeys)))
    if floor == "shop" and storeys > 1:
        _shop(stage, wall, style, storey)
        column, level = column[level > 0], level[level > 0]
    entrance = int(stage.rng.integers(bays)) if floor == "door" else -1
    keep = ~((level == 0) & (column == entrance))
    middle, sill = 0.2 + (column[keep] + 0.5) * bay, (level[keep] + 0.5 - 0.46 * style.window[1]) * storey
    half, tall = 0.5 * style.window[0] * bay, style.window[1] * storey
    windows(stage, wall, style, np.column_stack([middle - half, middle + half, sill, sill + tall]))
    if entrance >= 0:
        _door(stage, wall, style, 0.2 + (entrance + 0.5) * bay, min(2.4, 0.8 * storey))


def surface(stage: Stage, patch: Coverage | None, wall: Wall, style: FacadeStyle) -> None:
    """Paint the bare wall inside a patch: bricks or plaster, darker at the foot and under the eaves."""
    offset = stage.rng.random()
    if patch is None:
        return
    canvas, light = stage.canvas, stage.light
    along, height = wall.coordinates(stage.camera, canvas.x[:, patch.columns], canvas.y[patch.rows])
    per_metre = stage.camera.focal * canvas.unit / wall.distance
    stains = noise.gather("rough", height / 14.0 + offset, along / 14.0)
    tone = 1.0 + 0.045 * stains
    if style.material == "brick":
        tone = tone + _bricks(along, height, per_metre)
    tone = (
        tone
        * (1.0 - 0.22 * np.exp(-np.maximum(height, 0) / 0.8))
        * (1.0 - 0.16 * smoothstep(-0.9, 0.0, height - wall.top))
    )
    own = light.on(style.colour, light.facing(wall.normal))
    canvas.paint(patch, light.hazed(own * tone[..., None], 0.5 * wall.distance), style.material)


def paint_boxes(
    stage: Stage, wall: Wall, boxes: np.ndarray, colour: ColourLike, part: str | None = None, alpha: float = 1.0
) -> None:
    """Paint `(n, 4)` boxes of a wall (from, to along it; bottom, top; in metres) in one colour; see `Canvas.paint`."""
    stage.canvas.paint(stage.canvas.cover(wall.rectangles(stage.camera, boxes)), colour, part, alpha)


def _bricks(along: np.ndarray, height: np.ndarray, per_metre: float) -> np.ndarray:
    """Relative brightness of brickwork; blends into its mean where a course is finer than two pixels."""
    course, length = 0.24, 0.62
    visible = float(np.clip(per_metre * course / 2.5 - 0.5, 0.0, 1.0))
    if visible == 0.0:
        return np.zeros_like(height)
    row = height / course
    column = along / length + 0.5 * (np.floor(row) % 2)
    stone = noise.gather("grain", np.floor(row) * 0.37, np.floor(column) * 0.73)
    joint = (row % 1.0 < 0.16) | (column % 1.0 < 0.07)
    return visible * np.where(joint, 0.20, 0.07 * stone - 0.05)


def windows(stage: Stage, wall: Wall, style: FacadeStyle, boxes: np.ndarray) -> None:
    """Paint windows in `(n, 4)` boxes of metres: frame, glass, bars, sill and shutters."""
    stage = stage.fork()
    canvas, camera, light = stage.canvas, stage.camera, stage.light
    lit = stage.rng.random(len(boxes)) < style.lit
    warmth, facing = stage.rng.random(), light.facing(wall.normal)
    if not len(boxes):
        return
    trim = light.on(style.trim, facing, wall.distance)
    grow = 0.06 if style.material == "tower" else 0.12
    if style.shutters:
        _shutters(stage, wall, boxes)
    if style.material != "tower":
        paint_boxes(stage, wall, boxes + np.array((-grow, grow, -grow, grow)), trim, style.material)
    dark = canvas.cover(wall.rectangles(camera, boxes[~lit]))
    if dark is not None:
        canvas.paint(dark, _glass(stage, dark, wall, style, len(np.unique(boxes[:, 2]))), "window")
    glow = canvas.cover(wall.rectangles(camera, boxes[lit]))
    if glow is not None:
        canvas.paint(glow, _lamplight(stage, glow, wall, mix(rgb("ffc862"), rgb("ffe6b0"), warmth)), "lit window")
    _window_details(stage, wall, style, boxes, trim)


def _window_details(stage: Stage, wall: Wall, style: FacadeStyle, boxes: np.ndarray, trim: np.ndarray) -> None:
    """Glazing bars, sills and shadows, unless they are finer than pixels."""
    canvas, camera = stage.canvas, stage.camera
    per_metre = camera.focal * canvas.unit / max(min(wall.start[1], wall.end[1]), 2.0)
    left, right, low, high = boxes.T
    if per_metre > 4.0:
        lintel = np.column_stack([left, right, high - 0.12, high])
        paint_boxes(stage, wall, lintel, (0.04, 0.05, 0.08), alpha=0.45)
    if style.bars and per_metre > 3.0:
        middle, level = 0.5 * (left + right), low + 0.62 * (high - low)
        upright = np.column_stack([middle - 0.035, middle + 0.035, low, high])
        across = np.column_stack([left, right, level - 0.03, level + 0.03])
        paint_boxes(stage, wall, np.concatenate([upright, across]), trim)
    if style.material != "tower" and per_metre > 3.0:
        sills = np.column_stack([left - 0.22, right + 0.22, low - 0.24, low - 0.08])
        paint_boxes(stage, wall, sills, np.minimum(trim * 1.06, 1.0), style.material)
        under = sills + np.array((0.0, 0.0, -0.14, -0.16))
        paint_boxes(stage, wall, under, (0.05, 0.05, 0.08), alpha=0.28)


def _glass(stage: Stage, patch: Coverage, wall: Wall, style: FacadeStyle, storeys: int) -> np.ndarray:
    """Dark panes that reflect a little sky, brighter towards the top, with slanted streaks."""
    canvas, light = stage.canvas, stage.light
    along, height = wall.coordinates(stage.camera, canvas.x[:, patch.columns], canvas.y[patch.rows])
    rise = (height / (wall.top / max(storeys, 1))) % 1.0
    streak = smoothstep(0.2, 0.9, np.sin((along + 0.7 * height) * 0.9))
    shine = (0.42 if style.material == "tower" else 0.16) + 0.22 * rise + 0.12 * streak
    sky = mix(light.sky[1], light.sky[2], 0.5)
    own = mix(light.on(rgb("2e3a48"), 0.5), sky, np.clip(shine, 0, 1))
    return light.hazed(own, 0.5 * wall.distance)


def _lamplight(stage: Stage, patch: Coverage, wall: Wall, colour: np.ndarray) -> np.ndarray:
    """A lit room behind its panes: brighter around the lamps, curtains as soft vertical folds."""
    canvas = stage.canvas
    along, height = wall.coordinates(stage.camera, canvas.x[:, patch.columns], canvas.y[patch.rows])
    room = noise.gather("billow", height / 9.0 + stage.rng.random(), along / 9.0 + stage.rng.random())
    folds = 0.03 * np.sin(7.0 * along)
    own = colour * (0.93 + 0.09 * np.clip(room, -1.5, 1.5) + folds)[..., None]
    return stage.light.hazed(own, 0.4 * wall.distance)


def _shutters(stage: Stage, wall: Wall, boxes: np.ndarray) -> None:
    left, right, low, high = boxes.T
    width = 0.42 * (right - left)
    both = np.concatenate([
        np.column_stack([left - width - 0.1, left - 0.1, low, high]),
        np.column_stack([right + 0.1, right + width + 0.1, low, high]),
    ])  # fmt: skip
    colour = stage.light.on(
        stage.pick(("4f6f5a", "5a6f8a", "8a5a48", "6a5a46")), stage.light.facing(wall.normal), wall.distance
    )
    paint_boxes(stage, wall, both, colour, "plaster")


def _door(stage: Stage, wall: Wall, style: FacadeStyle, middle: float, height: float) -> None:
    light = stage.light
    facing = light.facing(wall.normal)
    frame = np.array([[middle - 0.75, middle + 0.75, 0.0, height + 0.22]])
    paint_boxes(stage, wall, frame, light.on(style.trim, facing, wall.distance), style.material)
    leaf = frame + np.array((0.2, -0.2, 0.0, -0.2))
    colour = stage.pick(_DOORS)
    paint_boxes(stage, wall, leaf, light.on(colour, facing, wall.distance), "door")
    panels = leaf + np.array([[0.15, -0.6, 0.25, -1.35], [0.6, -0.15, 0.25, -1.35]])
    paint_boxes(stage, wall, panels, light.on(colour * 0.72, facing, wall.distance))
    fanlight = leaf + np.array((0.15, -0.15, height - 0.75, -0.1))
    glow = rgb("ffd98a") if style.lit > 0 else light.on(rgb("55687a"), 0.6)
    paint_boxes(stage, wall, fanlight, glow, "lit window" if style.lit > 0 else "window")
    step = np.array([[middle - 0.95, middle + 0.95, 0.0, 0.16]])
    paint_boxes(stage, wall, step, light.on(rgb("a8a49c"), facing, wall.distance), style.material)


def _shop(stage: Stage, wall: Wall, style: FacadeStyle, storey: float) -> None:
    """A shop front: panels, display windows, a door between them and an awning."""
    canvas, camera, light = stage.canvas, stage.camera, stage.light
    facing, colour = light.facing(wall.normal), stage.pick(_DOORS)
    front = np.array([[0.25, wall.length - 0.25, 0.0, storey - 0.25]])
    paint_boxes(stage, wall, front, light.on(colour, facing, wall.distance), style.material)
    panes = max(int(wall.length / 2.2), 2)
    edges = np.linspace(0.45, wall.length - 0.45, panes + 1)
    boxes = np.column_stack([edges[:-1] + 0.08, edges[1:] - 0.08, np.full(panes, 0.5), np.full(panes, storey - 1.0)])
    boxes[panes // 2, 2] = 0.05
    display = dataclasses.replace(
        style, bars=False, shutters=False, material="tower", lit=0.9 if style.lit > 0 else 0.0
    )
    windows(stage, wall, display, boxes)
    stripes = 2 * panes + 1
    bounds = np.linspace(0.3, wall.length - 0.3, stripes + 1)
    # The awning hangs out over the pavement: its lower edge is nearer to the viewer.
    near = tuple(np.array(wall.normal) * 0.9)
    out = Wall(
        (wall.start[0] + near[0], wall.start[1] + near[1]), (wall.end[0] + near[0], wall.end[1] + near[1]), wall.top
    )
    upper = wall.project(camera, bounds, storey - 0.45)
    lower = out.project(camera, bounds, storey - 1.15)
    cloth = np.stack([upper[:-1], upper[1:], lower[1:], lower[:-1]], axis=1)
    awning = stage.pick(_AWNINGS)
    canvas.paint(canvas.cover(cloth), light.on(rgb("eee8da"), min(facing + 0.15, 1.0), wall.distance), style.material)
    canvas.paint(canvas.cover(cloth[::2]), light.on(awning, min(facing + 0.15, 1.0), wall.distance))
