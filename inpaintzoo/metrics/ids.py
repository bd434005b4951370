"""U-IDS and P-IDS: how well a linear classifier tells completed pictures from true ones by their Inception features.

Zhao et al. 2021 (CoModGAN, https://arxiv.org/abs/2103.10428), section 4, as MAT and CoModGAN compute them: a linear
support vector machine (scikit-learn's `LinearSVC(dual=False)`) is fitted to the features of all truths and all
predictions of the set, and judged on the same. With fewer images than the 2048 features it separates nearly any two
sets, and both scores are near 0: they say something from some ten thousand images on.
"""

from __future__ import annotations

import collections
import hashlib
from collections.abc import Mapping

import numpy as np
from torch import Tensor

from inpaintzoo.metrics.inception_network import InceptionMetric

# The two scores want the same fit. It takes half a minute for 500 pairs on one core; what is kept of it is 16 KiB.
_FITS: collections.OrderedDict[str, tuple[np.ndarray, float]] = collections.OrderedDict()
_KEPT_FITS = 64


class _DiscriminativeScore(InceptionMetric):
    """Undefined for fewer than two pairs.

    Args:
        weights: local file with torch-fidelity's Inception weights, as in `FID`.
    """

    unit = "%"
    better = "higher"

    def features(self, prediction: Tensor, image: Tensor) -> dict[str, Tensor]:
        """Inception features of predictions and truths, `(B, 2048)` each."""
        return {"prediction": self.pooled(prediction), "image": self.pooled(image)}


class UIDS(_DiscriminativeScore):
    """Unpaired Inception discriminative score: the classifier's share of errors, in %; 50 is the best, chance.

    Args:
        weights: local file with torch-fidelity's Inception weights, as in `FID`.
    """

    name = "u_ids"

    @property
    def definition(self) -> str:
        """Formula, classifier and features."""
        return "share of errors, over truths and predictions, of " + _CLASSIFIER

    def compute(self, features: Mapping[str, np.ndarray]) -> float | None:
        """U-IDS of the set in %; None for fewer than two pairs."""
        if len(features["image"]) < 2:
            return None
        return 100 * unpaired_score(features["prediction"], features["image"])


class PIDS(_DiscriminativeScore):
    """Paired Inception discriminative score: share of pairs where the prediction looks more true than its truth, in %.

    A pair of equals counts half, so that perfect predictions score 50; the published code counts it as 0. (It
    happens only where a prediction is its truth to the last bit.)

    Args:
        weights: local file with torch-fidelity's Inception weights, as in `FID`.
    """

    name = "p_ids"

    @property
    def definition(self) -> str:
        """Formula, classifier and features."""
        return "share of pairs whose prediction gets the higher value, equals counting half, by " + _CLASSIFIER

    def compute(self, features: Mapping[str, np.ndarray]) -> float | None:
        """P-IDS of the set in %; None for fewer than two pairs."""
        if len(features["image"]) < 2:
            return None
        return 100 * paired_score(features["prediction"], features["image"])


_CLASSIFIER = (
    "a linear SVM (scikit-learn LinearSVC, dual=False) fitted to the same features: torch-fidelity Inception 2048, "
    "images rounded to 8 bits"
)


def unpaired_score(fake: np.ndarray, real: np.ndarray) -> float:
    """Share of the `(N, D)` fakes and `(N, D)` reals that a linear SVM fitted to them takes for the other kind."""
    normal, offset = _separator(fake, real)
    right = np.concatenate([real @ normal + offset > 0, fake @ normal + offset <= 0])
    return float(1 - right.mean())


def paired_score(fake: np.ndarray, real: np.ndarray) -> float:
    """Share of pairs `(fake[i], real[i])` where a linear SVM fitted to all gives the fake more; half for equals."""
    normal, _ = _separator(fake, real)
    # The difference first: it is exactly 0 for equal features, however the product is summed.
    return float(0.5 + 0.5 * np.sign((fake.astype(np.float64) - real) @ normal).mean())


def _separator(fake: np.ndarray, real: np.ndarray) -> tuple[np.ndarray, float]:
    """Normal and offset of the separating plane; reals are on the positive side."""
    digest = hashlib.blake2b(digest_size=16)
    for features in (fake, real):
        digest.update(f"{features.shape} {features.dtype} ".encode())
        digest.update(np.ascontiguousarray(features).data)
    key = digest.hexdigest()
    if key not in _FITS:
        _FITS[key] = _fitted(fake, real)
        while len(_FITS) > _KEPT_FITS:
            _FITS.popitem(last=False)
    return _FITS[key]


def _fitted(fake: np.ndarray, real: np.ndarray) -> tuple[np.ndarray, float]:
    from sklearn.svm import LinearSVC  # a second to import, which most commands need not wait for

    machine = LinearSVC(dual=False)
    machine.fit(np.concatenate([real, fake]), np.array([1] * len(real) + [0] * len(fake)))
    return machine.coef_[0], float(machine.intercept_[0])
