"""FID and Inception Score, from the features of the original TensorFlow Inception network.

FID: Heusel et al. 2017 (https://arxiv.org/abs/1706.08500). IS: Salimans et al. 2016 (https://arxiv.org/abs/1606.03498).
FID falls as the number of images grows, so compare only values over the same set.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from inpaintzoo.metrics.inception_network import InceptionFeatures, InceptionMetric


class FID(InceptionMetric):
    """Fréchet distance between the Inception features (2048) of the predictions and of the truths.

    Undefined for fewer than two images. Features of all images are kept in memory, 16 KiB per image.

    Args:
        weights: local file with torch-fidelity's Inception weights; without one, torch hub's cache is used, and filled
            if necessary.
    """

    name = "fid"
    better = "lower"

    @property
    def definition(self) -> str:
        """Features and resizing."""
        return "FID against the truths of the same set, torch-fidelity Inception 2048, images rounded to 8 bits"

    def compute(self, features: Mapping[str, np.ndarray]) -> float | None:
        """FID of the set; None for fewer than two images."""
        if len(features["image"]) < 2:
            return None
        return frechet_distance(features["prediction"], features["image"])


class InceptionScore(InceptionMetric):
    """Inception Score of the predictions: exp of the mean KL divergence between p(class | image) and p(class).

    The set is split into `splits` parts, image i going to part i mod `splits`, and the mean of the parts' scores is
    reported. Undefined for fewer images than parts.

    Args:
        splits: number of parts.
        weights: as in `FID`.
    """

    name = "inception_score"
    better = "higher"
    reads_truth = False

    def __init__(self, splits: int = 10, weights: str | Path | None = None) -> None:
        super().__init__(weights)
        if splits < 1:
            raise ValueError(f"InceptionScore: splits must be at least 1, got {splits}")
        self.splits = splits

    @property
    def definition(self) -> str:
        """Network and splits."""
        return f"IS, torch-fidelity Inception logits without bias, mean of {self.splits} splits, rounded to 8 bits"

    def features(self, prediction: InceptionFeatures, image: object) -> dict[str, Tensor]:
        """Logits of the predictions, `(B, 1008)`."""
        return {"logits": prediction.logits}

    def compute(self, features: Mapping[str, np.ndarray]) -> float | None:
        """The score of the set; None for fewer images than splits."""
        if len(features["logits"]) < self.splits:
            return None
        return inception_score(features["logits"], self.splits)


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Fréchet distance between Gaussians fitted to two sets of features, `(N, D)` and `(M, D)`, in float64.

    `|mean_a - mean_b|^2 + tr(A) + tr(B) - 2 tr sqrt(A B)` with sample covariances A and B. With A = X^T X and
    B = Y^T Y the last trace is the sum of the singular values of X Y^T: no matrix square root, no complex numbers, and
    exact for sets smaller than D, whose covariances are singular.
    """
    shift = a.mean(axis=0, dtype=np.float64) - b.mean(axis=0, dtype=np.float64)
    x, y = _centred_factor(a), _centred_factor(b)
    overlap = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    return float(max(shift @ shift + (x * x).sum() + (y * y).sum() - 2 * overlap, 0.0))


def _centred_factor(features: np.ndarray) -> np.ndarray:
    """R with R^T R = sample covariance and at most D rows."""
    count = len(features)
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    factor = centred if count <= features.shape[1] else np.linalg.qr(centred, mode="r")
    return factor / np.sqrt(count - 1)


def inception_score(logits: np.ndarray, splits: int = 1) -> float:
    """Mean over splits of `exp(mean KL(p(y | x) || p(y)))`, for `(N, classes)` logits; sample i is in split i mod n."""
    logits = logits.astype(np.float64)
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    scores = []
    for part in (log_p[start::splits] for start in range(splits)):
        p = np.exp(part)
        # A class that underflows to 0 in every sample adds nothing: 0 * (log p - log 0) = 0.
        marginal = np.log(np.maximum(p.mean(axis=0), np.finfo(np.float64).tiny))
        scores.append(np.exp((p * (part - marginal)).sum(axis=1).mean()))
    return float(np.mean(scores))
