"""Numbers that papers printed, as data: a row a method, test set and holes, in the units of the protocols' metrics.

The zoo's own methods carry their class names; settings that are no class of their own keep the paper's name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from inpaintzoo.benchmark.protocols.protocol import Published

Values = Sequence[float | None]


def rows(
    source: str, data: str, masks: str, metrics: Sequence[str], methods: Mapping[str, Values]
) -> tuple[Published, ...]:
    """The rows of one test set and one kind of holes.

    Args:
        source: paper and table.
        data: the test set.
        masks: the holes.
        metrics: names of the metrics, in the order of the values.
        methods: values by method; None where the paper has none.

    Raises:
        ValueError: a method with more or fewer values than metrics.
    """
    found = []
    for method, values in methods.items():
        if len(values) != len(metrics):
            raise ValueError(f"{source}: {method} has {len(values)} values for {len(metrics)} metrics")
        kept = {name: value for name, value in zip(metrics, values, strict=True) if value is not None}
        found.append(Published(method, data, masks, kept, source))
    return tuple(found)


def _line(
    source: str, data: str, masks: str, metrics: Sequence[str], methods: Sequence[str], line: str
) -> tuple[Published, ...]:
    """Rows from a line of numbers: all metrics of the first method, then of the second, and so on."""
    numbers, width = [float(number) for number in line.split()], len(metrics)
    parts = [numbers[start : start + width] for start in range(0, len(numbers), width)]
    return rows(source, data, masks, metrics, dict(zip(methods, parts, strict=True)))


def _grid(
    source: str, data: str, bins: Sequence[str], metrics: Mapping[str, Mapping[str, Values]]
) -> tuple[Published, ...]:
    """Rows of a table that has a block a metric, in it a row a method and a column a bin."""
    methods = dict.fromkeys(method for block in metrics.values() for method in block)
    found: list[Published] = []
    for column, masks in enumerate(bins):
        of_bin = {method: [block[method][column] for block in metrics.values()] for method in methods}
        found += rows(source, data, masks, list(metrics), of_bin)
    return tuple(found)


# ---------------------------------------------------------------- PEN-Net

_PENNET = ("l1", "ms_ssim", "inception_score", "fid")
_PENNET_DATA = "Places2 validation, 36,500 images, 256x256"
_SQUARE = "128x128 square"

PENNET_PAPER = (
    *rows(
        "PEN-Net, table 3",
        _PENNET_DATA,
        _SQUARE,
        _PENNET,
        {
            "PatchMatch": (12.90, 60.00, 43.03, 20.36),
            "GL": (9.27, 73.40, 42.05, 19.18),
            "PConv": (8.92, 74.67, 47.00, 18.39),
            "CA": (9.91, 73.02, 44.81, 18.34),
            "PENNet": (9.94, 78.09, 50.51, 15.19),
        },
    ),
    *rows(
        "PEN-Net, table 6",
        _PENNET_DATA,
        _SQUARE,
        _PENNET,
        {"patch-swap": (12.13, 64.00, 29.26, 36.85), "single ATN": (9.85, 71.61, 37.02, 26.38)},
    ),
)

# ---------------------------------------------------------------- SRPNet

_SRPNET = ("l1", "psnr", "ms_ssim")
_SRPNET_METHODS = ("PIC-Net", "GLCIC", "PENNet", "SRPNet")
_BINS = ("0.01-0.1", "0.1-0.2", "0.2-0.3", "0.3-0.4", "0.4-0.5", "0.5-0.6")

# By test set: the values of the four methods, of L1 %, PSNR and MS-SSIM % each.
_SRPNET_SQUARE = {
    "DTD": "3.72 22.56 72.69  3.49 23.48 73.78  3.44 23.73 75.13  3.25 24.17 76.62",
    "Facade": "4.04 20.92 74.40  3.63 21.87 77.87  3.69 21.87 77.59  3.02 23.22 82.49",
    "CelebA-HQ": "2.69 24.29 87.26  2.63 24.96 88.94  2.40 25.47 89.03  2.18 26.31 90.76",
    "Places2": "3.10 22.64 76.78  2.76 22.96 73.39  2.75 23.80 78.68  2.58 24.37 80.52",
}
_SRPNET_IRREGULAR = {
    "DTD": "0.82 31.14 95.83  1.92 29.66 93.51  0.62 33.01 96.28  0.67 31.75 96.35",
    "Facade": "0.86 29.28 96.28  0.98 28.04 94.87  0.58 31.98 97.60  0.53 32.19 97.85",
    "CelebA-HQ": "0.46 35.68 98.93  1.35 28.65 93.37  0.84 32.06 96.94  0.45 35.73 98.99",
    "Places2": "2.17 27.47 87.00  1.42 31.72 94.79  0.83 31.11 94.83  0.67 32.32 96.08",
}
# The same, a line a ratio bin.
_SRPNET_BY_RATIO = {
    ("table 4", "CelebA-HQ"): """
        0.41 35.67 98.93   1.24 32.09 96.94   0.48 33.56 98.48  0.36 35.73 98.99
        1.06 30.13 96.85   3.59 24.70 89.55   1.34 27.85 95.40  0.96 30.42 97.13
        1.92 26.94 93.84   6.45 20.53 78.02   2.46 24.73 91.13  1.75 27.35 94.44
        2.94 24.52 89.79   9.46 17.84 65.20   3.76 22.57 86.10  2.67 25.11 91.13
        4.18 22.44 84.53  12.19 16.12 53.44   5.42 20.66 79.29  3.77 23.23 86.94
        6.73 19.41 73.08  15.38 14.68 41.36   7.76 18.72 69.40  5.69 20.79 78.67""",
    ("table A3", "DTD"): """
        0.83 31.14 95.83   1.01 32.67 96.52   0.67 32.37 96.57  0.66 32.75 96.55
        2.10 26.07 90.88   2.87 26.36 89.82   1.79 26.72 91.91  1.76 26.78 92.01
        3.60 23.49 83.44   5.19 22.60 78.60   3.27 23.68 84.29  3.13 24.05 85.32
        5.22 21.58 75.08   7.41 20.08 66.32   4.90 21.65 75.42  4.59 22.23 77.89
        7.11 19.94 65.36   9.51 18.39 54.08   6.61 20.17 65.90  6.24 20.70 69.23
        9.90 17.85 51.65  11.51 16.95 40.43   8.61 18.81 54.91  8.18 19.26 57.48""",
    ("table A4", "Facade"): """
        0.86 29.28 96.28   0.98 31.48 97.92   0.58 31.98 97.60  0.54 32.20 97.85
        2.68 22.89 90.81   2.71 25.38 84.75   1.75 24.94 93.43  1.45 26.34 95.19
        4.81 20.04 82.11   4.76 19.98 76.06   3.40 21.67 86.66  2.71 23.41 89.33
        6.85 18.48 72.83   6.67 19.98 76.06   5.10 19.84 79.35  4.33 20.92 82.36
        9.11 17.02 63.72   9.06 18.21 66.51   6.89 18.45 70.21  6.16 19.19 74.51
        11.88 15.53 50.26  11.16 16.65 53.59  9.27 16.95 59.52  8.20 17.67 64.01""",
    ("table A5", "Places2"): """
        0.45 34.71 97.53   0.74 32.11 95.64   0.49 33.61 97.06  0.41 34.35 97.54
        1.16 29.37 93.48   2.10 28.29 91.87   1.35 27.49 91.47  1.06 29.38 93.84
        2.02 26.40 88.11   3.77 24.45 83.00   2.46 24.36 84.25  1.89 26.47 88.73
        2.99 24.28 81.80   5.52 21.80 72.63   3.76 22.28 76.27  2.82 24.47 82.64
        4.16 22.41 73.96   7.17 19.90 62.01   5.42 20.55 66.94  3.98 22.56 74.94
        6.45 19.55 58.67   9.03 18.01 49.70   7.76 19.13 56.79  5.73 20.44 63.27""",
}


def _srpnet(table: str, data: str, masks: str, line: str) -> tuple[Published, ...]:
    return _line(f"SRPNet, {table}", data, masks, _SRPNET, _SRPNET_METHODS, line)


SRPNET = (
    *(row for data, line in _SRPNET_SQUARE.items() for row in _srpnet("table 2", data, f"central {_SQUARE}", line)),
    *(row for data, line in _SRPNET_IRREGULAR.items() for row in _srpnet("table 3", data, "irregular", line)),
    *(
        row
        for (table, data), block in _SRPNET_BY_RATIO.items()
        for masks, line in zip(_BINS, block.strip().splitlines(), strict=True)
        for row in _srpnet(table, data, masks, line)
    ),
)

# ---------------------------------------------------------------- SGE-Net

_SGENET = ("psnr", "ssim", "fid")
_SGENET_TABLE = {
    ("Outdoor Scenes", "central 128x128 square"): {
        "GatedNet": (19.06, 0.73, 42.34),
        "EdgeConnect": (19.32, 0.76, 41.25),
        "SPG-Net": (18.04, 0.70, 45.31),
        "SG-Net": (19.58, 0.77, 41.49),
        "SGENet": (20.53, 0.81, 40.67),
    },
    ("Outdoor Scenes", "irregular"): {
        "GatedNet": (19.27, 0.81, 40.31),
        "EdgeConnect": (19.63, 0.83, 44.31),
        "SPG-Net": (17.85, 0.74, 50.03),
        "SG-Net": (19.87, 0.81, 41.74),
        "SGENet": (20.02, 0.83, 42.47),
    },
    ("Cityscapes", "central 96x96 square"): {
        "GatedNet": (21.13, 0.74, 20.03),
        "EdgeConnect": (21.71, 0.76, 19.87),
        "SPG-Net": (20.14, 0.71, 23.21),
        "SG-Net": (23.04, 0.83, 18.98),
        "SGENet": (23.41, 0.85, 18.67),
    },
    ("Cityscapes", "irregular"): {
        "GatedNet": (17.42, 0.72, 40.57),
        "EdgeConnect": (17.83, 0.73, 38.07),
        "SPG-Net": (16.01, 0.64, 44.13),
        "SG-Net": (17.94, 0.64, 41.24),
        "SGENet": (18.03, 0.75, 39.93),
    },
}
_OUTDOOR_SQUARE = ("Outdoor Scenes", "central 128x128 square")

SGENET = (
    *(
        row
        for (data, masks), methods in _SGENET_TABLE.items()
        for row in rows("SGE-Net, table 1", data, masks, _SGENET, methods)
    ),
    *rows("SGE-Net, table 3", *_OUTDOOR_SQUARE, _SGENET, {"Base-Net": (19.14, 0.71, 45.31)}),
    *rows("SGE-Net, table 4", "Outdoor Scenes", "not stated", ("miou",), {"SGENet": (0.79,)}),
    *rows("SGE-Net, table 4", "Cityscapes", "not stated", ("miou",), {"SGENet": (0.71,)}),
)

# ---------------------------------------------------------------- SPN

_DETERMINISTIC_BINS = ("0.2-0.4", "0.4-0.6", "all")
_STOCHASTIC_BINS = ("0-0.2", "0.2-0.4", "0.4-0.6", "all")
_DETERMINISTIC = ("EC", "MFE", "RFR", "RN", "WF", "CTSDG", "SPL", "SPN")


def _block(text: str, methods: Sequence[str], scale: float = 1.0) -> dict[str, Values]:
    """A row a method, a column a bin; `-` where the paper has no value."""
    lines = [line.split() for line in text.strip().splitlines()]
    values = [[None if cell == "-" else round(float(cell) * scale, 6) for cell in line] for line in lines]
    return dict(zip(methods, values, strict=True))


# By test set: SSIM, PSNR, MAE in tenths, and FID.
_SPN_TABLE = {
    "Places2, first 12,000 of validation": (
        ".847 .695 .832\n.816 .652 .804\n.856 .704 .839\n.875 .726 .855\n"
        ".855 .647 .820\n.848 .696 .837\n.894 .759 .875\n.897 .763 .877",
        "24.17 20.32 25.07\n22.89 19.13 23.94\n24.38 20.42 25.48\n25.44 21.08 26.37\n"
        "24.57 19.31 24.77\n24.16 20.36 25.54\n26.47 22.05 27.55\n26.65 22.18 27.72",
        ".221 .456 .248\n.266 .542 .296\n.212 .445 .240\n.187 .412 .218\n"
        ".216 .583 .285\n.220 .452 .237\n.164 .363 .191\n.158 .351 .185",
        "9.63 23.04 6.08\n21.07 48.74 15.38\n8.43 21.82 5.27\n9.27 25.00 6.10\n"
        "7.75 42.46 9.37\n15.88 42.19 12.36\n8.30 23.98 5.56\n7.68 20.73 4.73",
    ),
    "CelebA, first 12,000 of test": (
        ".922 .815 .905\n.916 .807 .900\n.931 .838 .917\n.941 .852 .925\n"
        "- - -\n.923 .819 .907\n.950 .869 .935\n.952 .871 .937",
        "29.47 24.08 30.34\n29.03 23.85 30.13\n30.33 25.09 31.38\n31.17 25.51 32.17\n"
        "- - -\n29.48 24.21 30.62\n32.17 26.43 33.23\n32.39 26.54 33.52",
        ".111 .274 .140\n.119 .284 .145\n.099 .237 .121\n.091 .229 .115\n"
        "- - -\n.109 .267 .135\n.080 .203 .102\n.077 .200 .099",
        "10.41 14.40 7.24\n11.12 15.42 7.95\n10.22 14.57 7.15\n11.39 18.00 8.16\n"
        "- - -\n11.32 17.57 8.14\n10.27 12.94 6.88\n10.16 12.38 6.77",
    ),
    "Paris StreetView, 100 test images": (
        ".880 .740 .849\n.872 .707 .834\n.893 .763 .863\n.891 .756 .861\n"
        ".895 .765 .864\n.888 .746 .855\n.911 .790 .882\n.916 .795 .886",
        "27.65 22.81 27.50\n27.22 22.07 27.07\n28.32 23.71 28.36\n28.44 23.53 28.37\n"
        "28.66 23.88 28.21\n28.08 23.39 28.11\n29.34 24.47 29.38\n29.76 24.67 29.69",
        ".148 .364 .204\n.159 .412 .226\n.134 .324 .182\n.136 .337 .187\n"
        ".132 .330 .185\n.138 .338 .189\n.115 .292 .161\n.109 .282 .154",
        "43.45 87.70 44.95\n47.22 100.85 50.33\n37.51 77.15 39.44\n64.78 134.00 66.54\n"
        "33.20 73.31 38.36\n46.52 98.76 49.19\n41.41 93.41 46.13\n34.00 70.76 36.82",
    ),
}
_SPN_STOCHASTIC_TABLE = {
    "CelebA-HQ, 2,800 test images": (
        ".962 .875 .742 .860\n.964 .880 .758 .868\n.971 .894 .777 .881",
        "33.80 26.56 22.13 27.49\n34.42 26.92 22.75 28.03\n35.72 27.68 23.32 28.90",
        ".046 .161 .359 .187\n.044 .155 .329 .175\n.038 .140 .305 .160",
        "8.82 16.44 27.82 8.71\n7.15 12.98 21.34 6.30\n3.22 8.99 16.54 4.08",
    ),
    "Paris StreetView, 100 test images": (
        ".944 .844 .660 .802\n- - - -\n.966 .896 .763 .865",
        "31.96 26.16 21.28 25.93\n- - - -\n35.03 28.71 23.66 28.56",
        ".067 .185 .473 .261\n- - - -\n.045 .127 .323 .179",
        "40.42 72.43 120.10 68.00\n- - - -\n34.07 45.66 78.86 46.97",
    ),
}


def _spn(table: str, data: str, bins: Sequence[str], methods: Sequence[str], blocks: Sequence[str]) -> list[Published]:
    ssim, psnr, mae, fid = blocks
    metrics = {
        "ssim_uniform11": _block(ssim, methods),
        "psnr": _block(psnr, methods),
        "l1_grey": _block(mae, methods, scale=0.1),
        "fid": _block(fid, methods),
    }
    return [row for row in _grid(f"SPN, {table}", data, bins, metrics) if row.values]


_STOCHASTIC = ("PIC", "DSI", "SPN, stochastic")

SPN = (
    *(
        row
        for data, blocks in _SPN_TABLE.items()
        for row in _spn("table 1", data, _DETERMINISTIC_BINS, _DETERMINISTIC, blocks)
    ),
    *(
        row
        for data, blocks in _SPN_STOCHASTIC_TABLE.items()
        for row in _spn("table 2", data, _STOCHASTIC_BINS, _STOCHASTIC, blocks)
    ),
)

# ---------------------------------------------------------------- the dissertation behind pyramid and fusion

_PIXELS = ("ssim", "psnr", "l1")
_RETRAINED = "GatedNet, trained at 512"
_AT_512 = ("EC", "PENNet", "GatedNet", _RETRAINED, "HiFill", "PyramidGenerator")
_AT_1024 = (_RETRAINED, "HiFill", "PyramidGenerator")
_AT_256 = ("CA", "EC", "GatedNet", "HiFill", "AFFNet")
_FUSIONS = ("skip connections", "skip connections with AFF", "dilated convolutions with AFF", "AFFNet")
_PLACES_512 = "Places2 validation, 512x512"
_PLACES_256 = "Places2 validation, 256x256"
_DIV2K = "DIV2K validation, random 512x512 crops"

PYRAMID = tuple(
    row
    for table, data, masks, methods, line in (
        (
            *("table 3.1", _PLACES_512, "0.1-0.2", _AT_512),
            ".9464 26.96 .0336  .9168 25.70 .0172  .9025 24.91 .0123  .9506 28.54 .0219  .9049 25.04 .0219  "
            ".9541 28.96 .0123",
        ),
        (
            *("table 3.1", _PLACES_512, "0.2-0.3", _AT_512),
            ".8748 23.22 .0483  .8390 22.47 .0333  .8884 23.78 .0235  .8971 24.82 .0242  .8261 22.09 .0384  "
            ".9036 25.25 .0233",
        ),
        (
            *("table 3.1", _PLACES_512, "0.3-0.4", _AT_512),
            ".8167 22.07 .0544  .7596 20.70 .0492  .8434 22.46 .0362  .8363 22.54 .0368  .7488 20.39 .0543  "
            ".8460 22.96 .0353",
        ),
        (
            *("table 3.2", _DIV2K, "central square", _AT_512),
            ".7734 20.33 .0663  .7541 19.36 .0563  .7668 19.23 .0535  .7656 18.88 .0544  .7394 19.52 .0563  "
            ".7808 20.88 .0459",
        ),
        (
            *("table 3.2", _DIV2K, "free-form", _AT_512),
            ".6706 18.00 .0937  .7185 19.66 .0642  .7235 18.45 .0715  .7323 19.62 .0633  .6917 18.38 .0763  "
            ".7403 20.07 .0611",
        ),
        (
            *("table 3.3", "DIV2K validation, random 1024x1024 crops", "free-form", _AT_1024),
            ".8622 22.39 .0341  .7691 19.98 .0536  .8676 22.76 .0329",
        ),
        (
            *("table 4.1", _PLACES_256, "0.2-0.3", _AT_256),
            ".8299 20.54 .0461  .9021 24.05 .0382  .9124 24.23 .0270  .8561 21.86 .0409  .9137 24.36 .0270",
        ),
        (
            *("table 4.1", _PLACES_256, "central square", _AT_256),
            ".7399 19.47 .0505  .7505 20.53 .0546  .7357 19.17 .0519  .7008 19.06 .0553  .7469 20.10 .0476",
        ),
        (
            *("table 4.2", "a part of Places2 validation, 256x256", "irregular", _FUSIONS),
            ".9531 27.35 .0151  .9562 27.65 .0149  .9575 27.78 .0145  .9596 28.12 .0140",
        ),
    )
    for row in _line(f"dissertation, {table}", data, masks, _PIXELS, methods, line)
)

# ---------------------------------------------------------------- MAT

_MAT = ("fid", "p_ids", "u_ids")
_MAT_DATA = "Places validation, 36,500 images, 512x512"
_MAT_METHODS = ("MAT-8M", "CoModGAN", "Big-LaMa")

MAT = tuple(
    row
    for masks, line in (
        ("small", "0.78 31.72 43.71  1.10 26.95 41.88  0.99 22.79 40.58"),
        ("large", "1.96 23.42 38.34  2.92 19.64 35.78  2.97 13.09 32.39"),
    )
    for row in _line("MAT's page", _MAT_DATA, masks, _MAT, _MAT_METHODS, line)
)
