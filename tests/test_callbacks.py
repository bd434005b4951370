"""What a person sees while a model trains, and when it has trained."""

import re

import pytest
import torch
from lightning import Trainer
from PIL import Image
from toys import NoiseData, NormFreeGenerator

from inpaintzoo.callbacks import Checkpoints, CompareFills, GeneratorEMA, ImageLogger, RunProgress
from inpaintzoo.callbacks.images import picture_row
from inpaintzoo.inpainter import Inpainter
from inpaintzoo.losses import L1


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
    assert re.search(r"frame \d\.\d{3}.*val PSNR in the hole [\d.]+ dB.*images/s, \d+:\d\d left", lines[-1])


def test_bar_on_a_terminal(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    fit(tmp_path, RunProgress(every=1), enable_checkpointing=False)
    bar = capsys.readouterr().err
    assert "4/4" in bar and "images/s" in bar


def test_comparison_table_and_picture(tmp_path, capsys):
    fit(tmp_path, CompareFills(pictures=3), enable_checkpointing=False, enable_progress_bar=False)
    out = capsys.readouterr().out
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
    model = Inpainter(generator, {"frame": L1(0.0)}, max_iterations=1)
    trainer = Trainer(
        accelerator="cpu", logger=False, max_epochs=1, callbacks=[CompareFills()], default_root_dir=tmp_path,
        enable_model_summary=False, enable_progress_bar=False, enable_checkpointing=False, limit_val_batches=0,
    )  # fmt: skip
    trainer.fit(model, NoiseData())
    assert "NormFreeGenerator is NOT better than mean colour" in capsys.readouterr().out


def test_images_every_so_often(tmp_path):
    fit(tmp_path, ImageLogger(count=2, every=3), enable_checkpointing=False, enable_progress_bar=False)
    names = sorted(path.name for path in (tmp_path / "images").iterdir())
    assert names == ["first-training-batch-0000000.png", "validation-0000003.png"]


def test_picture_row_columns():
    mask = torch.zeros(1, 1, 2, 2)
    mask[..., 0, 0] = 1
    rows = picture_row({"image": torch.full((1, 3, 2, 2), 0.25), "mask": mask}, torch.full((1, 3, 2, 2), 2.0))
    assert [row[0, 0].tolist() for row in rows] == [[1.0, 0.25], [1.0, 1.0], [1.0, 0.25], [0.25, 0.25]]


def test_checkpoints_keep_the_best_and_the_last(tmp_path):
    checkpoints = Checkpoints(monitor="val/l1", mode="min")
    fit(tmp_path, checkpoints, enable_progress_bar=False, iterations=5)
    files = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert re.fullmatch(r"best-iteration=000000[24]-val_l1=[\d.]+\.ckpt", files[0]) and files[1:] == ["last.ckpt"]
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
        (lambda: GeneratorEMA(decay=1.0), r"decay must be in \[0, 1\), got 1.0"),
    ],
)
def test_bad_values_are_named(build, text):
    with pytest.raises(ValueError, match=text):
        build()
