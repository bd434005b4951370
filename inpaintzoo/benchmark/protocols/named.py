"""The named protocols: those of the papers and their code, and the zoo's own.

Each run builds its own protocols, because their metrics hold networks. `docs/protocols.md` explains each one; its
tables are generated from this module.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from inpaintzoo.benchmark.protocols.paper_tables import published
from inpaintzoo.benchmark.protocols.protocol import Protocol
from inpaintzoo.metrics import (
    FID,
    L1,
    LPIPS,
    MSSSIM,
    PIDS,
    PSNR,
    SSIM,
    UIDS,
    DiversityL1,
    DiversityLPIPS,
    InceptionScore,
    L1Border,
    L1Grey,
    L1Hole,
    L1Relative,
    Metric,
    MIoU,
    PSNRBorder,
    PSNRHole,
)
from inpaintzoo.types import ConfigError
from inpaintzoo.words import did_you_mean


@dataclasses.dataclass(frozen=True)
class MetricWeights:
    """Local files of the networks that some metrics need; without a file, the network comes from torch hub's cache.

    Attributes:
        alex: torchvision's AlexNet, for `lpips_alex`.
        vgg: torchvision's VGG16, for `lpips_vgg`.
        inception: torch-fidelity's Inception, for `fid`, `inception_score`, `u_ids` and `p_ids`.
    """

    alex: str | None = None
    vgg: str | None = None
    inception: str | None = None


def protocol(name: str, weights: MetricWeights | None = None) -> Protocol:
    """A named protocol, with metrics of its own.

    Args:
        name: one of `PROTOCOLS`.
        weights: local files of the networks that its metrics need.

    Raises:
        ConfigError: no such protocol.
    """
    if name not in PROTOCOLS:
        hint = did_you_mean(name, PROTOCOLS)
        raise ConfigError(f"protocol {name!r} is unknown; the known ones are {', '.join(PROTOCOLS)}{hint}")
    return PROTOCOLS[name](weights or MetricWeights())


def protocols(wanted: Sequence[str | Protocol], weights: MetricWeights | None = None) -> list[Protocol]:
    """The protocols of a run, as a config lists them.

    Args:
        wanted: names of `PROTOCOLS`, and the user's own protocols.
        weights: local files of the networks that the named protocols' metrics need.

    Raises:
        ConfigError: an unknown name, or one of your own protocols has a built-in name.
    """
    for one in wanted:
        if isinstance(one, Protocol) and one.name in PROTOCOLS:
            raise ConfigError(f"protocol {one.name!r} of your own has a built-in name; choose another name")
    return [one if isinstance(one, Protocol) else protocol(one, weights) for one in wanted]


def _pretrained(metrics: tuple[Metric, ...]) -> tuple[str, ...]:
    return tuple(metric.name for metric in metrics if metric.pretrained)


def _zoo(weights: MetricWeights) -> Protocol:
    metrics = (
        *(PSNR(), PSNRHole(), PSNRBorder(), SSIM(), L1(), L1Hole(), L1Border()),
        *(LPIPS("alex", weights.alex), LPIPS("vgg", weights.vgg)),
        *(FID(weights.inception), UIDS(weights.inception), PIDS(weights.inception)),
    )
    return Protocol(
        name="zoo",
        title="The recommended protocol: composites as 8-bit files, over frame, hole and border",
        source="this project",
        metrics=metrics,
        optional=_pretrained(metrics),
        quantise="round",
        split="the data's test split",
        resize="the data's own",
        masks="pinned by a manifest",
        pitfalls=(
            "Metrics of the frame improve with the share of known pixels: compare within a ratio bin, or by the hole.",
            "FID, U-IDS and P-IDS depend on the number of images; U-IDS and P-IDS are near 0 below about ten thousand.",
            "A stochastic generator is measured by its first fill.",
        ),
    )


def _pennet(weights: MetricWeights) -> Protocol:
    metrics = (
        *(L1Relative(), PSNR(), SSIM("uniform", 51, sample_covariance=True)),
        FID(weights.inception),
    )
    return Protocol(
        name="pennet",
        title="PEN-Net's released evaluation",
        source="PEN-Net's code: test.py, eval.py, core/metric.py",
        metrics=metrics,
        optional=_pretrained(metrics),
        quantise="truncate",
        split="Facade 100, DTD 1,128, CelebA-HQ 2,000, Places2 36,500 test images",
        resize="256x256, whole image",
        masks="centre square of half the side; or NVIDIA irregular masks of a level, the i-th image with the i-th mask",
        pitfalls=(
            "Its MAE is sum |d| / sum (a + b), which is smaller for brighter pictures.",
            "SSIM windows of 51 pixels look far beyond small holes; depending on the picture, SSIM is above or below "
            "that of 11-pixel windows.",
            "The paper measures L1 of the hole, MS-SSIM and IS instead, on composites too (protocol pennet_paper).",
            "The code converts from [-1, 1] and truncates, which lowers 63 of 256 levels by one, in truths too; here "
            "truths keep their levels.",
            "Its FID drops an incomplete last batch of 4 and uses the weights of pytorch-fid.",
            "Its training reads mask files 2,000 to 11,999, which include the masks of all test levels but the first.",
        ),
    )


def _pennet_paper(weights: MetricWeights) -> Protocol:
    metrics = (
        *(L1Hole(percent=True), MSSSIM(percent=True)),
        *(InceptionScore(weights=weights.inception), FID(weights.inception)),
    )
    return Protocol(
        name="pennet_paper",
        title="PEN-Net's paper: L1, MS-SSIM, IS and FID of composites",
        source="PEN-Net, section 4 and table 3",
        metrics=metrics,
        optional=_pretrained(metrics),
        split="Places2 validation, 36,500 images",
        resize="256x256",
        masks="a square of 128x128, at random places in the table",
        pitfalls=(
            "Equation 7 defines the measured picture z as the composite; results without post-processing are taken to "
            "be composites without blending.",
            "The paper's IS uses a classifier trained on Places, this one Inception: do not compare them.",
            "L1 is printed without unit or region. Percent of the range over the hole is an inference: SRPNet measured "
            "2.75 % over the frame for the released weights, which is 11.0 % over a hole of a quarter, close to the "
            "printed 9.94.",
            "MS-SSIM needs at least 161 pixels per side.",
        ),
        published=published("pennet_paper"),
    )


def _srpnet(weights: MetricWeights) -> Protocol:
    return Protocol(
        name="srpnet",
        title="SRPNet's paper: L1, PSNR and MS-SSIM of composites",
        source="SRPNet, section 4, tables 2 to 5 and A3 to A5",
        metrics=(L1(percent=True), PSNR(), MSSSIM(percent=True)),
        split="DTD 1,128, Facade 100, CelebA-HQ 2,000, Places2 10,000 test images",
        resize="256x256",
        masks="central square of 128x128; NVIDIA irregular masks by level",
        pitfalls=(
            'Outputs "without any processing" are taken to be composites without blending, because the printed L1 goes '
            "to 0 with the hole; that of raw outputs does not.",
            "The text calls L1 a sum of differences; the tables fit a mean in percent.",
            "Its PEN-Net is the released one, trained for squares, even in the tables of irregular masks.",
            "Table A4 prints the same PSNR and MS-SSIM of GLCIC for two levels; PEN-Net's L1 is the same in table 4 "
            "(CelebA-HQ) and table A5 (Places2) in four of six levels.",
            "Table 5's baseline repeats PEN-Net's row of table 2; on Facade its L1 of the last two rows seem swapped "
            "(table 2 prints 3.02 for SRPNet), and on CelebA-HQ its SRPNet differs from table 2's.",
            "MS-SSIM needs at least 161 pixels per side.",
        ),
        published=published("srpnet"),
    )


def _sgenet(weights: MetricWeights) -> Protocol:
    metrics = (PSNR(), SSIM(), FID(weights.inception), MIoU())
    return Protocol(
        name="sgenet",
        title="SGE-Net's paper: PSNR, SSIM, FID and mIoU",
        source="SGE-Net, section 4, tables 1 and 3 to 5",
        metrics=metrics,
        optional=_pretrained(metrics),
        split="Outdoor Scenes 300 test images; Cityscapes validation, 500 images",
        resize="short side to 256 (Outdoor Scenes) or 512 (Cityscapes), 256x256 crops",
        masks="centre square of 128x128 (Outdoor Scenes) or 96x96 (Cityscapes); irregular masks",
        pitfalls=(
            "The paper states neither SSIM's window nor whether composites are judged; this protocol uses Gaussian "
            "11x11 windows and composites.",
            "The paper trains on Cityscapes' test images, whose labels are withheld.",
            "mIoU is for labels that a generator predicts itself; the paper's rows for other methods run a segmenter "
            "on their fills.",
            "FID over 300 or 500 images is mostly bias: compare only over the same images.",
        ),
        published=published("sgenet"),
    )


def _spn(weights: MetricWeights) -> Protocol:
    metrics = (
        *(PSNR(), SSIM("uniform", 11, sample_covariance=True), L1Grey()),
        *(DiversityL1(), DiversityLPIPS("alex", weights.alex), FID(weights.inception)),
    )
    return Protocol(
        name="spn",
        title="SPN's released evaluation, by the paper's bins",
        source="SPN's code: eval_final.py, eval_final_savenp_max.py; SPN, tables 1 to 5",
        metrics=metrics,
        optional=_pretrained(metrics),
        quantise="truncate",
        bins=(0.2, 0.4, 0.6),
        samples=5,
        mean="batches",
        batch=50,
        split="Places2 first 12,000 of validation, CelebA first 12,000 of test, Paris StreetView 100, CelebA-HQ 2,800",
        resize="256x256, CelebA after a central square crop",
        masks="drawn with replacement from the 12,000 NVIDIA irregular masks, fixed for each data set",
        pitfalls=(
            "L1 is taken on the mean of red, green and blue, where errors of channels cancel; it is smaller than the "
            "usual L1.",
            "An incomplete last batch is dropped; the batch size is 50, as in the authors' command.",
            "Of five fills of a stochastic generator, the best by PSNR counts, which a user could not pick.",
            "The paper's FID comes from another script, and its columns for mask intervals and for all images have "
            "different numbers of images.",
            "The paper prints L1 in tenths; here it is not scaled.",
            "The diversity of fills is not part of the paper's tables.",
            "Table 5 prints SSIM .886 and L1 .154 for SPL, tables 1 and 3 .882 and .161, with the same PSNR and FID.",
        ),
        published=published("spn"),
    )


def _pyramid(weights: MetricWeights) -> Protocol:
    return Protocol(
        name="pyramid",
        title="The dissertation on pyramid and fusion generators: SSIM, PSNR and L1",
        source="the dissertation, chapters 3 and 4, tables 3.1 to 4.2",
        metrics=(SSIM(), PSNR(), L1()),
        quantise="round",
        split="Places2 validation; DIV2K validation, 100 images",
        resize="512x512 or 1024x1024 random crops; 256x256 from crops of 512x512",
        masks="NVIDIA irregular masks by level (100 of them in table 4.1), free-form strokes, centre square",
        pitfalls=(
            "The text says that errors are measured in the hole; the values fit the frame, which is used here.",
            "Neither SSIM's window nor rounding is stated; this protocol uses Gaussian 11x11 windows and 8-bit files.",
            "Random crops are not pinned, and table 4.2 does not name its images.",
            "Tables 3.4 to 3.6 state neither the size nor the holes; fusion of features in the refine stage did not "
            "converge, so table 3.5 has no numbers of it.",
            "Table 3.1 prints a smaller L1 for Gated than for Gated retrained at 512, contrary to PSNR and SSIM.",
        ),
        published=published("pyramid"),
    )


def _lama(weights: MetricWeights) -> Protocol:
    metrics = (SSIM(padded=True), LPIPS("vgg", weights.vgg), FID(weights.inception))
    return Protocol(
        name="lama",
        title="LaMa's evaluation: LPIPS and FID, by tenths of measured area",
        source="LaMa's code: saicinpainting/evaluation; LaMa, section 4",
        metrics=metrics,
        optional=_pretrained(metrics),
        quantise="truncate",
        bins=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
        split="Places validation, 30,000 crops; CelebA-HQ, 2,000 fixed images",
        resize="Places 512x512 and 256x256 crops, CelebA-HQ 256x256",
        masks="thin, medium and thick strokes and boxes, at most half of the area; each kind its own table",
        pitfalls=(
            "LPIPS uses VGG, MAT's LPIPS AlexNet: the two are not comparable.",
            "SSIM has a window around every pixel and sees black beyond the frame.",
            "Its groups include the left edge, those here the right: a ratio of exactly 0.1 falls into another group.",
            "Its FID uses the weights of pytorch-fid, which resizes slightly differently.",
        ),
    )


def _mat(weights: MetricWeights) -> Protocol:
    metrics = (
        *(FID(weights.inception), PIDS(weights.inception), UIDS(weights.inception)),
        *(LPIPS("alex", weights.alex), PSNR(), SSIM(), L1()),
    )
    return Protocol(
        name="mat",
        title="MAT's evaluation: FID, P-IDS and U-IDS, and metrics of pixels",
        source="MAT's code: evaluatoin/*.py; MAT, section 4; MAT's page",
        metrics=metrics,
        optional=_pretrained(metrics),
        quantise="round",
        split="Places validation, 36,500 images; CelebA-HQ, 2,993 images",
        resize="512x512",
        masks="small and large free-form holes from its own generator; in its files 0 is the hole",
        pitfalls=(
            "Mask files are inverted: 0 is the hole.",
            "P-IDS and U-IDS need about ten thousand pairs; with fewer pairs than the 2048 features they are near 0.",
            "A prediction that equals its truth bit for bit counts half in P-IDS; in MAT's code it does not count.",
            "LPIPS uses AlexNet; LaMa's uses VGG.",
        ),
        published=published("mat"),
    )


PROTOCOLS: Mapping[str, Callable[[MetricWeights], Protocol]] = MappingProxyType(
    {
        "zoo": _zoo,
        "pennet": _pennet,
        "pennet_paper": _pennet_paper,
        "srpnet": _srpnet,
        "sgenet": _sgenet,
        "spn": _spn,
        "pyramid": _pyramid,
        "lama": _lama,
        "mat": _mat,
    }
)
