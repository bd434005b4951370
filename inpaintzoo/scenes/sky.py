"""Light and sky: the palette of each hour, clouds, sun, moon and stars; at the end fog, rain and snow."""

from __future__ import annotations

import numpy as np

from inpaintzoo.scenes.canvas import Coverage
from inpaintzoo.scenes.parts import PART_IDS
from inpaintzoo.scenes.stage import Hour, Light, Season, Stage, Weather, mix, rgb, smoothstep

# Zenith, half-way, horizon, haze, glow.
_PALETTES: dict[Hour, tuple[tuple[str, str, str, str, str], ...]] = {
    "day": (
        ("2f6fb8", "6fa8dc", "cfe4f2", "b9d2e6", "fff4d6"),
        ("3d86c6", "86bfe3", "dcecef", "c3dbe2", "fff3cf"),
        ("1f5aa6", "5b97d3", "bcd9ef", "a9c6e2", "fff6e0"),
        ("4a9ab8", "93cdd6", "f1efd9", "d3e0d6", "fff1c4"),
    ),
    "sunset": (
        ("3a4a86", "c0738f", "ffb56b", "e0977c", "ffd08a"),
        ("50407e", "d9708a", "ffc58a", "d98c86", "ffdca0"),
        ("2d5a8c", "d59a82", "ffd37a", "dca98a", "ffe39c"),
        ("6a3f6e", "e8705a", "ffae52", "d27f66", "ffc46a"),
        ("7c8fc4", "e6b3c4", "ffdcc0", "d9b4c0", "fff0d0"),
    ),
    "night": (
        ("0b1430", "1b2c58", "3f5688", "30446f", "cfdcff"),
        ("12102e", "2a2660", "64508a", "443b6a", "e6e0ff"),
        ("0a1e2e", "174258", "3d7080", "2a5264", "dcf2ff"),
    ),
    "overcast": (
        ("8b98a6", "aab4bd", "ced3d6", "bcc3c8", "ffffff"),
        ("9a9ea6", "b5b7ba", "dad6cf", "c9c6c2", "fff8ec"),
        ("6f7d8c", "8f9ba6", "b7bfc4", "a3adb4", "ffffff"),
    ),
}
_FACTORS: dict[Hour, tuple[tuple[float, ...], tuple[float, ...], float]] = {
    "day": ((1.10, 1.05, 0.95), (0.56, 0.62, 0.74), 0.85),
    "sunset": ((1.16, 0.85, 0.60), (0.48, 0.42, 0.56), 0.7),
    "night": ((0.50, 0.56, 0.76), (0.26, 0.30, 0.45), 0.45),
    "overcast": ((0.86, 0.87, 0.89), (0.66, 0.68, 0.72), 0.25),
}


def draw_light(rng: np.random.Generator, horizon: float) -> Light:
    """Draw hour, season and weather, and everything that depends on them."""
    hour: Hour = ("day", "sunset", "night", "overcast")[int(rng.choice(4, p=(0.47, 0.21, 0.14, 0.18)))]
    season: Season = ("summer", "autumn", "winter")[int(rng.choice(3, p=(0.66, 0.19, 0.15)))]
    weather = _draw_weather(rng, hour, season)
    palettes = _PALETTES[hour]
    tint = rng.uniform(-0.02, 0.02, 3).astype(np.float32)
    colours = [np.clip(rgb(code) + tint, 0, 1) for code in palettes[int(rng.integers(len(palettes)))]]
    lit, shade, shadow = _FACTORS[hour]
    side = 1.0 if rng.random() < 0.5 else -1.0
    ahead = rng.random() < {"day": 0.35, "sunset": 0.6, "night": 0.65, "overcast": 0.0}[hour]
    lift = float(rng.uniform(0.015, 0.12) if hour == "sunset" else rng.uniform(0.2, 0.42))
    sun = (0.5 + side * float(rng.uniform(0.05, 0.42)), max(horizon - lift, 0.07)) if ahead else None
    away = float(rng.uniform(0.3, 0.6)) * (1.0 if ahead else -1.0)
    up = 0.35 if hour == "sunset" else 0.6
    direction = np.array([side * 0.75, up, away]) / np.linalg.norm([0.75, up, away])
    foggy = rng.random() < (0.35 if hour == "overcast" else 0.09)
    return Light(
        hour=hour,
        season=season,
        weather=weather,
        sky=np.stack(colours[:3]),
        lit=np.array(lit, dtype=np.float32),
        shade=np.array(shade, dtype=np.float32),
        haze=colours[3],
        glow=colours[4],
        sun=sun,
        direction=(float(direction[0]), float(direction[1]), float(direction[2])),
        haze_length=float(rng.uniform(55.0, 130.0) if foggy else rng.uniform(1200.0, 3500.0)),
        shadow=shadow,
    )


def _draw_weather(rng: np.random.Generator, hour: Hour, season: Season) -> Weather:
    draw = rng.random()
    if season == "winter":
        return "snowfall" if draw < 0.45 else "dry"
    return "rain" if draw < (0.4 if hour == "overcast" else 0.06) else "dry"


def paint_sky(stage: Stage) -> None:
    """Gradient, sun or moon, stars and clouds over the entire canvas (the ground is painted over it)."""
    canvas, light, horizon = stage.canvas, stage.light, max(stage.camera.horizon, 0.15)
    t = np.clip(canvas.y[:, 0] / horizon, 0.0, 1.0)
    gradient = mix(light.sky[0], light.sky[1], smoothstep(0.0, 0.65, t))
    gradient = mix(gradient, light.sky[2], smoothstep(0.35, 1.0, t))
    canvas.image[:] = gradient[:, None, :]
    _paint_stars(stage)
    _paint_sun(stage)
    _paint_clouds(stage)


def _paint_stars(stage: Stage) -> None:
    canvas, rng = stage.canvas, stage.rng
    places, sizes = rng.random((90, 2)), rng.random(90) ** 3
    if stage.light.hour != "night" or stage.light.haze_length < 200:
        return
    canvas.notes.add("stars")
    stars = np.column_stack([places * (1.0, stage.camera.horizon * 0.9), *([0.0007 + 0.0016 * sizes] * 2)])
    canvas.add(canvas.cover(ellipses=stars), (0.85, 0.88, 0.95))


def _paint_sun(stage: Stage) -> None:
    stage = stage.fork()
    canvas, light = stage.canvas, stage.light
    radius = stage.between(0.022, 0.04)
    if light.sun is None or light.haze_length < 200:
        return
    x, y = light.sun
    night = light.hour == "night"
    canvas.add(canvas.disc(x, y, 0.75, 2.5), light.glow * (0.10 if night else 0.34))
    canvas.add(canvas.disc(x, y, 0.22, 2.0), light.glow * (0.16 if night else 0.40))
    disc = canvas.cover(ellipses=np.array([[x, y, radius, radius]]))
    if not night:
        canvas.paint(disc, 2.0 * mix(light.glow, (1, 1, 1), 0.5), "sun")
    elif disc is not None:
        spots = canvas.noise("billow", stage.rng, (1.0, 1.0), disc)[..., None]
        canvas.paint(disc, np.array([0.93, 0.94, 0.9]) - 0.10 * smoothstep(-0.6, 0.6, spots), "moon")


def _paint_clouds(stage: Stage) -> None:
    stage = stage.fork()
    canvas, light, rng = stage.canvas, stage.light, stage.rng
    end = canvas.row(stage.camera.horizon + 0.02)
    amount = stage.between(-0.75, 0.95) if light.hour != "overcast" else stage.between(0.7, 1.6)
    stretch, seed = stage.between(0.55, 1.0), rng.integers(2**31)
    if amount < -0.55 or end < 4:
        return
    # Clouds lie flat: rows crowd together towards the horizon. The same field, shifted to the sun, gives the lit edges.
    t = np.clip(canvas.y[:end, 0] / max(stage.camera.horizon + 0.02, 0.1), 0.0, 1.0)
    place = 1.1 * t / (2.1 - t) * (end - 1)
    row = np.minimum(place.astype(np.int32), end - 2)
    patch = Coverage(slice(0, end), slice(0, canvas.width), np.ones((end, canvas.width), dtype=np.float32))
    fields = []
    for shift in (0.0, 0.012):
        offset = (-shift, light.side * shift)
        field = canvas.noise("billow", np.random.default_rng(seed), (stretch, stretch * 0.5), patch, offset)
        fields.append(field[row] + (field[row + 1] - field[row]) * (place - row)[:, None])
    density, towards = fields
    cover = smoothstep(0.0, 0.9, density + amount - 0.35) * (0.95 - 0.35 * t[:, None] ** 3)
    bright = np.clip(0.62 + 0.9 * (density - towards) - 0.10 * (density + amount - 0.5), 0.0, 1.0)
    white = {"day": (1.0, 1.0, 0.99), "sunset": mix(light.glow, (1, 1, 1), 0.25), "night": light.sky[2] * 1.5}
    top = np.asarray(white.get(light.hour, (0.90, 0.91, 0.92)), dtype=np.float32)
    base = mix(light.sky[1] * 0.82, light.shade, 0.15) if light.hour != "day" else np.array([0.66, 0.71, 0.79])
    colour = mix(mix(base, top, bright), light.sky[2], 0.5 * np.broadcast_to(t[:, None] ** 4, bright.shape))
    patch = Coverage(slice(0, end), slice(0, canvas.width), cover.astype(np.float32))
    canvas.paint(patch, colour, "cloud")


def paint_fog(stage: Stage) -> None:
    """Mist at the horizon: a little on clear days, a lot in fog."""
    canvas, light, horizon = stage.canvas, stage.light, stage.camera.horizon
    foggy = light.haze_length < 200
    strength, depth = (0.6, 0.22) if foggy else (0.16, 0.05)
    cover = strength * np.exp(-(((canvas.y - horizon) / depth) ** 2)) * np.ones_like(canvas.x)
    canvas.paint(Coverage(slice(0, canvas.height), slice(0, canvas.width), cover.astype(np.float32)), light.haze)
    if foggy:
        canvas.notes.add("fog")


def paint_weather(stage: Stage) -> None:
    """Rain streaks or snowflakes, near and far."""
    canvas, rng, weather = stage.canvas, stage.rng, stage.light.weather
    places, size, slant = rng.random((260, 2)), rng.random(260), stage.between(-0.25, 0.25)
    if weather == "dry":
        return
    if weather == "rain":
        canvas.notes.add("rain")
        reach = (0.02 + 0.035 * size)[:, None] * np.array([slant, 1.0])
        aside = np.column_stack([0.0006 + 0.0007 * size, np.zeros(260)])
        streaks = np.stack([places - aside, places + aside, places + reach + aside, places + reach - aside], axis=1)
        canvas.paint(canvas.cover(streaks), (0.86, 0.89, 0.93), alpha=0.30)
        return
    radius = 0.0012 + 0.0042 * size**3
    canvas.paint(canvas.cover(ellipses=np.column_stack([places, radius, radius])), (0.97, 0.98, 1.0), alpha=0.85)


def finish(stage: Stage) -> None:
    """Vignette, grain and a soft shoulder instead of clipped highlights; the image is in [0, 1] afterwards."""
    canvas = stage.canvas
    image = canvas.image
    x, y = canvas.x - 0.5, canvas.y - 0.5
    image *= (1.03 - 0.30 * (x * x + y * y))[..., None]
    image += (canvas.noise("grain", stage.rng, (1.0, 1.0)) * 0.005)[..., None]
    bright = image > 0.85
    image[bright] = 1.0 - 0.15 * np.exp((0.85 - image[bright]) * (1 / 0.15))
    np.clip(image, 0.0, 1.0, out=image)


def note_light(stage: Stage) -> None:
    """Note the tags of hour and season, if the finished picture shows them."""
    canvas, light = stage.canvas, stage.light

    def shows(*parts: str) -> bool:
        return bool(np.isin(canvas.parts, [PART_IDS[part] for part in parts]).any())

    canvas.notes.add(light.hour)
    if light.season == "winter" and (
        light.weather == "snowfall" or shows("snowfield", "conifer", "bush", "gable roof")
    ):
        canvas.notes.add("snow")
    if light.season == "autumn" and shows("deciduous", "bush", "meadow"):
        canvas.notes.add("autumn")
    if not shows("sky", "cloud"):
        canvas.notes.discard("stars")


def lamp_glow(stage: Stage, x: float, y: float, radius: float) -> None:
    """Warm light around a lamp at night; none by day."""
    if stage.light.hour == "night":
        stage.canvas.add(stage.canvas.disc(x, y, radius, 2.2), (0.55, 0.40, 0.18))
