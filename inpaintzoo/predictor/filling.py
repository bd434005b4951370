"""Run a generator over the parts of a picture; it never sees a pixel of a hole."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from inpaintzoo.generator import Generator
from inpaintzoo.ops import composite, resize_mask
from inpaintzoo.pictures.boxes import Box
from inpaintzoo.pictures.picture import Picture
from inpaintzoo.predictor.planning import Limits, Part, feather, tiles
from inpaintzoo.types import InpaintzooError, Precision


@dataclasses.dataclass(frozen=True)
class Scene:
    """A picture with its hole, upright.

    Attributes:
        picture: its pixels.
        hole: `(H, W)` bool.
        guidance: `(H, W)`, bool or float32 permissions or int64 class ids, or None.
        opaque: whether filled pixels become opaque.
    """

    picture: Picture
    hole: np.ndarray
    guidance: np.ndarray | None = None
    opaque: bool = False

    def fills(self, parts: Sequence[FilledPart], samples: int) -> Iterator[np.ndarray]:
        """Pixels stored like the picture's, with the hole filled, one array per sample."""
        for number in range(samples):
            pixels = self.picture.stored.copy()
            if self.opaque and parts:
                upright = self.picture.upright(pixels)
                upright[self.hole] = self.picture.colours.opaque(upright[self.hole])
            for part in parts:
                self.picture.paste(pixels, part.box, part.hole, part.image(number))
            yield pixels


@dataclasses.dataclass(frozen=True)
class Window:
    """The input that a generator is shown.

    Attributes:
        image: `(3, h, w)` in [0, 1], black in the hole.
        mask: `(1, h, w)`, 1 = hole.
        guidance: `(1, h, w)` or None.
    """

    image: Tensor
    mask: Tensor
    guidance: Tensor | None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.image.shape[-2], self.image.shape[-1]


@dataclasses.dataclass(frozen=True)
class FilledPart:
    """A part of a picture with its hole filled.

    Attributes:
        box: the part.
        hole: `(h, w)` bool, the pixels to take from `images`.
        images: `(n, 3, h', w')`, n fills; smaller than the box if they were made at a smaller scale.
    """

    box: Box
    hole: np.ndarray
    images: Tensor

    def image(self, number: int) -> Tensor:
        """One fill, `(3, h, w)`."""
        image, size = self.images[number], (self.box.height, self.box.width)
        if image.shape[-2:] == size:
            return image
        return F.interpolate(image[None], size=size, mode="bicubic", align_corners=False)[0].clamp(0, 1)


@dataclasses.dataclass(frozen=True)
class PartFiller:
    """Fills parts of pictures with a generator.

    Attributes:
        generator: in eval mode, on the device.
        device: where it runs.
        precision: number format that it computes in.
        batch_size: windows to fill at once, at most.
        most_pixels: most pixels in a batch, unless a single window has more.
        samples: fills per hole; more than 1 need a stochastic generator.
        seed: seed of a stochastic model's fills.
    """

    generator: Generator
    device: torch.device
    precision: Precision
    batch_size: int
    most_pixels: float
    samples: int
    seed: int

    def fill(self, parts: Sequence[tuple[Scene, Part]], limits: Limits) -> list[FilledPart]:
        """Fill parts of one or more pictures, in batches of equal size."""
        images: dict[int, Tensor] = {}
        windows: dict[int, Window] = {}
        for number, (scene, part) in enumerate(parts):
            if part.how == "tile":
                images[number] = self._tiled(scene, part, limits)
            else:
                windows[number] = _window_of(scene, part, limits)
        images |= zip(windows, self._run(list(windows.values())), strict=True)
        return [FilledPart(part.box, part.hole, images[number]) for number, (_, part) in enumerate(parts)]

    def _tiled(self, scene: Scene, part: Part, limits: Limits) -> Tensor:
        height, width = part.box.height, part.box.width
        total, weight = torch.zeros(self.samples, 3, height, width), torch.zeros(height, width)
        needed = [tile for tile in tiles(height, width, limits) if part.hole[tile.slices].any()]
        for start in range(0, len(needed), self.batch_size):
            chosen = needed[start : start + self.batch_size]
            filled = self._run([_cut_window(scene, tile.moved(part.box.top, part.box.left)) for tile in chosen])
            for tile, images in zip(chosen, filled, strict=True):
                rows, columns = tile.slices
                weights = torch.from_numpy(feather(tile, height, width, limits.overlap))
                total[:, :, rows, columns] += weights * images
                weight[rows, columns] += weights
        return total.div_(weight.clamp_min(1e-6))

    def _run(self, windows: Sequence[Window]) -> list[Tensor]:
        """Fills `(n, 3, h, w)` of each window, known pixels unchanged."""
        # Maps of class ids, maps of permissions and no map mean different things, and cannot share a batch.
        alike: dict[tuple[tuple[int, int], torch.dtype | None], list[int]] = {}
        multiple, least = self.generator.size_multiple, self.generator.smallest_side
        for number, window in enumerate(windows):
            height, width = (-(-max(side, least) // multiple) * multiple for side in window.size)
            kind = None if window.guidance is None else window.guidance.dtype
            alike.setdefault(((height, width), kind), []).append(number)
        filled: dict[int, Tensor] = {}
        for (size, _), numbers in alike.items():
            at_once = max(1, min(self.batch_size, int(self.most_pixels // (size[0] * size[1]))))
            for start in range(0, len(numbers), at_once):
                chosen = numbers[start : start + at_once]
                filled |= zip(chosen, self._run_batch([windows[number] for number in chosen], size), strict=True)
        return [filled[number] for number in range(len(windows))]

    def _run_batch(self, windows: Sequence[Window], size: tuple[int, int]) -> list[Tensor]:
        """`_run` for windows that have one size when padded."""
        image = torch.stack([reflect_to(window.image, size) for window in windows]).to(self.device)
        mask = torch.stack([reflect_to(window.mask, size) for window in windows]).to(self.device)
        maps = [reflect_to(window.guidance, size) for window in windows if window.guidance is not None]
        reduced = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(self.precision)
        autocast = torch.autocast(self.device.type, dtype=reduced, enabled=reduced is not None)
        with torch.inference_mode(), autocast:
            filled = self._predict(image, mask, torch.stack(maps).to(self.device) if maps else None).float()
        if not torch.isfinite(filled).all():
            raise InpaintzooError(
                f"{type(self.generator).__name__} filled the hole with values that are not finite; "
                + ("are its weights damaged?" if self.precision == "float32" else "use precision float32")
            )
        # Enlarging and blending must not mix in predictions of known pixels.
        whole = torch.stack([composite(image, filled[:, number], mask) for number in range(filled.shape[1])], dim=1)
        return [
            images[..., : window.size[0], : window.size[1]]
            for images, window in zip(whole.clamp(0, 1).cpu(), windows, strict=True)
        ]

    def _predict(self, image: Tensor, mask: Tensor, guidance: Tensor | None) -> Tensor:
        if self.generator.stochastic:
            # Every window draws the same noise, whatever the batch, so that tiles of a hole agree.
            sources = [torch.Generator().manual_seed(self.seed) for _ in range(len(image))]
            return self.generator.sample(image, mask, self.samples, sources)
        if guidance is None:
            return self.generator(image, mask).image.unsqueeze(1)
        return self.generator(image, mask, guidance=guidance).image.unsqueeze(1)


def reflect_to(values: Tensor, size: tuple[int, int]) -> Tensor:
    """Extend `(..., h, w)` to the right and downwards by reflection, back and forth as often as needed."""
    for axis, length in zip((-2, -1), size, strict=True):
        side = values.shape[axis]
        if side < length:
            period = max(1, 2 * side - 2)
            places = torch.arange(length) % period
            values = values.index_select(axis, torch.where(places < side, places, period - places))
    return values


def _window_of(scene: Scene, part: Part, limits: Limits) -> Window:
    """The whole part, scaled down if planned so."""
    window = _cut_window(scene, part.box)
    if part.how != "resize":
        return window
    scale = limits.tile / part.box.side
    size = (max(1, round(part.box.height * scale)), max(1, round(part.box.width * scale)))
    mask = resize_mask(window.mask[None], size, "any")[0]  # a pixel with any hole in it is hole
    # The same cells as the mask's, so that nothing of the hole, not even its black, gets into a known pixel.
    image = F.adaptive_avg_pool2d(window.image[None], size)[0]
    return Window(Generator.hide_hole(image, mask), mask, _smaller_guidance(window.guidance, size))


def _cut_window(scene: Scene, box: Box) -> Window:
    mask = torch.from_numpy(np.ascontiguousarray(scene.hole[box.slices], dtype=np.float32))[None]
    image = Generator.hide_hole(scene.picture.read(box), mask)
    guidance = None
    if scene.guidance is not None:
        guidance = torch.from_numpy(np.ascontiguousarray(scene.guidance[box.slices]))[None]
    return Window(image, mask, guidance)


def _smaller_guidance(guidance: Tensor | None, size: tuple[int, int]) -> Tensor | None:
    if guidance is None:
        return None
    values = guidance[None].float()
    if guidance.is_floating_point() or guidance.dtype == torch.bool:
        # A pixel that is partly forbidden is forbidden.
        return (-F.adaptive_max_pool2d(-values, size))[0].to(guidance.dtype)
    return F.interpolate(values, size=size, mode="nearest-exact")[0].to(guidance.dtype)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on any device."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)
