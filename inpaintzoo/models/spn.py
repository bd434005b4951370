"""SPN: semantic pyramid network, deterministic and probabilistic.

Zhang, Wang, Ni, Yang: "Fully Context-Aware Image Inpainting with a Learned Semantic Pyramid", Pattern Recognition 2023,
https://arxiv.org/abs/2112.04107. From the masked picture, a prior learner predicts a teacher's features of the
whole one (`SPNOutput.priors`); the learner's maps (not the heads' predictions) modulate those of an image generator.
The architecture follows the authors' released code, whose weights load, where it differs from the paper:

| | paper | released, and here |
|---|---|---|
| image encoder (equation 7) | reads the masked image and the mask | reads the image; the mask acts in the region norm |
| input of the prior learner | enlarged by 2^l | enlarged twice by nearest |
| after the last downsampling | "a residual block" | 16 residual dense blocks and their fusion |
| SPADE (equation 8) | gamma * IN(F) + beta | (1 + gamma) * IN(F) + beta |
| hidden width of SPADE | not stated | 128; if stochastic, no more than the prior has channels |
| upsampling in the decoder | after each SPADE block | before it |

Choices where the ablations leave details open: with fewer `levels` (table 3) the finest decoder blocks have no prior
and only normalise; with `conditioning="concat"` (figure 7) the prior is concatenated to the input of each decoder
block and merged by a 3x3 convolution before the middle blocks, which only normalise. SPL, the first row
of table 3, is `inpaintzoo.models.SPL`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inpaintzoo.generator import Generator
from inpaintzoo.layers.prior_learner import Posterior, PriorDecoder, PriorEncoder, VariationalModule, run_block
from inpaintzoo.layers.region_norm import RegionNorm
from inpaintzoo.layers.residual import reflect
from inpaintzoo.layers.spade_blocks import Conditioning, SPADEBlock, SPADEUpBlock
from inpaintzoo.types import Output

Features = Literal["priors", "encoder", "decoder"]
"""The prior pyramid, or the image generator's features before or after the middle blocks."""


def check_features(owner: str, which: str) -> None:
    """Raise `ValueError` for an unknown kind of features."""
    if which not in get_args(Features):
        raise ValueError(f"{owner}: which must be one of {', '.join(get_args(Features))}, got {which!r}")


@dataclasses.dataclass
class SPNOutput(Output):
    """Output of SPN and SPL.

    Attributes:
        priors: predictions of the teacher's features, finest first; empty in eval mode (section 3.1.1: the heads are
            "removed from SPN during testing").
        posterior: distribution of the latent, if stochastic.
        second_sample: `(B, 3, H, W)` in [0, 1], drawn with another latent; stochastic networks in training only.
        second_priors: the second sample's predictions; empty without one.
    """

    priors: list[Tensor] = dataclasses.field(default_factory=list)
    posterior: Posterior | None = None
    second_sample: Tensor | None = None
    second_priors: list[Tensor] = dataclasses.field(default_factory=list)


class ImageEncoder(nn.Module):
    """Enc_img of equation 7, with region normalisation.

    Args:
        width: channels at full size; the result has 4 times as many.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            [
                nn.Conv2d(3, width, 7),
                nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
                nn.Conv2d(2 * width, 4 * width, 4, stride=2, padding=1),
            ]
        )
        self.norms = nn.ModuleList(RegionNorm(factor * width) for factor in (1, 2, 4))

    def forward(self, masked_image: Tensor, mask: Tensor) -> Tensor:
        """`(B, 4 * width, H / 4, W / 4)`."""
        features = reflect(masked_image, 3)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            features = F.relu(norm(convolution(features), mask), inplace=True)
        return features


class PriorGuided(Generator):
    """The base of SPN and SPL: the prior learner, its heads, and the image generator up to the middle blocks.

    Args:
        levels: levels of the prior pyramid: 1 is a quarter of the size, 2 adds a half, 3 full size.
        blocks: SPADE blocks at a quarter of the size.
        prior_channels: channels of the teacher's features, finest first; one per level, or all three.
        width: channels at full size, 64 in the paper.
        growth: channels that each layer of the prior learner's dense blocks adds.
        dense_blocks: number of dense blocks.
        hidden: channels of SPADE's hidden maps.
        latent: channels of the latent; 0: deterministic.
        negative_slope: negative slope of the prior encoder's activation.
        middle_prior: whether the prior modulates the middle blocks.
        checkpointing: recompute SPADE blocks and dense blocks in the backward pass: less memory, more time.

    Attributes:
        prior_channels: channels of the heads' predictions, one per level, finest first.
        prior_strides: the levels' strides, finest first.
        training_only: names of the sub-modules that inference does not need.
    """

    size_multiple = 4
    training_only: ClassVar[tuple[str, ...]] = ("heads",)

    def __init__(
        self,
        levels: int,
        blocks: int,
        prior_channels: Sequence[int],
        width: int,
        growth: int,
        dense_blocks: int,
        hidden: int,
        latent: int = 0,
        negative_slope: float = 0.0,
        middle_prior: bool = True,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        sizes = {"blocks": blocks, "width": width, "growth": growth, "dense_blocks": dense_blocks, "hidden": hidden}
        for name, value in sizes.items():
            if value < 1:
                raise ValueError(f"{type(self).__name__}: {name} must be 1 or more, got {value}")
        # Mirroring two pixels at a quarter of the size needs three.
        self.smallest_side = 12
        self.checkpointing = checkpointing
        self.prior_strides = (1, 2, 4)[3 - levels :]
        self._layout_channels = (width, 2 * width, 4 * width)[3 - levels :]
        deep = 4 * width
        self.image_encoder = ImageEncoder(width)
        self.prior_encoder = PriorEncoder(width, growth, dense_blocks, negative_slope, checkpointing)
        self.prior_decoder = PriorDecoder(width, levels, 2 * deep if latent else deep)
        self.middle = nn.ModuleList(
            SPADEBlock(deep, deep if middle_prior else 0, min(hidden, deep) if latent else hidden)
            for _ in range(blocks)
        )
        self.prior_channels: tuple[int, ...] = ()
        self.set_prior_channels(prior_channels[3 - levels :] if len(prior_channels) == 3 else prior_channels)

    @property
    def settings(self) -> dict[str, Any]:
        """The constructor's arguments, with the channels that the heads have now."""
        return {**super().settings, "prior_channels": self.prior_channels}

    def set_prior_channels(self, channels: Sequence[int]) -> None:
        """Size the heads for another teacher; if a channel count changes, all heads are initialised again.

        Args:
            channels: channels of the teacher's features at `prior_strides`, finest first.

        Raises:
            ValueError: not one positive number per level.
        """
        channels = tuple(channels)
        if len(channels) != len(self.prior_strides) or min(channels) < 1:
            raise ValueError(
                f"{type(self).__name__}: prior_channels must be {len(self.prior_strides)} positive numbers, for the "
                f"strides {self.prior_strides}, got {channels}"
            )
        if channels == self.prior_channels:
            return
        like = self.middle[0].plain.weight  # type: ignore[union-attr]
        self.prior_channels = channels
        self.heads = nn.ModuleList(
            nn.Conv2d(before, after, 1, device=like.device, dtype=like.dtype)  # type: ignore[arg-type]
            for before, after in zip(self._layout_channels, channels, strict=True)
        )

    def _whiten(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The image with a white hole, and the mask in its dtype."""
        self.check_size(image, mask)
        return self.hide_hole(image, mask, fill=1.0), mask.to(image.dtype)

    def _predictions(self, pyramid: list[Tensor]) -> list[Tensor]:
        """The heads' predictions of the teacher's features (equation 4), in training mode."""
        if not self.training:
            return []
        return [head(level) for head, level in zip(self.heads, pyramid, strict=True)]

    def _refine(self, features: Tensor, prior: Tensor | None) -> Tensor:
        """The middle blocks: F_dec^L of equation 9."""
        for block in self.middle:
            features = run_block(block, features, prior, checkpointing=self.checkpointing)
        return features


@dataclasses.dataclass
class _Encoded:
    """The part of a forward pass that does not depend on the latent."""

    features: Tensor  # F_enc^L
    deep: Tensor  # S_enc^L
    skips: list[Tensor]  # S_enc^l, finest first
    posterior: Posterior | None

    def repeat(self, times: int) -> _Encoded:
        """The batch, repeated."""
        features, deep, *skips = (x.repeat(times, 1, 1, 1) for x in (self.features, self.deep, *self.skips))
        return _Encoded(features, deep, skips, self.posterior)


class SPN(PriorGuided):
    """Semantic pyramid network (figure 2).

    50,702,643 parameters at the defaults, 68,512,883 if stochastic. Sides must be multiples of 4 from 12 up, of 32 if
    stochastic. PyTorch's default initialisation. A stochastic network draws two latents per image in training mode, one
    in eval mode.

    Args:
        levels: levels of the prior pyramid (table 3): 1 is a quarter of the size, 2 adds a half, 3 full size.
        blocks: SPADE blocks at a quarter of the size (table 4).
        stochastic: whether to add the variational module (section 3.1.2).
        prior_channels: channels of the teacher's features, finest first; one per level, or all three.
        conditioning: `spade`, or `concat` for the ablation of figure 7.
        checkpointing: recompute SPADE blocks and dense blocks in the backward pass: less memory, more time.
        width: channels at full size.
        growth: channels that each layer of the prior learner's dense blocks adds.
        dense_blocks: number of dense blocks.
        hidden: channels of SPADE's hidden maps; if stochastic, at most as many as the prior has.
        latent: channels of the latent.

    Attributes:
        prior_channels: channels of the heads' predictions, one per level, finest first.
        prior_strides: the levels' strides, finest first: `(1, 2, 4)`, `(2, 4)` or `(4,)`.
        training_only: names of the sub-modules that inference does not need.
    """

    def __init__(
        self,
        levels: Literal[1, 2, 3] = 3,
        blocks: int = 8,
        stochastic: bool = False,
        prior_channels: tuple[int, ...] = (76, 76, 152),
        conditioning: Literal["spade", "concat"] = "spade",
        checkpointing: bool = False,
        width: int = 64,
        growth: int = 32,
        dense_blocks: int = 16,
        hidden: int = 128,
        latent: int = 128,
    ) -> None:
        if levels not in (1, 2, 3):
            raise ValueError(f"SPN: levels must be 1, 2 or 3, got {levels}")
        if conditioning not in ("spade", "concat"):
            raise ValueError(f"SPN: conditioning must be 'spade' or 'concat', got {conditioning!r}")
        if latent < 1:
            raise ValueError(f"SPN: latent must be 1 or more, got {latent}")
        super().__init__(
            levels,
            blocks,
            prior_channels,
            width,
            growth,
            dense_blocks,
            hidden,
            latent=latent if stochastic else 0,
            middle_prior=conditioning == "spade",
            checkpointing=checkpointing,
        )
        self.stochastic = stochastic
        self.latent = latent
        self.variational = VariationalModule(width, latent) if stochastic else None
        if stochastic:  # the latent has a 32nd of the sides
            self.size_multiple = self.smallest_side = 32  # type: ignore[misc]
        self.merge = nn.Conv2d(8 * width, 4 * width, 3, padding=1) if conditioning == "concat" else None
        self.decoder = nn.ModuleList()
        for stride in (2, 1):
            after = width * stride
            narrow = min(hidden, after) if stochastic else hidden
            chosen: Conditioning = conditioning if stride in self.prior_strides else "none"
            self.decoder.append(SPADEUpBlock(2 * after, after, after, narrow, chosen))
        self.output = nn.Conv2d(width, 3, 7)

    def forward(self, image: Tensor, mask: Tensor, *, noise: Sequence[Tensor] | None = None) -> SPNOutput:
        """Fill the hole.

        Args:
            image: `(B, 3, H, W)` in [0, 1]; whatever lies in the hole is ignored.
            mask: `(B, 1, H, W)`, 1 = hole.
            noise: standard normal values to use instead of drawing them, `(B, latent, H / 32, W / 32)` per sample: two
                in training mode, one in eval mode; stochastic networks only.

        Raises:
            ValueError: the shapes do not fit.
        """
        encoded = self._encode(*self._whiten(image, mask))
        draws = 2 if self.training and self.stochastic else 1
        latent = self._latent(encoded.posterior, draws, noise)
        prediction, pyramid = self._decode(encoded if draws == 1 else encoded.repeat(draws), latent)
        priors = self._predictions(pyramid)
        if draws == 1:
            return SPNOutput(prediction, priors, encoded.posterior)
        first, second = prediction.chunk(2)
        halves = [prior.chunk(2) for prior in priors]
        return SPNOutput(first, [half[0] for half in halves], encoded.posterior, second, [half[1] for half in halves])

    def noise_shape(self, height: int, width: int) -> tuple[int, ...] | None:
        """Shape of the latent, `(latent, H / 32, W / 32)`; None if deterministic."""
        return (self.latent, height // 32, width // 32) if self.stochastic else None

    @torch.no_grad()
    def sample(
        self,
        image: Tensor,
        mask: Tensor,
        n: int,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
    ) -> Tensor:
        """Several fills of every hole, without gradients; the encoders run once for all of them.

        Args:
            image: `(B, 3, H, W)` in [0, 1].
            mask: `(B, 1, H, W)`, 1 = hole.
            n: samples per image.
            generator: source of the noise, for repeatable samples. It draws all samples of one image, then of the next,
                so that the first image's samples depend neither on later images nor on `n`. A sequence has one per
                image.

        Returns:
            `(B, n, 3, H, W)` in [0, 1], raw predictions like `Output.image`.

        Raises:
            ValueError: the network is deterministic, `n` is not positive, or the generators do not fit the batch.
        """
        if not self.stochastic:
            raise ValueError("SPN: only a stochastic network has samples to draw; build it with stochastic=True")
        if n < 1:
            raise ValueError(f"SPN: n must be 1 or more, got {n}")
        encoded = self._encode(*self._whiten(image, mask))
        assert encoded.posterior is not None
        noise = _draw_noise(encoded.posterior.mean, n, generator)
        return torch.stack(
            [self._decode(encoded, self._latent(encoded.posterior, 1, [noise[:, i]]))[0] for i in range(n)], dim=1
        )

    def prior_features(
        self, image: Tensor, mask: Tensor, *, noise: Tensor | None = None, which: Features = "priors"
    ) -> list[Tensor]:
        """The prior pyramid, finest first, as targets for another network (table 5) or to look at (figures 10 to 12).

        Args:
            image: `(B, 3, H, W)` in [0, 1].
            mask: `(B, 1, H, W)`, 1 = hole; all 0 for features of the whole image.
            noise: `(B, latent, H / 32, W / 32)`, standard normal values of one sample; stochastic networks only. None:
                the latent's mean.
            which: `priors`, or the image generator's features at a quarter of the size before (`encoder`, F_enc^L) or
                after (`decoder`, F_dec^L) the middle blocks, in a list of one.

        Returns:
            `(B, channels, H / stride, W / stride)` for the strides `prior_strides`; `width * stride` channels.

        Raises:
            ValueError: the shapes do not fit, noise for a deterministic network, or an unknown kind of features.
        """
        check_features("SPN", which)
        masked_image, hole = self._whiten(image, mask)
        skips, deep = self.prior_encoder(masked_image, hole)
        posterior = None if self.variational is None else self.variational.encode(deep)
        if noise is None:
            latent = None if posterior is None else posterior.mean
        else:
            latent = self._latent(posterior, 1, [noise])
        pyramid = self._pyramid(deep, skips, latent)
        if which == "priors":
            return pyramid
        features = self.image_encoder(masked_image, hole)
        return [features if which == "encoder" else self._refined(features, pyramid[-1])]

    def _encode(self, masked_image: Tensor, mask: Tensor) -> _Encoded:
        skips, deep = self.prior_encoder(masked_image, mask)
        posterior = None if self.variational is None else self.variational.encode(deep)
        return _Encoded(self.image_encoder(masked_image, mask), deep, skips, posterior)

    def _latent(self, posterior: Posterior | None, draws: int, noise: Sequence[Tensor] | None) -> Tensor | None:
        """`draws` latents per image: first one for every image, then the second."""
        if posterior is None:
            if noise is not None:
                raise ValueError("SPN: a deterministic network takes no noise; build it with stochastic=True")
            return None
        mean, std = posterior
        if noise is None:
            noise = [torch.randn_like(mean) for _ in range(draws)]
        if [tuple(values.shape) for values in noise] != [tuple(mean.shape)] * draws:
            raise ValueError(
                f"SPN: noise must be {draws} x {tuple(mean.shape)}, got {[tuple(values.shape) for values in noise]}"
            )
        return torch.cat([mean + std * values for values in noise])

    def _pyramid(self, deep: Tensor, skips: list[Tensor], latent: Tensor | None) -> list[Tensor]:
        """S_prior of equations 3 and 5, finest first."""
        if self.variational is not None and latent is not None:
            deep = torch.cat([deep, self.variational.decode(latent)], dim=1)
        return self.prior_decoder(deep, skips)

    def _refined(self, features: Tensor, prior: Tensor) -> Tensor:
        """F_dec^L of equation 9, from F_enc^L and S_prior^L."""
        if self.merge is not None:
            features = self.merge(torch.cat([features, prior], dim=1))
        return self._refine(features, prior)

    def _decode(self, encoded: _Encoded, latent: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """The prediction in [0, 1] and the prior pyramid (equation 9)."""
        pyramid = self._pyramid(encoded.deep, encoded.skips, latent)
        features = self._refined(encoded.features, pyramid[-1])
        priors = dict(zip(self.prior_strides, pyramid, strict=True))
        for block, stride in zip(self.decoder, (2, 1), strict=True):
            features = run_block(block, features, priors.get(stride), checkpointing=self.checkpointing)
        raw = self.output(reflect(F.leaky_relu(features, 0.2), 3))
        return (torch.tanh(raw) + 1) / 2, pyramid


def _draw_noise(like: Tensor, n: int, generator: torch.Generator | Sequence[torch.Generator] | None) -> Tensor:
    """Standard normal values `(B, n, ...)` for a batch `(B, ...)`, drawn image by image, sample by sample."""
    batch = len(like)
    if generator is None:
        return torch.randn(batch, n, *like.shape[1:], device=like.device, dtype=like.dtype)
    sources = [generator] * batch if isinstance(generator, torch.Generator) else list(generator)
    if len(sources) != batch:
        raise ValueError(
            f"SPN: generator must have one random generator per image, got {len(sources)} for {batch} images"
        )
    drawn = [
        torch.randn(like.shape[1:], generator=source, device=source.device) for source in sources for _ in range(n)
    ]
    return torch.stack(drawn).to(like).unflatten(0, (batch, n))
