"""Names of metrics for readers; programs and options use those of `Metric.name`."""

from __future__ import annotations

_METRICS = {
    "psnr": "PSNR",
    "ssim": "SSIM",
    "ms_ssim": "MS-SSIM",
    "l1": "L1",
    "lpips": "LPIPS",
    "lpips_alex": "LPIPS (AlexNet)",
    "lpips_vgg": "LPIPS (VGG)",
    "diversity_lpips_alex": "diversity (LPIPS, AlexNet)",
    "diversity_lpips_vgg": "diversity (LPIPS, VGG)",
    "fid": "FID",
    "frechet_lite0": "Fréchet distance (EfficientNet-Lite0)",
    "lite0_distance": "feature distance (EfficientNet-Lite0)",
    "u_ids": "U-IDS",
    "p_ids": "P-IDS",
    "miou": "mIoU",
    "inception_score": "Inception score",
    "diversity": "diversity",
}
_PLACES = {"hole": "in the hole", "border": "at the hole's border", "grey": "of grey levels"}


def in_words(name: str) -> str:
    """A metric's name for readers, such as `PSNR in the hole` for `psnr_hole`."""
    parts = name.split("_")
    for end in range(len(parts), 0, -1):
        if known := _METRICS.get("_".join(parts[:end])):
            rest = "_".join(parts[end:])
            about = _PLACES.get(rest) or f"({in_words(rest)})"
            return f"{known} {about}" if rest else known
    return " ".join(parts)
