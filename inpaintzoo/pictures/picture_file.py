"""Picture files in and out, with every bit and all metadata.

Pillow reads and writes the pixels, except for 16-bit colour, which it has no mode for: see `deep`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, JpegImagePlugin

from inpaintzoo.files.writing import write_whole
from inpaintzoo.pictures.colours import Colours, colours_of_image
from inpaintzoo.pictures.deep import deep_planes, deep_reader, write_deep
from inpaintzoo.pictures.images import IMAGE_SUFFIXES, JPEG_SUFFIXES, open_image, orientation_of, turn
from inpaintzoo.pictures.metadata import add_metadata, stored_metadata, upright_exif, upright_info, upright_xmp
from inpaintzoo.pictures.picture import Picture, image_like
from inpaintzoo.pictures.pngs import is_text, png_info
from inpaintzoo.pictures.tiffs import black_is_zero, check_channels
from inpaintzoo.types import DataError

FORMATS = {
    **dict.fromkeys(JPEG_SUFFIXES, "JPEG"),
    **{".png": "PNG", ".bmp": "BMP", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"},
}
_MODES = {
    "JPEG": ("L", "RGB", "CMYK", "YCbCr"),
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I;16B", "I"),
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
    "WEBP": ("RGB", "RGBA"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I;16B", "I", "F"),
}
_LOSSLESS_TIFF = {"raw", "packbits", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "zstd", "lzma"}
_LOSSLESS_TIFF |= {"group3", "group4"}  # for 1-bit pictures
DEEP = "16-bit colour"
_SEGMENT = 65533  # bytes that a segment of a JPEG file holds, minus what it begins with or Pillow needs:
_SEGMENT_HEADS = {"EXIF": 0, "XMP": len(b"http://ns.adobe.com/xap/1.0/\0"), "comment": 533}
# Resolution: the step in pixels per inch that a format counts in, and the largest number of steps.
_RESOLUTIONS = {
    "PNG": (0.0254, 2**31 - 1),
    "BMP": (0.0254, 2**31 - 1),
    "JPEG": (1, 65535),
    "TIFF": (0.001, 1000 * (2**32 - 1)),
}


@dataclasses.dataclass(frozen=True)
class PictureFile:
    """A picture file that was read.

    Attributes:
        path: the file.
        picture: its pixels; `finish` makes an upright Pillow image.
        mode: Pillow's mode, or `DEEP`.
        format: Pillow's name of the format.
        metadata: options of Pillow's `save` that keep the file's metadata.
        encoding: options that keep the compression if the format stays the same.
        note: called with a sentence about what is left out.
    """

    path: Path
    picture: Picture
    mode: str
    format: str
    metadata: dict[str, Any]
    encoding: dict[str, Any]
    note: Callable[[str], None]

    def check_target(self, target: Path) -> None:
        """Raise `DataError` unless a file with the target's suffix can hold this picture."""
        wanted = format_of(target)
        if self.mode == DEEP and wanted in ("PNG", "TIFF"):
            return
        if self.mode not in _MODES[wanted]:
            fitting = [name for name, modes in _MODES.items() if self.mode in modes] or ["PNG", "TIFF"]
            raise DataError(
                f"{target}: {wanted} does not hold pictures of mode {self.mode} such as {self.path}; write "
                f"{' or '.join(fitting)}"
            )
        for name, head in _SEGMENT_HEADS.items() if wanted == "JPEG" else ():
            size = len(self.metadata.get(name.lower(), b""))
            if size > _SEGMENT - head:
                fitting = [other for other in ("PNG", "TIFF", "WEBP") if self.mode in _MODES[other]]
                raise DataError(
                    f"{target}: JPEG holds {_SEGMENT - head} bytes of {name} and {self.path} has {size}; write "
                    f"{' or '.join(fitting)}"
                )

    def write(self, pixels: np.ndarray, target: Path, complete: Callable[[Path], object] | None = None) -> None:
        """Write pixels stored like the picture's, upright and with the metadata, completely or not at all.

        Args:
            pixels: the pixels.
            target: the file.
            complete: as for `write_whole`.
        """
        self.check_target(target)
        write_whole(target, lambda file: self._save(pixels, file, format_of(target)), complete)

    def _save(self, pixels: np.ndarray, file: str, form: str) -> None:
        metadata = dict(self.metadata)
        step, most = _RESOLUTIONS.get(form, (1, 0))
        if not all(1 <= round(value / step) <= most for value in metadata.get("dpi", ())):
            del metadata["dpi"]  # the format cannot express it
        if self.mode == DEEP:
            if form == "TIFF" and "transparency" in metadata:
                self.note(f"{self.path}: TIFF has no colour that counts as transparent: it is opaque now")
            write_deep(self.picture.upright(pixels), file, form, metadata)
        else:
            options = {**_known_to_writer(metadata, form), **(self.encoding if self.format == form else {})}
            if form == "JPEG" and not options.get("qtables"):
                options.update(quality=95, subsampling=0)
            if form == "WEBP":
                options.update(lossless=True, exact=True)
            self.picture.finish(pixels).save(file, format=form, **options)
        if form == "PNG" and not is_text(metadata.get("xmp", b"")):
            self.note(f"{self.path}: its XMP is not UTF-8, which PNG requires: it is left out")
        if form == "TIFF":
            add_metadata(file, self.metadata.get("exif", b""), self.metadata.get("xmp", b""), self.path, self.note)


def format_of(path: Path) -> str:
    """Pillow's name for the format of a suffix.

    Raises:
        DataError: no picture is written with this suffix.
    """
    if path.suffix.lower() not in FORMATS:
        raise DataError(f"{path}: cannot tell the format; use one of {' '.join(IMAGE_SUFFIXES)}")
    return FORMATS[path.suffix.lower()]


def read_picture(path: str | Path, note: Callable[[str], None]) -> PictureFile:
    """Read a picture file with every bit, upright.

    Args:
        path: the file.
        note: called with a sentence about anything left out, now and when the picture is written.

    Raises:
        DataError: the file is missing, damaged, not an image, or of a kind that cannot be filled; the message names it.
    """
    with open_image(path, load=False) as image:
        frames = getattr(image, "n_frames", 1)
        if frames > 1 and image.format != "MPO":  # MPO's other frames are the camera's previews
            note(f"{path}: only the first of its {frames} frames is read and written")
        deep = deep_reader(image, path)
        stored = orientation_of(image) if image.format == "TIFF" else 1
        form = "JPEG" if image.format == "MPO" else str(image.format)
        pixels, colours = (deep or _plain_pixels)(image, path)
        # After decoding, since some formats store these after the pixels. Pillow turns TIFF files upright as it decodes
        # them, but some versions keep the orientation in the metadata.
        upright = image.format == "TIFF" and deep is not deep_planes
        orientation = 1 if upright else orientation_of(image)
        metadata = _kept_metadata(image, path, max(stored, orientation) >= 5, note)
        encoding = _encoding(image)

    def finish(filled: np.ndarray) -> Image.Image:
        if deep:
            raise DataError(f"{path}: Pillow has no mode for 16-bit colour; use Predictor.fill_file, or pass an array")
        made = image_like(image, turn(filled, orientation))
        made.info = upright_info(made.info, metadata)
        return made

    mode = DEEP if deep else image.mode
    picture = Picture(pixels, colours, finish, orientation)
    return PictureFile(Path(path), picture, mode, form, metadata, encoding, note)


def _plain_pixels(image: Image.Image, path: str | Path) -> tuple[np.ndarray, Colours]:
    check_channels(image, path)
    image.load()
    try:
        colours = colours_of_image(image)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    return black_is_zero(np.array(image), image, path), colours


# -- metadata --------------------------------------------------------------------------------------------------------


def _kept_metadata(image: Image.Image, path: str | Path, turned: bool, note: Callable[[str], None]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    exif, xmp = stored_metadata(image, path, note)
    if exif:
        kept["exif"] = upright_exif(exif, turned)
    if image.info.get("icc_profile"):
        kept["icc_profile"] = image.info["icc_profile"]
    if xmp:
        kept["xmp"] = upright_xmp(xmp)
    dpi = image.info.get("dpi")
    if dpi and all(float(value) > 0 and math.isfinite(value) for value in dpi):
        kept["dpi"] = tuple(float(value) for value in (dpi[::-1] if turned else dpi))
    if image.info.get("comment"):
        kept["comment"] = image.info["comment"]
    if image.format == "PNG" or xmp:
        kept["pnginfo"] = png_info(image, path, kept.get("xmp", b""))
    if image.format == "PNG":
        key = image.info.get("transparency")
        if isinstance(key, tuple):
            kept["transparency"] = key
    return kept


def _known_to_writer(metadata: dict[str, Any], form: str) -> dict[str, Any]:
    """The metadata that Pillow's writer of a format takes."""
    known = {
        "JPEG": ("exif", "icc_profile", "xmp", "dpi", "comment"),
        "PNG": ("exif", "icc_profile", "dpi", "pnginfo"),
        "WEBP": ("exif", "icc_profile", "xmp"),
        "TIFF": ("icc_profile", "dpi"),  # the rest by `add_metadata`
        "BMP": ("dpi",),
    }
    return {name: value for name, value in metadata.items() if name in known[form]}


def _encoding(image: Image.Image) -> dict[str, Any]:
    if isinstance(image, JpegImagePlugin.JpegImageFile) and image.quantization:
        # With the same tables, untouched blocks are quantised as before.
        sampling = JpegImagePlugin.get_sampling(image)
        return {"qtables": image.quantization, **({"subsampling": sampling} if sampling >= 0 else {})}
    if image.format == "TIFF":
        found = image.info.get("compression")  # Pillow would keep it, lossy or not
        return {"compression": found if found in _LOSSLESS_TIFF else "tiff_adobe_deflate"}
    return {}
