"""The parts of a scene: each painted part, its class, and the tag it gives the picture."""

from __future__ import annotations

import numpy as np

SCENE_CLASSES: tuple[str, ...] = (
    "sky",
    "mountain",
    "field",
    "sand",
    "water",
    "tree",
    "road",
    "pavement",
    "building",
    "roof",
    "window",
    "fence",
    "pole",
    "car",
)
"""Names of the label values 0 to 13; `field` is open ground (meadow, crops or snow), `building` the walls."""

SCENE_COLOURS: tuple[tuple[int, int, int], ...] = (
    (135, 206, 235),
    (139, 115, 100),
    (150, 200, 80),
    (237, 201, 140),
    (40, 100, 190),
    (30, 110, 50),
    (80, 80, 85),
    (175, 175, 175),
    (200, 110, 80),
    (150, 40, 40),
    (250, 240, 130),
    (120, 70, 30),
    (200, 90, 200),
    (220, 20, 60),
)
"""RGB colours in which label maps are shown."""

# Part: (class, tag or None). The canvas keeps a map of parts; labels and most tags are read off that map, so
# neither can disagree with the picture.
_PARTS: dict[str, tuple[str, str | None]] = {
    "sky": ("sky", None),
    "cloud": ("sky", "clouds"),
    "sun": ("sky", "sun"),
    "moon": ("sky", "moon"),
    "rock": ("mountain", None),
    "snowcap": ("mountain", "snow-capped peaks"),
    "hill": ("mountain", "hills"),
    "meadow": ("field", None),
    "crop": ("field", "crop rows"),
    "flower": ("field", "flowers"),
    "snowfield": ("field", None),
    "sand": ("sand", None),
    "lake": ("water", "lake"),
    "river": ("water", "river"),
    "sea": ("water", "sea"),
    "conifer": ("tree", "conifer"),
    "deciduous": ("tree", "deciduous tree"),
    "palm": ("tree", "palm"),
    "bush": ("tree", "bush"),
    "asphalt": ("road", None),
    "marking": ("road", "lane markings"),
    "paving": ("pavement", None),
    "brick": ("building", "brick wall"),
    "plaster": ("building", None),
    "tower": ("building", "skyscraper"),
    "door": ("building", "door"),
    "gable roof": ("roof", "gable roof"),
    "flat roof": ("roof", "flat roof"),
    "window": ("window", None),
    "lit window": ("window", "lit windows"),
    "fence": ("fence", None),
    "pole": ("pole", None),
    "car": ("car", None),
}

PART_IDS: dict[str, int] = {name: number for number, name in enumerate(_PARTS)}
PART_CLASS: np.ndarray = np.array([SCENE_CLASSES.index(name) for name, _ in _PARTS.values()], dtype=np.uint8)

# Tags that no single pixel shows; the composition notes them.
_NOTES = ("day", "sunset", "night", "overcast", "stars", "fog", "rain", "snow", "autumn", "row of houses")

SCENE_TAGS: tuple[str, ...] = (*SCENE_CLASSES, *(tag for _, tag in _PARTS.values() if tag is not None), *_NOTES)
"""Names of the image-level tags: the classes present, then parts that can be seen, then light, weather and season."""


def tag_vector(parts: np.ndarray, notes: set[str]) -> np.ndarray:
    """The 0/1 tags of a picture.

    Args:
        parts: `(H, W)` uint8 map of part numbers.
        notes: tags that no pixel shows, see `Canvas.notes`.

    Returns:
        `(len(SCENE_TAGS),)` float32.
    """
    seen = np.flatnonzero(np.bincount(parts.ravel(), minlength=len(_PARTS)))
    pairs = list(_PARTS.values())
    found = {pairs[number][0] for number in seen} | {pairs[number][1] for number in seen} | notes
    return np.array([tag in found for tag in SCENE_TAGS], dtype=np.float32)
