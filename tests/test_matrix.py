"""Every generator with every objective and every discriminator: two steps of training, from YAML.

By default each generator meets each discriminator and each objective, the objectives in turn; `-m slow` runs the rest.
"""

import pytest
import yaml
from places import TESTS
from torch.optim import Adam

from inpaintzoo import Generator, Inpainter, models
from inpaintzoo.commands import main

MATRIX = str(TESTS / "conf" / "matrix.yaml")

# Arguments, and the losses without which some of the network's parameters would learn nothing.
PYRAMID = {"HoleL1": {}, "PyramidL1": {}}
PRIORS = {"L1": {}, "PriorDistillation": {"teacher": {"class_path": "RandomTeacher"}}}
NARROW = {"width": 4, "blocks": 1, "growth": 4, "dense_blocks": 1, "hidden": 4}
GENERATORS = {
    "PENNet": ({"width": 8}, PYRAMID),
    "PyramidGenerator": ({"width": 4}, {"L1": {}, "PyramidL1": {}, "StructureL1": {}}),
    "SRPNet": ({"width": 8}, PYRAMID),
    "SGENet": ({"width": 4, "hidden": 4}, {"L1": {"which": "pyramid"}, "SegmentationLoss": {}}),
    "SPN": (NARROW, PRIORS),
    "SPL": (NARROW, PRIORS),
    "AFFNet": ({"width": 4}, {"L1": {}}),
    "GatedNet": ({"width": 4}, {"L1": {}}),
}
OBJECTIVES = ["NonSaturating", "Hinge", "LeastSquares", "WassersteinGP", "RelativisticAverage"]
DISCRIMINATORS = {
    "PENNetDiscriminator": {"width": 4},
    "SRPNetDiscriminator": {"width": 4},
    "SNPatchDiscriminator": {"width": 4},
    "SPNDiscriminator": {"width": 4},
    "SPNProbabilisticDiscriminator": {"width": 4},
    "PatchDiscriminator": {"width": 4},
    "MultiScaleAdversary": {"width": 4, "num_layers": 1, "norm": "spectral+instance"},
}


def block(name, arguments):
    return {"class_path": name, "init_args": arguments}


def adversary(discriminator, objective):
    arguments = {"objective": block(objective, {}), "weight": 0.1}
    if discriminator != "MultiScaleAdversary":
        return block("Adversary", arguments | {"discriminator": block(discriminator, DISCRIMINATORS[discriminator])})
    scales = [block("PatchDiscriminator", DISCRIMINATORS[discriminator])] * 3
    return block("MultiScaleAdversary", arguments | {"discriminators": scales})


def fit(folder, size, **arguments):
    layer = folder / "layer.yaml"
    layer.write_text(yaml.safe_dump({"model": {"init_args": arguments}, "data": {"init_args": {"image_size": size}}}))
    return main(["fit", "--config", MATRIX, "--config", str(layer), "--trainer.default_root_dir", str(folder)])


def test_the_matrix_is_complete():
    generators = {name for name in models.__all__ if issubclass(getattr(models, name), Generator)}
    assert set(GENERATORS) == generators


def combinations():
    for i, generator in enumerate(GENERATORS):
        for j, discriminator in enumerate(DISCRIMINATORS):
            for k, objective in enumerate(OBJECTIVES):
                marks = () if (i + j) % len(OBJECTIVES) == k else pytest.mark.slow
                yield pytest.param(generator, objective, discriminator, marks=marks)


@pytest.mark.parametrize(("generator", "objective", "discriminator"), combinations())
def test_two_steps(tmp_path, generator, objective, discriminator):
    judge = adversary(discriminator, objective)
    arguments, losses = GENERATORS[generator]
    terms = {name.lower(): block(name, arguments) for name, arguments in losses.items()}
    size = 128 if generator == "SRPNet" else 64
    network = block(generator, arguments)
    assert fit(tmp_path, size, generator=network, losses=terms, adversaries={"judge": judge}) == 0


def test_the_watch_sees_a_wrong_update(tmp_path, monkeypatch):
    # The matrix is worth something only if the watch can fail: here every step also moves a discriminator's weight.
    step, built = Adam.step, []

    def crossing(self, *args, **kwargs):
        result = step(self, *args, **kwargs)
        next(built[0].adversaries.parameters()).data.add_(1.0)
        return result

    def configure(self):
        built.append(self)
        return original(self)

    original = Inpainter.configure_optimizers
    monkeypatch.setattr(Inpainter, "configure_optimizers", configure)
    monkeypatch.setattr(Adam, "step", crossing)
    with pytest.raises(AssertionError, match=r"the generator's update moved \['adversaries', 'generator'\]"):
        fit(tmp_path, 64, adversaries={"judge": adversary("PatchDiscriminator", "Hinge")})
