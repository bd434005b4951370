"""Picture files in and out, with every bit and all metadata.

Pillow reads and writes the pixels, except for 16-bit colour, which it has no mode for: see `deep`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, JpegImagePlugin

from inpaintzoo.files.writing import write_whole
from inpaintzoo.pictures.colours import Colours, pixels_of
from inpaintzoo.pictures.deep import deep_planes, deep_reader, write_deep, write_png
from inpaintzoo.pictures.images import (
    BUILT_IN,
    ENCODINGS,
    READ_FORMATS,
    decode,
    load_plugin,
    open_image,
    orientation_of,
    turn,
)
from inpaintzoo.pictures.jpegs import encoding as jpeg_encoding
from inpaintzoo.pictures.jpegs import iptc_segments, keep_blocks
from inpaintzoo.pictures.metadata import add_metadata, filled_exif, filled_xmp, stored_metadata, upright_info
from inpaintzoo.pictures.picture import Picture, image_like
from inpaintzoo.pictures.pngs import is_text, png_info
from inpaintzoo.pictures.tiffs import TYPES, check_channels, layout_of, true_type
from inpaintzoo.types import DataError

FORMATS = {
    **READ_FORMATS,
    **{".jp2": "JPEG2000", ".tga": "TGA", ".pgm": "PPM", ".pnm": "PPM", ".ppm": "PPM"},
}
"""Pillow's names of the formats that are written, by suffix."""
_MODES = {
    "JPEG": ("L", "RGB", "CMYK", "YCbCr"),
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I;16B", "I", "uint32"),
    "BMP": ("1", "L", "P", "RGB"),  # it has alpha, but Pillow does not write it
    "WEBP": ("RGB", "RGBA"),
    "AVIF": ("L", "RGB", "RGBA"),
    "HEIF": ("L", "RGB", "RGBA"),
    "JPEG2000": ("L", "LA", "RGB", "RGBA", "I;16"),
    "PPM": ("1", "L", "RGB", "I;16"),
    "TGA": ("L", "LA", "RGB", "RGBA"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I;16B", "I", "F", *TYPES),
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
        mode: Pillow's mode, `DEEP`, or the name of a type that Pillow has no mode for.
        depth: bits of a level or of a palette's index, up to 8; 0 where neither Pillow nor a format changes them.
        format: Pillow's name of the format.
        metadata: options of Pillow's `save` that keep the file's metadata, true of the upright picture.
        encoding: options that keep the compression if the format stays the same.
        jpeg: the content of a JPEG file, of which blocks are kept; empty for other formats.
        jpeg_metadata: as `metadata`, but true of the stored picture, since blocks stay where they are.
        note: called with a sentence about what is left out.
    """

    path: Path
    picture: Picture
    mode: str
    depth: int
    format: str
    metadata: dict[str, Any]
    encoding: dict[str, Any]
    jpeg: bytes
    jpeg_metadata: dict[str, Any]
    note: Callable[[str], None]

    def check_target(self, target: Path) -> None:
        """Raise `DataError` unless a file with the target's suffix can hold this picture."""
        wanted = format_of(target)
        if self.mode == DEEP and wanted in ("PNG", "TIFF"):
            return
        if self.mode not in _MODES[wanted]:
            fitting = [name for name in BUILT_IN if self.mode in _MODES[name]] or ["PNG", "TIFF"]
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

    def write(self, pixels: np.ndarray, target: Path, complete: Callable[[Path], object] | None = None) -> str:
        """Write pixels stored like the picture's, with the metadata, completely or not at all.

        From JPEG to JPEG they stay turned as they are, with their orientation; otherwise the file is upright.

        Args:
            pixels: the pixels.
            target: the file.
            complete: as for `write_whole`.

        Returns:
            Why pixels that are the picture's own change a little everywhere, as in AVIF; empty if the format keeps
            them, or JPEG all those in blocks without a new pixel.
        """
        self.check_target(target)
        changes: list[str] = []
        write_whole(target, lambda file: changes.append(self._save(pixels, file, format_of(target))), complete)
        return changes[0]

    def _save(self, pixels: np.ndarray, file: str, form: str) -> str:
        stays = bool(self.jpeg) and form == "JPEG"
        metadata = dict(self.jpeg_metadata if stays else self.metadata)
        step, most = _RESOLUTIONS.get(form, (1, 0))
        if not all(1 <= round(value / step) <= most for value in metadata.get("dpi", ())):
            del metadata["dpi"]  # the format cannot express it
        if "transparency" in metadata and form != "PNG":
            self.note(f"{self.path}: {form} has no colour that counts as transparent: it is opaque now")
        if 0 < self.depth < 8 and form != "PNG":
            self.note(f"{self.path}: its {self.depth}-bit pixels are written with 8 bits")
        if self.mode == DEEP or (self.mode in TYPES and form == "TIFF"):
            write_deep(self.picture.upright(pixels), file, form, metadata)
        elif self.depth and form == "PNG":
            made = self.picture.finish(pixels)
            palette = bytes(made.getpalette("RGB") or 3) if self.mode == "P" else None
            step = self.picture.colours.step
            if step > 1 and "transparency" in metadata:
                metadata["transparency"] //= step
            write_png(np.asarray(made) // step, file, metadata, self.depth, palette)
        else:
            options = {**_known_to_writer(metadata, form), **(self.encoding if self.format == form else {})}
            if form in ENCODINGS and not options.get("qtables"):  # a JPEG file's own
                options.update(ENCODINGS[form])
            if stays:
                made = Image.frombytes(self.mode, pixels.shape[1::-1], np.ascontiguousarray(pixels).tobytes())
            else:
                made = self.picture.finish(pixels)
            if form in ("AVIF", "HEIF"):
                made.info = {}  # their writers would take more from it, such as thumbnails of what was removed
            if form == "PNG" and made.mode == "I":  # from 0 to 65535
                made = Image.fromarray(np.asarray(made).astype(np.uint16))
            made.save(file, format=form, **options)
        if form != "JPEG" and "extra" in metadata:
            self.note(f"{self.path}: its IPTC (APP13) is left out; write .jpg to keep it")
        if form == "PNG" and not is_text(metadata.get("xmp", b"")):
            self.note(f"{self.path}: its XMP is not UTF-8, which PNG requires: it is left out")
        if "icc_profile" in metadata and "icc_profile" not in _known_to_writer(metadata, form):
            self.note(f"{self.path}: {form} holds no colour profile: it is left out")
        if form == "TIFF":
            add_metadata(file, self.metadata.get("exif", b""), self.metadata.get("xmp", b""), self.path, self.note)
        if form == "AVIF":
            return "its encoder rounds colours"
        if form != "JPEG":
            return ""
        if not self.jpeg:
            return "the picture was not a JPEG file"
        return keep_blocks(self.jpeg, Path(file), self.picture.stored, pixels)


def format_of(path: Path) -> str:
    """Pillow's name for the format of a suffix.

    Raises:
        DataError: no picture is written with this suffix, or the format's plug-in is not installed.
    """
    if path.suffix.lower() not in FORMATS:
        raise DataError(f"{path}: cannot tell the format; use one of {' '.join(FORMATS)}")
    form = FORMATS[path.suffix.lower()]
    load_plugin(form, path)
    return form


def read_picture(path: str | Path, note: Callable[[str], None]) -> PictureFile:
    """Read a picture file with every bit, upright.

    Args:
        path: the file.
        note: called with a sentence about anything left out, now and when the picture is written.

    Raises:
        DataError: the file is missing, damaged, not an image, or of a kind that cannot be filled; the message names it.
    """
    with _one_note(path, note), open_image(path, load=False) as image:
        frames = getattr(image, "n_frames", 1)
        if frames > 1 and image.format != "MPO":  # MPO's other frames are the camera's previews
            note(f"{path}: only the first of its {frames} frames is read and written")
        deep = deep_reader(image, path)
        stored = orientation_of(image) if image.format == "TIFF" else 1
        form = "JPEG" if image.format == "MPO" else str(image.format)
        layout = layout_of(image)
        bits = image.info.get("bit_depth", 8) if form == "HEIF" and image.mode in ("RGB", "RGBA") else 8
        pixels, colours = (deep or _plain_pixels)(image, path)
        few = re.match("[LP];([124])", layout)
        depth = int(few[1]) if few else 8 * (layout == "P")
        if few and layout.startswith("L"):
            colours.step = 255 // (2**depth - 1)
        if layout.startswith("I;12"):
            note(f"{path}: its 12-bit levels are written with 16 bits")
        if bits > 8:
            note(f"{path}: its {bits}-bit levels are read with 8 bits")
        # After decoding, since some formats store these after the pixels. Pillow turns TIFF files upright as it decodes
        # them, but some versions keep the orientation in the metadata.
        upright = image.format == "TIFF" and deep is not deep_planes
        orientation = 1 if upright else orientation_of(image)
        metadata = _kept_metadata(image, path, max(stored, orientation), note)
        own = _kept_metadata(image, path, orientation, lambda text: None, upright=False) if form == "JPEG" else {}
        encoding = _encoding(image)

    def finish(filled: np.ndarray) -> Image.Image:
        if deep or filled.dtype == np.int8:
            raise DataError(f"{path}: Pillow has no mode for {mode}; use Predictor.fill_file, or pass an array")
        made = image_like(image, turn(filled, orientation))
        made.info = upright_info(made.info, metadata)
        return made

    kind = true_type(image)
    mode = DEEP if deep else image.mode if kind is None else kind.name
    picture = Picture(pixels, colours, finish, orientation)
    jpeg = Path(path).read_bytes() if form == "JPEG" else b""
    return PictureFile(Path(path), picture, mode, depth, form, metadata, encoding, jpeg, own, note)


@contextlib.contextmanager
def _one_note(path: str | Path, note: Callable[[str], None]) -> Iterator[None]:
    """Turn all that Pillow warns about in this block, except for the size, into one note."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        yield
    others = [str(warning.message) for warning in found if warning.category is not Image.DecompressionBombWarning]
    if others:
        more = f" (and {len(others) - 1} more such warnings)" if others[1:] else ""
        note(f"{path}: {others[0].rstrip('. ')}{more}")


def _plain_pixels(image: Image.Image, path: str | Path) -> tuple[np.ndarray, Colours]:
    check_channels(image, path)
    decode(image)
    try:
        return pixels_of(image)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


# -- metadata --------------------------------------------------------------------------------------------------------


def _kept_metadata(
    image: Image.Image, path: str | Path, orientation: int, note: Callable[[str], None], upright: bool = True
) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    turned = upright and orientation >= 5
    exif, xmp = stored_metadata(image, path, orientation, note)
    if exif:
        kept["exif"] = filled_exif(exif, upright, turned)
    if image.info.get("icc_profile"):
        kept["icc_profile"] = image.info["icc_profile"]
    if xmp:
        kept["xmp"] = filled_xmp(xmp, upright)
    dpi = image.info.get("dpi")
    if dpi and all(float(value) > 0 and math.isfinite(value) for value in dpi):
        kept["dpi"] = tuple(float(value) for value in (dpi[::-1] if turned else dpi))
    if segments := iptc_segments(image, path, note):
        kept["extra"] = segments
    if image.info.get("comment"):
        kept["comment"] = image.info["comment"]
    if image.format == "PNG" or xmp:
        kept["pnginfo"] = png_info(image, path, kept.get("xmp", b""))
    if image.format == "PNG":
        key = image.info.get("transparency")
        if key is not None:
            kept["transparency"] = int(bool(key)) if image.mode == "1" else key
    return kept


def _known_to_writer(metadata: dict[str, Any], form: str) -> dict[str, Any]:
    """The metadata that Pillow's writer of a format takes."""
    known = {
        "JPEG": ("exif", "icc_profile", "xmp", "dpi", "comment", "extra"),
        "PNG": ("exif", "icc_profile", "dpi", "pnginfo", "transparency"),
        **dict.fromkeys(("AVIF", "HEIF", "WEBP"), ("exif", "icc_profile", "xmp")),
        "TIFF": ("icc_profile", "dpi"),  # the rest by `add_metadata`
        "BMP": ("dpi",),
    }
    return {name: value for name, value in metadata.items() if name in known.get(form, ())}


def _encoding(image: Image.Image) -> dict[str, Any]:
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        return jpeg_encoding(image)
    if image.format == "TIFF":
        found = image.info.get("compression")  # Pillow would keep it, lossy or not
        return {"compression": found if found in _LOSSLESS_TIFF else "tiff_adobe_deflate"}
    return {}
