"""U-IDS and P-IDS: how well a linear classifier tells completed pictures from true ones by their Inception features.

Zhao et al. 2021 (CoModGAN, https://arxiv.org/abs/2103.10428), section 4, as MAT and CoModGAN compute them: a linear
support vector machine (scikit-learn's `LinearSVC(dual=False)`) is fitted to the features of all truths and all
predictions of the set, and scored on the same features. With fewer images than the 2048 features it separates nearly
any two sets, and both scores are near 0; they become meaningful at around ten thousand images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from inpaintzoo.metrics.inception_network import Inception, InceptionMetric, Plane


class _DiscriminativeScore(InceptionMetric):
    unit = "%"
    better = "higher"

    def compute(self, features: Mapping[str, np.ndarray]) -> float | None:
        """The score of the set in %; None for fewer than two pairs."""
        fake, real = features["prediction"], features["image"]
        if len(real) < 2:
            return None
        # Both scores, and all protocols that judge the same pictures, need the same fit, which takes half a minute for
        # 500 pairs on one core. Their metrics share the extractor, which keeps the 16 KiB of the result.
        assert isinstance(self.extractor, Inception)
        planes, key = self.extractor.planes, _digest(fake, real)
        if key not in planes:
            planes[key] = separating_plane(fake, real)
        return 100 * self.score(fake, real, planes[key])

    def score(self, fake: np.ndarray, real: np.ndarray, plane: Plane) -> float:
        """The score of `(N, 2048)` features of predictions and truths, in [0, 1], given the plane between them."""
        raise NotImplementedError


class UIDS(_DiscriminativeScore):
    """Unpaired Inception discriminative score: the classifier's error rate, in %; 50, which is chance, is the best.

    Args:
        weights: local file with torch-fidelity's Inception weights, as in `FID`.
    """

    name = "u_ids"

    @property
    def definition(self) -> str:
        """Formula, classifier and features."""
        return "share of errors, over truths and predictions, of " + _CLASSIFIER

    def score(self, fake: np.ndarray, real: np.ndarray, plane: Plane) -> float:  # noqa: D102
        return unpaired_score(fake, real, plane)


class PIDS(_DiscriminativeScore):
    """Paired Inception discriminative score: share of pairs where the prediction looks more real than the truth, in %.

    A tie counts half, so that perfect predictions score 50; the published code counts it as 0. (Ties occur only where
    a prediction equals its truth bit for bit.)

    Args:
        weights: local file with torch-fidelity's Inception weights, as in `FID`.
    """

    name = "p_ids"

    @property
    def definition(self) -> str:
        """Formula, classifier and features."""
        return "share of pairs whose prediction gets the higher value, equals counting half, by " + _CLASSIFIER

    def score(self, fake: np.ndarray, real: np.ndarray, plane: Plane) -> float:  # noqa: D102
        return paired_score(fake, real, plane)


_CLASSIFIER = (
    "a linear SVM (scikit-learn LinearSVC, dual=False) fitted to the same features: torch-fidelity Inception 2048, "
    "images rounded to 8 bits"
)


def separating_plane(fake: np.ndarray, real: np.ndarray) -> Plane:
    """The linear SVM fitted to `(N, D)` fakes and `(N, D)` reals; reals are on the positive side."""
    from sklearn.svm import LinearSVC  # takes a second to import, which most commands need not wait for

    machine = LinearSVC(dual=False)
    machine.fit(np.concatenate([real, fake]), np.array([1] * len(real) + [0] * len(fake)))
    return machine.coef_[0], float(machine.intercept_[0])


def unpaired_score(fake: np.ndarray, real: np.ndarray, plane: Plane) -> float:
    """Share of the `(N, D)` fakes and `(N, D)` reals on the wrong side of a plane."""
    normal, offset = plane
    right = np.concatenate([real @ normal + offset > 0, fake @ normal + offset <= 0])
    return float(1 - right.mean())


def paired_score(fake: np.ndarray, real: np.ndarray, plane: Plane) -> float:
    """Share of pairs `(fake[i], real[i])` of `(N, D)` features whose fake is farther on the side of the reals.

    Ties count half.
    """
    normal, _ = plane
    # Subtract first: equal features then give exactly 0, however the product is summed.
    return float(0.5 + 0.5 * np.sign((fake.astype(np.float64) - real) @ normal).mean())


def _digest(*arrays: np.ndarray) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(f"{array.shape} {array.dtype} ".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.digest()
