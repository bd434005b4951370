"""Built-in procedural scenes: landscapes and streets with exact labels, so that everything runs without a download.

| module | contains |
|---|---|
| `parts` | the table of parts, classes and tags |
| `noise`, `canvas` | fractal textures; shapes with colour and label through one coverage mask |
| `stage`, `sky` | light, camera and random numbers; sky, clouds, air and weather |
| `terrain`, `plants`, `walls`, `buildings`, `street` | the things in a scene |
| `compose` | the kinds of scenes |
"""

from inpaintzoo.scenes.compose import paint_scene
from inpaintzoo.scenes.parts import SCENE_CLASSES, SCENE_COLOURS, SCENE_TAGS

__all__ = ["SCENE_CLASSES", "SCENE_COLOURS", "SCENE_TAGS", "paint_scene"]
