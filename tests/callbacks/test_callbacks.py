"""What the user sees during and after training."""

import re
from types import SimpleNamespace

import pytest
import torch
from lightning import Callback, Trainer
from PIL import Image
from toys import NoiseData, NormFreeGenerator, quiet_trainer

from inpaintzoo.callbacks import (
    Checkpoints,
    CompareFills,
    GeneratorEMA,
    ImageLogger,
    LossSchedule,
    PriorMaps,
    RunProgress,
)
from inpaintzoo.callbacks.images import picture_row
from inpaintzoo.callbacks.priors import cluster_map, colour_maps
from inpaintzoo.data.labels.classes import spread_colours
from inpaintzoo.inpainter import Inpainter
from inpaintzoo.losses import L1, PerceptualDiversity
from inpaintzoo.models import SPN
from inpaintzoo.ops import composite
from inpaintzoo.teachers import EdgeTeacher
from inpaintzoo.types import ConfigError


def fit(folder, *callbacks, iterations=4, **options):
    torch.manual_seed(0)
    model = Inpainter(NormFreeGenerator(), {"frame": L1()}, max_iterations=iterations)
    trainer = Trainer(
        accelerator="cpu", logger=False, max_epochs=-1, callbacks=list(callbacks), default_root_dir=folder,
        enable_model_summary=False, check_val_every_n_epoch=None, val_check_interval=2, log_every_n_steps=1, **options,
    )  # fmt: skip
    trainer.fit(model, NoiseData())
    return model


def test_lines_without_a_terminal(tmp_path, capsys):
    fit(tmp_path, RunProgress(line_seconds=0.0), enable_checkpointing=False)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("iteration")]
    assert [line.split(":")[0] for line in lines] == [f"iteration {i} of 4" for i in range(1, 5)]
    assert re.search(r": hole PSNR [\d.]+ dB, [\d.]+ images/s, .*frame \d\.\d{3}, \d+:\d\d left", lines[-1])


def test_bar_on_a_terminal(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    fit(tmp_path, RunProgress(every=1), enable_checkpointing=False)
    bar = capsys.readouterr().err
    assert "4/4" in bar and "images/s" in bar


@pytest.mark.parametrize("columns", [80, 120])
def test_the_bar_shows_psnr_and_speed_in_a_narrow_terminal(tmp_path, capsys, monkeypatch, columns):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("tqdm.std._screen_shape_wrapper", lambda: lambda file: (columns, 24))
    torch.manual_seed(0)
    losses = {f"a_loss_{number}": L1() for number in range(4)}
    model = Inpainter(NormFreeGenerator(), losses, max_iterations=100_004)
    model.iteration = 100_000
    Trainer(
        accelerator="cpu", logger=False, max_epochs=-1, callbacks=[RunProgress(every=1)], default_root_dir=tmp_path,
        enable_model_summary=False, enable_checkpointing=False, val_check_interval=2, check_val_every_n_epoch=None,
    ).fit(model, NoiseData())  # fmt: skip
    bars = re.split(r"[\r\n]", capsys.readouterr().err)
    last = next(bar for bar in reversed(bars) if bar.startswith("train"))
    assert re.search(r"100004/100004 \[\d+:\d\d<\d+:\d\d, hole PSNR [\d.]+ dB, [\d.]+ images/s", last)
    assert last.rstrip().endswith("]") and len(last) <= columns, "no number is cut in half"
    assert ("a_loss" in last) is (columns == 120)


def test_images_per_second_are_recent_and_without_validations(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    progress, module = RunProgress(), SimpleNamespace(iteration=0, max_iterations=None)
    trainer = SimpleNamespace(
        max_epochs=-1, world_size=2, callback_metrics={}, num_training_batches=10, state=SimpleNamespace(fn="fit")
    )
    batch = {"image": torch.zeros(4, 3, 2, 2)}

    def steps(count, seconds):
        for _ in range(count):
            now[0] += seconds
            module.iteration += 1
            progress.on_train_batch_end(trainer, module, None, batch, 0)
        return progress._numbers(trainer, module, batch)

    progress.disable()
    progress.on_train_start(trainer, module)
    steps(100, 10.0)  # slow at first
    assert steps(100, 0.5) == ["16.0 images/s"]
    now[0] += 500.0
    progress.on_validation_end(trainer, module)
    assert steps(1, 0.5) == ["16.0 images/s"]


def test_comparison_table_and_picture(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(NoiseData, "test_dataloader", None)  # training must not look at test pairs
    fit(tmp_path, CompareFills(pictures=3), enable_checkpointing=False, enable_progress_bar=False)
    out = capsys.readouterr().out
    assert "In the hole, on the validation pairs, after 4 iterations" in out
    assert re.search(r"mean colour +[\d.]+ +[\d.]+\n +diffusion +[\d.]+ +[\d.]+\n +NormFreeGenerator +[\d.]+", out)
    assert re.search(r"NormFreeGenerator is (NOT )?better than mean colour: [+-][\d.]+ dB", out)
    # small pictures are enlarged to 128 pixels
    assert Image.open(tmp_path / "comparison.png").size == (5 * 130 + 2, 3 * 130 + 2)


def test_comparison_tells_when_the_network_is_worse(tmp_path, capsys):
    # Untrained networks are far from the noise's mean colour; the verdict must say so.
    torch.manual_seed(0)
    generator = NormFreeGenerator()
    with torch.no_grad():
        generator.head.bias.fill_(-20.0)  # black
    model = Inpainter(generator, {"frame": L1(1e-6)}, max_iterations=1)
    trainer = quiet_trainer(max_epochs=1, callbacks=[CompareFills()], default_root_dir=tmp_path, limit_val_batches=0)
    trainer.fit(model, NoiseData())
    assert "NormFreeGenerator is NOT better than mean colour" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:shift-map:")
def test_comparison_with_other_fills(tmp_path, capsys):
    callback = CompareFills(pictures=1, fills=["telea", "shiftmap"])
    fit(tmp_path, callback, enable_checkpointing=False, enable_progress_bar=False)
    assert re.search(r"telea +[\d.]+ +[\d.]+\n +shiftmap +[\d.]+ +[\d.]+\n +NormFree", capsys.readouterr().out)


def test_images_every_so_often(tmp_path):
    fit(tmp_path, ImageLogger(count=2, every=3), enable_checkpointing=False, enable_progress_bar=False)
    names = sorted(path.name for path in (tmp_path / "images").iterdir())
    assert names == ["first-training-batch-0000000.png", "validation-0000003.png"]


def test_picture_row_columns():
    mask = torch.zeros(1, 1, 2, 2)
    mask[..., 0, 0] = 1
    rows = picture_row({"image": torch.full((1, 3, 2, 2), 0.25), "mask": mask}, torch.full((1, 1, 3, 2, 2), 2.0))
    assert [row[0, 0].tolist() for row in rows] == [[1.0, 0.25], [1.0, 1.0], [1.0, 0.25], [0.25, 0.25]]
    several = torch.stack([torch.full((1, 3, 2, 2), 2.0), torch.zeros(1, 3, 2, 2)], dim=1)
    rows = picture_row({"image": torch.full((1, 3, 2, 2), 0.25), "mask": mask}, several)
    assert [row[0, 0].tolist() for row in rows[2:]] == [[1.0, 0.25], [0.0, 0.25], [0.25, 0.25]]


def test_checkpoints_keep_the_best_and_the_last(tmp_path):
    checkpoints = Checkpoints(monitor="val/l1", mode="min")
    fit(tmp_path, checkpoints, enable_progress_bar=False, iterations=5)
    files = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert re.fullmatch(r"best-iteration=000000[24]-val_l1=[\d.]+\.ckpt", files[0]) and files[1:] == [
        "last.ckpt",
        "previous.ckpt",
    ]
    last = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["inpainter"]["iteration"] == 5, "later than the last validation"


def test_a_checkpoint_saved_during_validation_holds_the_trained_weights(tmp_path):
    model = fit(tmp_path, GeneratorEMA(decay=0.9), Checkpoints(), enable_progress_bar=False, iterations=4)
    saved = torch.load(next((tmp_path / "checkpoints").glob("best*")), weights_only=True)
    last = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    for name, value in model.state_dict().items():
        assert torch.equal(last["state_dict"][name], value)
    average = next(state for key, state in saved["callbacks"].items() if "GeneratorEMA" in key)["average"]
    assert not torch.equal(saved["state_dict"]["generator.head.weight"], average["head.weight"])


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: RunProgress(every=0), "at least 1"),
        (lambda: ImageLogger(count=0), "at least 1"),
        (lambda: CompareFills(pictures=0), "at least 1"),
        (lambda: CompareFills(fills=["tela"]), "one of mean, diffusion, .*got 'tela'; did you mean telea?"),
        (lambda: LossSchedule("prior", [5, 3], [1.0, 0.0]), r"ascending, with a weight for each, got \[5, 3\]"),
        (lambda: LossSchedule("prior", [5], [-1.0]), "0 or more"),
        (lambda: LossSchedule("prior", [5], [1.0], gradual=True), r"gradual needs two iterations or more, got \[5\]"),
        (lambda: PriorMaps(show="both"), "show must be one of pyramid, samples, refinement, got 'both'"),
        (lambda: PriorMaps(clusters=1), "clusters 2 or more"),
        (lambda: GeneratorEMA(decay=1.0), r"decay must be in \[0, 1\), got 1.0"),
    ],
)
def test_bad_values_are_named(build, text):
    with pytest.raises(ValueError, match=text):
        build()


class Weights(Callback):
    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, pl_module, *args):
        self.seen.append(pl_module.losses["frame"].weight)


def test_a_loss_weight_changes_at_its_iterations(tmp_path):
    seen = Weights()
    fit(tmp_path, LossSchedule("frame", [2, 4], [0.5, 0.25]), seen, iterations=6, enable_progress_bar=False)
    assert seen.seen == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    with pytest.raises(ConfigError, match="there is no loss 'hold'; the losses are frame"):
        fit(tmp_path, LossSchedule("hold", [2], [0.5]), enable_progress_bar=False)


def test_a_loss_weight_changes_gradually(tmp_path):
    seen = Weights()
    schedule = LossSchedule("frame", [1, 3, 4], [0.25, 0.75, 0.0], gradual=True)
    fit(tmp_path, schedule, seen, iterations=4, enable_progress_bar=False)
    assert seen.seen == [1.0, 0.25, 0.5, 0.75]
    schedule.set_weight(model := Inpainter(NormFreeGenerator(), {"frame": L1()}), 9)
    assert model.losses["frame"].weight == 0.0


def test_another_weight_of_a_loss_changes(tmp_path):
    model = Inpainter(NormFreeGenerator(), {"look": PerceptualDiversity(EdgeTeacher())})
    LossSchedule("look", [0, 10], [0.0, 1.0], "diversity_weight", gradual=True).set_weight(model, 5)
    assert (model.losses["look"].weight, model.losses["look"].diversity_weight) == (10.0, 0.5)
    with pytest.raises(ConfigError, match="L1 has no setting 'diversity_weight'; its weights are weight"):
        fit(tmp_path, LossSchedule("frame", [2], [0.5], "diversity_weight"), enable_progress_bar=False)


def test_cluster_maps_find_the_regions():
    torch.manual_seed(0)
    truth = torch.zeros(24, 32, dtype=torch.long)
    truth[:, 12:], truth[:8, :6] = 1, 2
    means = torch.tensor([[5.0, 0.0, -3.0], [-5.0, 4.0, 0.0], [0.0, -6.0, 3.0]])
    features = means[truth].permute(2, 0, 1) + 0.1 * torch.randn(3, 24, 32)
    found = cluster_map(features, clusters=3)
    assert torch.equal(found, torch.tensor([1, 0, 2])[truth]), "numbered by size"
    assert torch.equal(cluster_map(features, clusters=3, most=100), found)
    maps = colour_maps(features[None], (48, 64), clusters=3)
    assert maps.shape == (1, 3, 48, 64)
    assert torch.equal(maps[0, :, 0, 0], torch.tensor(spread_colours(3)[2]) / 255)
    assert cluster_map(torch.zeros(2, 4, 4), clusters=3).shape == (4, 4), "features without any difference"


def test_prior_maps_of_samples_and_of_the_refinement(tmp_path):
    torch.manual_seed(0)
    small = {"width": 4, "growth": 2, "dense_blocks": 1, "hidden": 4, "blocks": 1, "latent": 3}
    model = Inpainter(SPN(stochastic=True, **small), {"frame": L1()}).eval()
    pair = next(iter(NoiseData(size=32).val_dataloader()))
    image, mask, count = pair["image"], pair["mask"], len(pair["image"])
    with torch.no_grad():
        drawn = {show: PriorMaps(show=show, edges=True).rows(model, pair) for show in ("samples", "refinement")}
        generator, hidden = model.generator, image * (1 - mask)
        source = torch.Generator().manual_seed(0)
        noises = [torch.randn(count, 3, 1, 1, generator=source) for _ in range(2)]
        fills = [composite(image, generator(hidden, mask, noise=[noise]).image, mask) for noise in noises]
        priors = [colour_maps(generator.prior_features(hidden, mask, noise=noise)[0], (32, 32)) for noise in noises]
        around = [generator.prior_features(hidden, mask, which=which)[0] for which in ("encoder", "decoder")]
        coarsest = generator.prior_features(hidden, mask)[-1]
    edges = EdgeTeacher()(fills[1])[0].expand(-1, 3, -1, -1)
    expected = [priors[0], fills[0], priors[1], fills[1], edges, image]
    assert torch.equal(drawn["samples"].unflatten(0, (count, 7))[:, 1:], torch.stack(expected, dim=1))
    expected = [colour_maps(features, (32, 32)) for features in (around[0], coarsest, around[1])]
    assert torch.equal(drawn["refinement"].unflatten(0, (count, 7))[:, 1:4], torch.stack(expected, dim=1))
    with pytest.raises(ConfigError, match="SPN is deterministic and has no samples to show; choose show 'pyramid'"):
        PriorMaps(show="samples").check(Inpainter(SPN(**small), {"frame": L1()}))


class WithPriors(NormFreeGenerator):
    def prior_features(self, image, mask):
        return [image, torch.nn.functional.avg_pool2d(image, 2)]


def test_prior_maps_are_drawn(tmp_path):
    torch.manual_seed(0)
    model = Inpainter(WithPriors(), {"frame": L1()}, max_iterations=2)
    validation = {"check_val_every_n_epoch": None, "val_check_interval": 2}
    trainer = quiet_trainer(callbacks=[PriorMaps(count=2)], default_root_dir=tmp_path, **validation)
    trainer.fit(model, NoiseData())
    pair = next(iter(NoiseData().val_dataloader()))
    rows = PriorMaps(count=2).rows(model, pair)
    coarse = torch.nn.functional.avg_pool2d(pair["image"].masked_fill(pair["mask"].bool(), 0.0), 2)
    assert torch.equal(rows[1], colour_maps(coarse[:1], (16, 16))[0]), "from coarse to fine"
    # masked, two maps, composite, truth; pictures of 16 pixels with 2 between
    assert Image.open(tmp_path / "images" / "priors-0000002.png").size == (5 * 18 + 2, 2 * 18 + 2)
    with pytest.raises(ConfigError, match="NormFreeGenerator has none; remove this callback"):
        fit(tmp_path, PriorMaps())
