"""The stage that every painter works on: canvas, random numbers, light and camera."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

from inpaintzoo.scenes import noise
from inpaintzoo.scenes.canvas import Canvas, ColourLike, Coverage
from inpaintzoo.scenes.parts import PART_IDS

Hour = Literal["day", "sunset", "night", "overcast"]
Season = Literal["summer", "autumn", "winter"]
Weather = Literal["dry", "rain", "snowfall"]

GROUND_PARTS = np.array([PART_IDS[name] for name in ("meadow", "crop", "snowfield", "sand", "asphalt", "paving")])


def rgb(code: str) -> np.ndarray:
    """A colour from its hexadecimal name, as `(3,)` float32 in [0, 1]."""
    return np.array([int(code[i : i + 2], 16) for i in (0, 2, 4)], dtype=np.float32) / np.float32(255)


def mix(first: ColourLike, second: ColourLike, amount: float | np.ndarray) -> np.ndarray:
    """From `first` (amount 0) to `second` (amount 1); an array of amounts gives an array of colours."""
    first, second = np.asarray(first, dtype=np.float32), np.asarray(second, dtype=np.float32)
    weight = np.asarray(amount, dtype=np.float32)
    return first + (second - first) * (weight[..., None] if weight.ndim else weight)


def smoothstep(low: float, high: float, x: np.ndarray) -> np.ndarray:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((x - low) * np.float32(1.0 / (high - low)), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


@dataclasses.dataclass(frozen=True)
class Light:
    """Hour, weather and season, and the colours that follow.

    Attributes:
        hour: decides the palette.
        season: decides leaves and ground.
        weather: what falls.
        sky: `(3, 3)` colours at the zenith, half-way down and at the horizon.
        lit: factor on the colour of a surface that faces the sun.
        shade: factor on the colour of a surface that does not.
        haze: colour of the distance.
        glow: colour of the sun's or moon's light.
        sun: world position of sun or moon in the picture, or None if it is behind the viewer.
        direction: towards the sun, (right, up, away), of unit length.
        haze_length: metres until haze covers about 63 % of a colour.
        shadow: how dark cast shadows are, 0 to 1.
    """

    hour: Hour
    season: Season
    weather: Weather
    sky: np.ndarray
    lit: np.ndarray
    shade: np.ndarray
    haze: np.ndarray
    glow: np.ndarray
    sun: tuple[float, float] | None
    direction: tuple[float, float, float]
    haze_length: float
    shadow: float

    @property
    def side(self) -> float:
        """-1 for light from the left, 1 for light from the right."""
        return 1.0 if self.direction[0] >= 0 else -1.0

    def on(self, colour: ColourLike, facing: float | np.ndarray = 0.7, distance: float = 0.0) -> np.ndarray:
        """How a surface looks.

        Args:
            colour: its own colour.
            facing: from 0, turned away from the sun, to 1, turned towards it.
            distance: metres, for the haze.
        """
        lit = np.asarray(colour, dtype=np.float32) * mix(self.shade, self.lit, facing)
        return self.hazed(lit, distance)

    def hazed(self, colour: ColourLike, distance: float) -> np.ndarray:
        """A colour seen through `distance` metres of air."""
        return mix(colour, self.haze, 1.0 - float(np.exp(-distance / self.haze_length)))

    def facing(self, normal: tuple[float, float]) -> float:
        """How much a wall with the horizontal normal (right, away) faces the light, 0.1 to 1."""
        return float(np.clip(0.42 + 0.58 * (normal[0] * self.direction[0] + normal[1] * self.direction[2]), 0.1, 1.0))


@dataclasses.dataclass(frozen=True)
class Camera:
    """A level pinhole camera over flat ground; X to the right, Y up, Z away, in metres.

    Attributes:
        horizon: world height of the horizon.
        eye: height of the camera above the ground, metres.
        vanish: world x where lines straight away from the viewer meet.
        focal: focal length in world units.
    """

    horizon: float
    eye: float
    vanish: float = 0.5
    focal: float = 1.0

    def project(self, x: np.ndarray | float, y: np.ndarray | float, z: np.ndarray | float) -> np.ndarray:
        """World positions `(..., 2)` of points in metres (broadcast); points nearer than 0.5 m are moved there."""
        depth = np.maximum(np.asarray(z, dtype=np.float64), 0.5)
        across = self.vanish + self.focal * np.asarray(x) / depth
        down = self.horizon + self.focal * (self.eye - np.asarray(y)) / depth
        return np.stack(np.broadcast_arrays(across, down), axis=-1)

    def on_ground(self, x: float, z: float) -> tuple[float, float]:
        """World position of a point on the ground, in metres to the right and away."""
        across, down = self.project(x, 0.0, z)
        return float(across), float(down)

    def depth(self, y: float) -> float:
        """Distance in metres of the ground at world height `y` (below the horizon)."""
        return self.focal * self.eye / max(y - self.horizon, 1e-4)


@dataclasses.dataclass
class Stage:
    """Canvas, random numbers, light and camera of one scene.

    No draw from `rng` may depend on the canvas' size: this keeps a scene the same at any resolution.
    """

    canvas: Canvas
    rng: np.random.Generator
    light: Light
    camera: Camera

    def fork(self) -> Stage:
        """The same stage with random numbers of its own.

        Its draws do not advance the original stage's, so a painter may stop early once it is outside the picture.
        """
        return dataclasses.replace(self, rng=np.random.default_rng(int(self.rng.integers(2**62))))

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return bool(self.rng.random() < probability)

    def either_side(self) -> int:
        """-1 or 1, for left or right."""
        return 1 if self.chance(0.5) else -1

    def between(self, low: float, high: float) -> float:
        """A uniform number."""
        return float(self.rng.uniform(low, high))

    def pick(self, codes: tuple[str, ...], jitter: float = 0.04) -> np.ndarray:
        """One of several colours, varied a little."""
        colour = rgb(codes[int(self.rng.integers(len(codes)))])
        return np.clip(colour + self.rng.uniform(-jitter, jitter, 3), 0.0, 1.0).astype(np.float32)

    def ground_grid(self, patch: Coverage) -> tuple[np.ndarray, np.ndarray]:
        """Ground coordinates in metres of a patch's pixels: X `(rows, columns)` and Z `(rows, 1)`."""
        camera, canvas = self.camera, self.canvas
        z = camera.focal * camera.eye / np.maximum(canvas.y[patch.rows] - camera.horizon, 0.2 / canvas.unit)
        return (canvas.x[:, patch.columns] - camera.vanish) * z / camera.focal, z

    def ground_noise(self, kind: noise.NoiseKind, patch: Coverage, period: float) -> np.ndarray:
        """Noise that lies on the ground, `period` metres per texture; it fades where pixels are too coarse for it."""
        x, z = self.ground_grid(patch)
        oy, ox = self.rng.random(2)
        step = z * z / (self.camera.focal * self.camera.eye * self.canvas.unit) * (256.0 / period)
        return noise.gather(kind, z / period + oy, x / period + ox) / np.maximum(1.0, step) ** 0.7

    def shadow(self, polygons: list[np.ndarray] | np.ndarray, strength: float = 1.0, blur: float = 0.004) -> None:
        """Cast a soft shadow on the ground parts inside some polygons."""
        dark = 1.0 - self.light.shadow * strength * np.array([0.62, 0.55, 0.42], dtype=np.float32)
        self.canvas.multiply(self.canvas.cover(polygons, blur=blur), dark, only=GROUND_PARTS)

    def cast(self, outline: np.ndarray) -> np.ndarray:
        """World positions on the ground where the points (X, Y, Z) of an outline cast their shadow."""
        right, up, away = self.light.direction
        reach = np.minimum(outline[:, 1] / max(up, 0.25), 4.0 * outline[:, 1])
        return self.camera.project(outline[:, 0] - right * reach, 0.0, outline[:, 2] - away * reach)
