"""Every generator with every objective and every discriminator: two steps of training, from YAML.

By default each generator meets each discriminator and each objective, the objectives in turn; `-m slow` runs the rest.
A new class joins by being public; `needs.py` says what a network needs beyond the defaults.
"""

from itertools import product

import pytest
import yaml
from needs import DISCRIMINATORS, GENERATORS, OBJECTIVES, arguments_of, need
from places import TESTS
from torch.optim import Adam

from inpaintzoo import Inpainter, models
from inpaintzoo.commands import main

MATRIX = str(TESTS / "conf" / "matrix.yaml")
JUDGES = [*DISCRIMINATORS, "MultiScaleAdversary"]


def block(name, arguments):
    return {"class_path": name, "init_args": arguments}


def adversary(discriminator, objective):
    arguments = {"objective": block(objective, {}), "weight": 0.1}
    if discriminator == "MultiScaleAdversary":
        scale = block("PatchDiscriminator", {"width": 4, "num_layers": 1, "norm": "spectral+instance"})
        return block(discriminator, arguments | {"discriminators": [scale] * 3})
    network = block(discriminator, arguments_of(DISCRIMINATORS[discriminator]))
    return block("Adversary", arguments | {"discriminator": network})


def fit(folder, size=64, **arguments):
    layer = folder / "layer.yaml"
    layer.write_text(yaml.safe_dump({"model": {"init_args": arguments}, "data": {"init_args": {"image_size": size}}}))
    return main(["fit", "--config", MATRIX, "--config", str(layer), "--trainer.default_root_dir", str(folder)])


def test_the_matrix_is_complete():
    assert set(GENERATORS) == set(models.__all__)
    assert len(DISCRIMINATORS) > 5 and len(OBJECTIVES) > 4


def combinations():
    for (i, generator), (j, judge), (k, objective) in product(*map(enumerate, (GENERATORS, JUDGES, OBJECTIVES))):
        marks = () if (i + j) % len(OBJECTIVES) == k else pytest.mark.slow
        yield pytest.param(generator, objective, judge, marks=marks)


@pytest.mark.parametrize(("generator", "objective", "discriminator"), list(combinations()))
def test_two_steps(tmp_path, generator, objective, discriminator):
    network = block(generator, arguments_of(GENERATORS[generator]))
    losses = {name.lower(): block(name, arguments) for name, arguments in need(generator, "losses").items()}
    judge = {"judge": adversary(discriminator, objective)}
    assert fit(tmp_path, need(generator, "size"), generator=network, losses=losses, adversaries=judge) == 0


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
        fit(tmp_path, adversaries={"judge": adversary("PatchDiscriminator", "Hinge")})
