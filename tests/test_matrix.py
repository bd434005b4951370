"""Every generator with every objective and every discriminator: two steps of training, from YAML.

By default each generator meets each discriminator and each objective, the objectives in turn; `-m slow` runs the rest.
A new class joins by being public; a generator that needs more than the defaults has a line in `NEEDS`.
"""

import inspect
from itertools import product

import pytest
import yaml
from places import TESTS
from torch.optim import Adam

from inpaintzoo import Discriminator, Generator, Inpainter, Objective, discriminators, models, objectives
from inpaintzoo.commands import main

MATRIX = str(TESTS / "conf" / "matrix.yaml")


def public(module, base):
    """The subclasses of `base` that a module makes public, by name."""
    found = {name: kind for name, kind in sorted(vars(module).items()) if inspect.isclass(kind) and name[0] != "_"}
    return {name: kind for name, kind in found.items() if issubclass(kind, base) and kind is not base}


GENERATORS = public(models, Generator)
OBJECTIVES = public(objectives, Objective)
DISCRIMINATORS = public(discriminators, Discriminator)
JUDGES = [*DISCRIMINATORS, "MultiScaleAdversary"]

# Arguments that keep a network small, given to each one that takes them.
SMALL = {"width": 4, "hidden": 4, "blocks": 1, "growth": 4, "dense_blocks": 1}

# What a generator needs beyond that: other arguments, losses without which some of its parameters would learn nothing
# (the default is an L1), and the size of its pictures in pixels (64).
PYRAMID = {"HoleL1": {}, "PyramidL1": {}}
PRIORS = {"L1": {}, "PriorDistillation": {"teacher": {"class_path": "RandomTeacher"}}}
NEEDS = {
    "PENNet": {"arguments": {"width": 8}, "losses": PYRAMID},
    "PyramidGenerator": {"losses": {"L1": {}, "PyramidL1": {}, "StructureL1": {}}},
    "SGENet": {"losses": {"L1": {"which": "pyramid"}, "SegmentationLoss": {}}},
    "SmoothRefine": {"arguments": {"width": 6, "reduction": 2}},
    "SPL": {"losses": PRIORS},
    "SPN": {"losses": PRIORS},
    "SRPNet": {"arguments": {"width": 8}, "losses": PYRAMID, "size": 128},
}


def block(name, arguments):
    return {"class_path": name, "init_args": arguments}


def small(kind):
    return {name: value for name, value in SMALL.items() if name in inspect.signature(kind).parameters}


def adversary(discriminator, objective):
    arguments = {"objective": block(objective, {}), "weight": 0.1}
    if discriminator == "MultiScaleAdversary":
        scale = block("PatchDiscriminator", {"width": 4, "num_layers": 1, "norm": "spectral+instance"})
        return block(discriminator, arguments | {"discriminators": [scale] * 3})
    network = block(discriminator, small(DISCRIMINATORS[discriminator]))
    return block("Adversary", arguments | {"discriminator": network})


def fit(folder, size=64, **arguments):
    layer = folder / "layer.yaml"
    layer.write_text(yaml.safe_dump({"model": {"init_args": arguments}, "data": {"init_args": {"image_size": size}}}))
    return main(["fit", "--config", MATRIX, "--config", str(layer), "--trainer.default_root_dir", str(folder)])


def test_the_matrix_is_complete():
    assert set(GENERATORS) == set(models.__all__)
    assert set(NEEDS) <= set(GENERATORS), "a line for a generator that is gone"
    assert len(DISCRIMINATORS) > 5 and len(OBJECTIVES) > 4


def combinations():
    for (i, generator), (j, judge), (k, objective) in product(*map(enumerate, (GENERATORS, JUDGES, OBJECTIVES))):
        marks = () if (i + j) % len(OBJECTIVES) == k else pytest.mark.slow
        yield pytest.param(generator, objective, judge, marks=marks)


@pytest.mark.parametrize(("generator", "objective", "discriminator"), list(combinations()))
def test_two_steps(tmp_path, generator, objective, discriminator):
    needs = {"arguments": {}, "losses": {"L1": {}}, "size": 64} | NEEDS.get(generator, {})
    network = block(generator, small(GENERATORS[generator]) | needs["arguments"])
    losses = {name.lower(): block(name, arguments) for name, arguments in needs["losses"].items()}
    judge = {"judge": adversary(discriminator, objective)}
    assert fit(tmp_path, needs["size"], generator=network, losses=losses, adversaries=judge) == 0


def test_the_watch_sees_a_wrong_update(tmp_path, monkeypatch):
    # The matrix is worth something only if the watch can fail: here every step also moves a discriminator's weight.
    step, built = Adam.step, []

    def crossing(self, *args, **kwargs):
        result = step(self, *args, **kwargs)
        if built:  # an optimizer is tried before the run
            next(built[0].adversaries.parameters()).data.add_(1.0)
        return result

    def configure(self):
        built.append(self)
        return original(self)

    original = Inpainter.configure_optimizers
    monkeypatch.setattr(Inpainter, "configure_optimizers", configure)
    monkeypatch.setattr(Adam, "step", crossing)
    monkeypatch.setenv("INPAINTZOO_TRACEBACK", "1")  # raise what the command would tell in a sentence
    with pytest.raises(AssertionError, match=r"the generator's update moved \['adversaries', 'generator'\]"):
        fit(tmp_path, adversaries={"judge": adversary("PatchDiscriminator", "Hinge")})
