"""Picture files in and out, with every bit and with their metadata.

Pillow reads and writes the pixels. It has no mode for 16-bit colour and would halve it, so such PNG and TIFF files are
decoded twice, once for the high and once for the low bytes; they are written here (PNG) and by tifffile.
"""

from __future__ import annotations

import dataclasses
import struct
import sys
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image, JpegImagePlugin, PngImagePlugin

from inpaintzoo.data.images import IMAGE_SUFFIXES, is_image_name, open_image
from inpaintzoo.predictor.colours import Colours, Levels, colours_of_image
from inpaintzoo.predictor.metadata import exif_bytes, upright_exif, upright_xmp
from inpaintzoo.predictor.pictures import Picture, image_like, orientation_of, turn
from inpaintzoo.types import DataError
from inpaintzoo.weights.files import write_whole

_FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".bmp": "BMP",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
_MODES = {
    "JPEG": ("L", "RGB", "CMYK", "YCbCr"),
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I;16B", "I"),
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
    "WEBP": ("RGB", "RGBA"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I;16B", "I", "F"),
}
_LOSSLESS_TIFF = ("raw", "packbits", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "zstd", "lzma")
DEEP = "16-bit colour"
# TIFF 6.0: tags, and values of two of them
_BITS, _PHOTOMETRIC, _SAMPLES, _PLANAR, _EXTRA = 258, 262, 277, 284, 338
_RGB, _FREE_ALPHA = 2, 2


@dataclasses.dataclass(frozen=True)
class PictureFile:
    """A picture with what its file said beside it.

    Attributes:
        path: of the file.
        picture: its pixels; `finish` makes an upright Pillow image.
        mode: Pillow's mode, or `DEEP`.
        format: Pillow's name of the format.
        metadata: options of Pillow's `save` that keep what the file said.
        encoding: options that keep how a file of the same format was compressed.
    """

    path: Path
    picture: Picture
    mode: str
    format: str
    metadata: dict[str, Any]
    encoding: dict[str, Any]

    def check_target(self, target: Path) -> None:
        """Raise `DataError` unless a file of the target's suffix can hold this picture."""
        if not is_image_name(target):
            raise DataError(f"{target}: cannot tell the format; use one of {' '.join(IMAGE_SUFFIXES)}")
        wanted = _FORMATS[target.suffix.lower()]
        if self.mode == DEEP and wanted in ("PNG", "TIFF"):
            return
        if self.mode not in _MODES[wanted]:
            fitting = [name for name, modes in _MODES.items() if self.mode in modes] or ["PNG", "TIFF"]
            raise DataError(
                f"{target}: {wanted} does not hold pictures of mode {self.mode} as {self.path} is; write "
                f"{' or '.join(fitting)}"
            )

    def write(self, pixels: np.ndarray, target: Path) -> None:
        """Write pixels like the picture's, upright, complete or not at all, with the metadata."""
        self.check_target(target)
        wanted = _FORMATS[target.suffix.lower()]
        if self.mode == DEEP:
            write_whole(target, lambda file: _write_deep(self.picture.upright(pixels), file, wanted, self.metadata))
            return
        options = {**_fitting(self.metadata, wanted), **(self.encoding if self.format == wanted else {})}
        if wanted == "JPEG" and not options.get("qtables"):
            options.update(quality=95, subsampling=0)
        if wanted == "WEBP":
            options.update(lossless=True, exact=True)
        image = self.picture.finish(pixels)
        write_whole(target, lambda file: image.save(file, format=wanted, **options))


def read_picture(path: str | Path) -> PictureFile:
    """Read a picture file with every bit, upright.

    Raises:
        DataError: the file is missing, damaged, no image, or of a kind that cannot be filled; the message names it.
    """
    with open_image(path, load=False) as image:
        frames = getattr(image, "n_frames", 1)
        if frames > 1 and image.format != "MPO":  # whose other frames are the camera's previews
            warnings.warn(f"{path}: only the first of its {frames} frames is read, and written", stacklevel=3)
        planes = _has_deep_planes(image, path)
        deep = planes or _is_deep(image)
        form = "JPEG" if image.format == "MPO" else str(image.format)
        read = _deep_planes if planes else _deep_pixels if deep else _plain_pixels
        pixels, colours = read(image, path)
        # Behind the decoding, since some formats store these behind the pixels, and TIFF files are turned by it.
        orientation = orientation_of(image)
        metadata, encoding = _metadata(image, orientation), _encoding(image)

    def finish(filled: np.ndarray) -> Image.Image:
        if deep:
            raise DataError(f"{path}: Pillow has no mode for 16-bit colour; use Predictor.fill_file, or pass an array")
        made = image_like(image, turn(filled, orientation))
        if "exif" in metadata:
            made.info["exif"] = metadata["exif"]
        return made

    mode = DEEP if deep else image.mode
    return PictureFile(Path(path), Picture(pixels, colours, finish, orientation), mode, form, metadata, encoding)


def _plain_pixels(image: Image.Image, path: str | Path) -> tuple[np.ndarray, Colours]:
    image.load()
    try:
        return np.array(image), colours_of_image(image)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


# -- 16-bit colour ---------------------------------------------------------------------------------------------------


def _raw_mode(image: Image.Image) -> str:
    tiles = getattr(image, "tile", None) or [("", None, 0, "")]
    layout = tiles[0][3]
    return str(layout[0] if isinstance(layout, tuple) and layout else layout)


def _is_deep(image: Image.Image) -> bool:
    return image.format in ("PNG", "TIFF") and _raw_mode(image).startswith(("RGB;16", "RGBA;16", "LA;16"))


def _has_deep_planes(image: Image.Image, path: str | Path) -> bool:
    """Whether a TIFF file stores more than 8 bits a channel, one channel after the other.

    Raises:
        DataError: it has more than 8 bits a channel in a layout of which Pillow would halve them silently.
    """
    tags: Any = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    bits, samples = tags.get(_BITS, (1,)), tags.get(_SAMPLES, 1)
    if max(bits) <= 8 or samples == 1:
        return False
    extra = tuple(tags.get(_EXTRA, ()))
    plain = samples == 3 or (samples == 4 and extra == (_FREE_ALPHA,))
    if tags.get(_PHOTOMETRIC) != _RGB or not plain:
        raise DataError(
            f"{path}: {max(bits)}-bit TIFF files in colour are read as RGB, or RGB with alpha not multiplied in; "
            "this one is CMYK, premultiplied or has other channels; convert it"
        )
    return bool(tags.get(_PLANAR, 1) == 2)


def _deep_planes(image: Image.Image, path: str | Path) -> tuple[np.ndarray, Colours]:
    try:
        with tifffile.TiffFile(path) as file:
            planes = file.pages[0].asarray()
    except ValueError as error:
        raise DataError(
            f"{path}: 16-bit planes compressed in this way are not read ({error}); save it again"
        ) from error
    if planes.dtype != np.uint16 or planes.ndim != 3:
        raise DataError(f"{path}: its planes are {planes.dtype} {planes.shape} and not 16-bit colour; convert it")
    return np.ascontiguousarray(planes.transpose(1, 2, 0)), Levels(len(planes), 65535.0)


def _deep_pixels(image: Image.Image, path: str | Path) -> tuple[np.ndarray, Colours]:
    kind, order = _raw_mode(image).split(";")
    if kind == "LA":
        # Two 16-bit levels are four bytes, which come as they are in the guise of an 8-bit mode of four channels.
        pairs = _decoded(image, "RGBA").astype(np.uint16)
        return pairs[..., ::2] << 8 | pairs[..., 1::2], Levels(2, 65535.0)
    native = "16L" if sys.byteorder == "little" else "16B"
    other = {"16B": "16L", "16L": "16B"}[native if order == "16N" else order]
    image.load()
    high = np.array(image).astype(np.uint16)
    # Read in the other byte order, the high bytes are the low ones.
    with open_image(path, load=False) as again:
        low = _decoded(again, f"{kind};{other}")
    key = image.info.get("transparency")
    return high << 8 | low, Levels(len(kind), 65535.0, key=key if isinstance(key, tuple) else None)


def _decoded(image: Image.Image, raw_mode: str) -> np.ndarray:
    """Decode as if the file were laid out otherwise."""
    file: Any = image
    file.tile = [
        _relaid(tile, (raw_mode, *tile[3][1:]) if isinstance(tile[3], tuple) else raw_mode) for tile in file.tile
    ]
    file.load()
    return np.array(file)


def _relaid(tile: Any, layout: Any) -> Any:
    # Named tuples since Pillow 11, whose reader of TIFF files wants them to be.
    return tile._replace(args=layout) if hasattr(tile, "_replace") else (*tile[:3], layout)


def _write_deep(pixels: np.ndarray, file: str, form: str, metadata: dict[str, Any]) -> None:
    icc = metadata.get("icc_profile")
    if form == "TIFF":
        if "transparency" in metadata:
            warnings.warn("TIFF has no colour that counts as transparent: it is opaque now", stacklevel=2)
        grey, alpha = pixels.shape[2] < 3, pixels.shape[2] in (2, 4)
        tifffile.imwrite(
            file,
            np.ascontiguousarray(pixels),
            photometric="minisblack" if grey else "rgb",
            planarconfig="contig",
            extrasamples=("unassalpha",) if alpha else None,
            compression="adobe_deflate",
            predictor=False,
            iccprofile=icc,
            metadata=None,
        )
        return
    height, width, channels = pixels.shape
    rows = np.ascontiguousarray(pixels.astype(">u2")).view(np.uint8).reshape(height, -1)
    filtered = np.full((height, rows.shape[1] + 1), 2, dtype=np.uint8)  # filter 2: each row less the one above
    filtered[0, 1:] = rows[0]
    filtered[1:, 1:] = rows[1:] - rows[:-1]
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0))]
    if icc:
        chunks.append((b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc)))
    if "exif" in metadata:
        chunks.append((b"eXIf", metadata["exif"].removeprefix(b"Exif\0\0")))
    if "pnginfo" in metadata:
        chunks += [(chunk[0], chunk[1]) for chunk in metadata["pnginfo"].chunks]
    if "dpi" in metadata:  # as pixels a metre
        chunks.append((b"pHYs", struct.pack(">IIB", *(round(value / 0.0254) for value in metadata["dpi"]), 1)))
    if "transparency" in metadata:
        chunks.append((b"tRNS", struct.pack(">HHH", *metadata["transparency"])))
    chunks += [(b"IDAT", zlib.compress(filtered.data, 3)), (b"IEND", b"")]
    with open(file, "wb") as out:
        out.write(b"\x89PNG\r\n\x1a\n")
        for kind, data in chunks:
            out.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))


# -- metadata --------------------------------------------------------------------------------------------------------


def _metadata(image: Image.Image, orientation: int) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    exif = exif_bytes(image)
    if exif:
        kept["exif"] = upright_exif(exif, turned=orientation >= 5)
    if image.info.get("icc_profile"):
        kept["icc_profile"] = image.info["icc_profile"]
    if isinstance(image.info.get("xmp"), bytes):
        kept["xmp"] = upright_xmp(image.info["xmp"])
    dpi = image.info.get("dpi")
    if dpi and all(float(value) > 0 for value in dpi):
        kept["dpi"] = tuple(float(value) for value in (dpi[::-1] if orientation >= 5 else dpi))
    if image.info.get("comment"):
        kept["comment"] = image.info["comment"]
    if image.format == "PNG":
        kept["pnginfo"] = _png_chunks(image)
        key = image.info.get("transparency")
        if isinstance(key, tuple):
            kept["transparency"] = key
    return kept


def _png_chunks(image: Image.Image) -> PngImagePlugin.PngInfo:
    """What a PNG file says of its colours, and its texts."""
    chunks = PngImagePlugin.PngInfo()
    for name, key in ((b"gAMA", "gamma"), (b"cHRM", "chromaticity")):
        if key in image.info:
            values = np.atleast_1d(image.info[key])
            chunks.add(name, struct.pack(f">{len(values)}I", *(round(float(value) * 100_000) for value in values)))
    for name, text in getattr(image, "text", {}).items():
        if name != "XML:com.adobe.xmp":  # Pillow writes it, from `xmp`
            chunks.add_itxt(name, str(text), getattr(text, "lang", "") or "")
    return chunks


def _fitting(metadata: dict[str, Any], form: str) -> dict[str, Any]:
    """What Pillow's writer of a format knows."""
    known = {
        "JPEG": ("exif", "icc_profile", "xmp", "dpi", "comment"),
        "PNG": ("exif", "icc_profile", "dpi", "pnginfo"),
        "WEBP": ("exif", "icc_profile", "xmp"),
        "TIFF": ("exif", "icc_profile", "dpi"),
        "BMP": ("dpi",),
    }
    return {name: value for name, value in metadata.items() if name in known[form]}


def _encoding(image: Image.Image) -> dict[str, Any]:
    if isinstance(image, JpegImagePlugin.JpegImageFile) and image.quantization:
        # With the same tables, blocks that nobody touched are quantised as they were.
        sampling = JpegImagePlugin.get_sampling(image)
        return {"qtables": image.quantization, **({"subsampling": sampling} if sampling >= 0 else {})}
    if image.format == "TIFF" and image.info.get("compression") in _LOSSLESS_TIFF:
        return {"compression": image.info["compression"]}
    return {}
