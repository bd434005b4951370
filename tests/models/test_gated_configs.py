"""The numbers of the gated network's config and of those built on it, against what the papers say."""

import pytest
import yaml
from places import CONFIGS

from inpaintzoo.commands import main
from inpaintzoo.commands.training import ZooCLI

WHOLE = {"L1": [("refined", 2.0, "prediction"), ("coarse", 2.0, "coarse")]}
# An L1 of weight 1 on [-1, 1] is one of weight 2 on [0, 1].
LEVELS = {
    "StructureL1": [("structure", 2.0, None)],
    "PyramidL1": [("half_size", 2.0, None)],
    "L1": [("image", 2.0, "prediction"), ("coarse", 2.0, "coarse")],
}
TERMS = {"gated": WHOLE, "aff": WHOLE, "pyramid": LEVELS, "pyramid_256": LEVELS}
VIEWS = {"global": {"class_path": "Composite"}}
LEVEL_VIEWS = {
    "half_size": {"class_path": "PyramidLevel", "init_args": {"level": 0}},
    "full_size": {"class_path": "Composite"},
}
SIZES = {"gated": (256, 16), "aff": (256, 8), "pyramid": (512, 2), "pyramid_256": (256, 8)}


def model_of(name):
    return ZooCLI(["--config", str(CONFIGS / f"{name}.yaml"), "--trainer.accelerator=cpu"], run=False).model


@pytest.mark.parametrize("name", TERMS)
def test_numbers(name):
    model, terms = model_of(name), {}
    for label, loss in model.losses.items():
        terms.setdefault(type(loss).__name__, []).append((label, loss.weight, getattr(loss, "which", None)))
    assert terms == TERMS[name]
    assert model.generator_every == 1 and model.accumulate == 1 and model.clip_norm is None
    width = (
        model.generator.small[0].encoder.first if name.startswith("pyramid") else model.generator.coarse.encoder.first
    )
    assert width.convolution.out_channels == 2 * 24
    for optimizer in model.configure_optimizers()[0]:
        assert type(optimizer).__name__ == "Adam"
        assert (optimizer.defaults["lr"], optimizer.defaults["betas"]) == (1e-4, (0.5, 0.999))


@pytest.mark.parametrize("name", TERMS)
def test_adversaries(name):
    config = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    views = LEVEL_VIEWS if name.startswith("pyramid") else VIEWS
    judged = {}
    for label, adversary in config["model"]["init_args"]["adversaries"].items():
        settings = adversary["init_args"]
        assert settings["discriminator"] == {"class_path": "SNPatchDiscriminator"}
        assert settings["objective"] == {"class_path": "Hinge"} and settings["weight"] == 1.0
        judged[label] = settings["view"]
    assert judged == views
    for adversary in model_of(name).adversaries.values():
        (discriminator,) = adversary.discriminators()
        assert adversary.weight == 1.0 and discriminator.layers[0].weight.shape == (64, 4, 5, 5)
    data = config["data"]["init_args"]
    assert (data["image_size"], data["batch_size"]) == SIZES[name]
    assert data["masks"] == data["test_masks"] == {"class_path": "SquareFreeForm"}


@pytest.mark.parametrize("name", TERMS)
def test_small_pictures_can_be_measured(name, tmp_path):
    sizes = ["--data.image_size=64", "--data.batch_size=1", "--data.num_workers=0", "--data.val_size=1"]
    run = ["--model.generator.width=4", "--trainer.accelerator=cpu", f"--trainer.default_root_dir={tmp_path}"]
    assert main(["validate", "--config", str(CONFIGS / f"{name}.yaml"), *sizes, *run]) == 0
