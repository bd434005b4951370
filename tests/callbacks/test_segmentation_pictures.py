"""Sheets of predicted labels and the plot of confidence against error: what is drawn where, and who is refused."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from label_toys import LabelGenerator, LabelNoiseData
from lightning import Trainer
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from toys import NormFreeGenerator, process_of

from inpaintzoo import Inpainter
from inpaintzoo.callbacks import ConfidencePlot, SegmentationMaps, segmentation
from inpaintzoo.callbacks.segmentation import confidence_plot, segmentation_sheet
from inpaintzoo.data import LabelClasses
from inpaintzoo.losses import HoleL1, SegmentationLoss
from inpaintzoo.metrics import ConfidenceCorrelation, L1Hole, MetricSuite
from inpaintzoo.models import SGENet
from inpaintzoo.types import ConfigError

CLASSES = LabelClasses(("sky", "sea", "sand", "tree"), ((0, 0, 255), (0, 255, 255), (255, 255, 0), (0, 255, 0)))


def trained(folder, callback, generator=None, **settings):
    metrics = MetricSuite([L1Hole(), ConfidenceCorrelation()])
    torch.manual_seed(0)
    generator = LabelGenerator() if generator is None else generator
    losses = {"hole": HoleL1()}
    if hasattr(generator, "levels"):
        losses["labels"] = SegmentationLoss()
    model = Inpainter(generator, losses, metrics=metrics, max_iterations=2)
    data = LabelNoiseData(**settings)
    data.classes = CLASSES
    quiet = {"enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(
        accelerator="cpu", max_epochs=-1, default_root_dir=folder, callbacks=[callback], log_every_n_steps=1, **quiet
    )
    return trainer, model, data


def pairs(count=2, size=32):
    draw = torch.Generator().manual_seed(0)
    image = torch.rand(count, 3, size, size, generator=draw)
    mask = torch.zeros(count, 1, size, size)
    mask[:, :, 8:24, 8:24] = 1
    labels = (torch.arange(size) // 4 % 4).expand(count, size, -1).clone()
    labels[:, :4] = 255
    return {"image": image, "mask": mask, "labels": labels, "index": torch.arange(count)}


def cell(sheet, column, row, size=128):
    """A picture of the sheet; five rows per sample."""
    left, top = 4 + column * (size + 4), 14 + row * (size + 4)
    return np.asarray(sheet.crop((left, top, left + size, top + size)))


def test_each_cell_holds_what_its_caption_says():
    torch.manual_seed(1)
    batch, generator = pairs(), LabelGenerator().eval()
    with torch.no_grad():
        output = generator(batch["image"], batch["mask"])
    sheet = segmentation_sheet(batch, output, CLASSES)
    grow = lambda values, factor: np.kron(values, np.ones((factor, factor), dtype=np.uint8))  # noqa: E731
    colours = np.array([*CLASSES.colours, *[(0, 0, 0)] * 252], dtype=np.uint8)
    for sample in range(2):
        first = 5 * sample
        masked = cell(sheet, 0, first)
        assert (masked[48, 48] == 255).all(), "the hole is white"
        for level in range(3):  # columns 1 to 3 from coarse to fine
            column, factor = 3 - level, 4 * 2**level
            picture = (output.pyramid[level][sample, 0] * 255).round().byte().numpy()
            assert (cell(sheet, column, first)[..., 0] == grow(picture, factor)).all()
            labels = output.segmentations[level][sample].argmax(0).numpy()
            assert (cell(sheet, column, first + 1) == colours[grow(labels, factor)]).all()
            unsure = 1 - output.confidences[level][sample, 0]
            assert np.abs(cell(sheet, column, first + 2)[..., 0] - grow(unsure.numpy() * 255.0, factor)).max() <= 1
            finer = output.confidences[level][sample, 0].numpy()
            before = finer if level == 2 else grow(output.confidences[level + 1][sample, 0].numpy() * 1.0, 2)
            change = finer - before
            shown = cell(sheet, column, first + 3)[..., 0]
            assert np.abs(shown - grow((1 + change) * 127.5, factor)).max() <= 1, "difference maps of figure 6"
            unreliable = output.unreliable[level][sample, 0].byte().numpy() * 255
            assert (cell(sheet, column, first + 4)[..., 1] == grow(unreliable, factor)).all()
        filled, truth = cell(sheet, 4, first), cell(sheet, 5, first)
        known = grow(1 - batch["mask"][sample, 0].byte().numpy(), 4).astype(bool)
        assert (filled[known] == truth[known]).all() and (filled[~known] != truth[~known]).any()
        assert (cell(sheet, 5, first + 1) == colours[grow(batch["labels"][sample].numpy(), 4)]).all()
    legend = np.asarray(sheet)[14 + 10 * 132 :]
    for colour in CLASSES.colours:
        assert (legend == colour).all(axis=-1).sum() >= 100, "a swatch of each class"


def test_sheets_take_outputs_without_masks_and_batches_without_labels():
    batch, generator = pairs(1), LabelGenerator().eval()
    del batch["labels"]
    with torch.no_grad():
        output = generator(batch["image"], batch["mask"])
    output.unreliable = []
    sheet = segmentation_sheet(batch, output, CLASSES)
    assert (cell(sheet, 5, 1) == 225).all() and all((cell(sheet, column, 4) == 225).all() for column in range(6))
    assert not (cell(sheet, 2, 1) == 225).all()


def test_a_sheet_after_each_validation(tmp_path):
    trainer, model, data = trained(tmp_path, SegmentationMaps(count=2))
    trainer.fit(model, data)
    (path,) = (tmp_path / "lightning_logs" / "version_0" / "images").iterdir()
    assert path.name == "segmentation-0000002.png"
    with Image.open(path) as sheet:
        assert sheet.width == 6 * 132 + 4 and sheet.height > 10 * 132
        colours = {tuple(colour) for colour in cell(sheet, 3, 1).reshape(-1, 3)}
        assert colours <= set(CLASSES.colours), "the data's colours"
    events = EventAccumulator(str(tmp_path / "lightning_logs" / "version_0"), size_guidance={"images": 0})
    events.Reload()
    assert events.Tags()["images"] == ["labels by scale"]


def test_the_real_network_is_drawn():
    batch = pairs(1, 64)
    generator = SGENet(num_classes=4, width=4, hidden=8).eval()
    with torch.no_grad():
        sheet = segmentation_sheet(batch, generator(batch["image"], batch["mask"]), CLASSES)
    assert sheet.width == 8 * 132 + 4  # masked, five scales, composite, truth
    white = (cell(sheet, 1, 4) == 255).all(axis=-1)
    assert white[:64, :64].all() and white.sum() == 64 * 64, "at the coarsest scale, 4x4, the hole is unreliable"


@pytest.mark.parametrize("callback", [SegmentationMaps(), ConfidencePlot()], ids=lambda c: type(c).__name__)
def test_generators_without_labels_are_refused(callback, tmp_path):
    trainer, model, data = trained(tmp_path, callback, NormFreeGenerator())
    sentence = f"{type(callback).__name__} shows predicted labels, .* NormFreeGenerator predicts none; remove this"
    with pytest.raises(ConfigError, match=sentence):
        trainer.fit(model, data)
    with pytest.raises(ConfigError, match=sentence):
        trainer.test(model, data)


def test_a_generator_that_reads_labels_but_predicts_none_is_refused(tmp_path):
    generator = NormFreeGenerator()
    generator.needs_labels = True
    trainer, model, data = trained(tmp_path, SegmentationMaps(), generator)
    model.metrics = MetricSuite([L1Hole()])
    with pytest.raises(ConfigError, match="NormFreeGenerator predicts none"):
        trainer.validate(model, data)


def test_bad_counts_are_refused():
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        SegmentationMaps(0)
    with pytest.raises(ValueError, match="bins 2 or more, got 5 and 1"):
        ConfidencePlot(5, 1)


# ---------------------------------------------------------------- confidence against error


def test_the_plot_gathers_what_the_metric_measures(tmp_path, caplog):
    callback = ConfidencePlot()
    trainer, model, data = trained(tmp_path, callback)
    with caplog.at_level("INFO"):
        trainer.test(model, data, verbose=False)
    folder = tmp_path / "lightning_logs" / "version_0" / "images"
    assert [path.name for path in folder.iterdir()] == ["confidence.png"]
    value = model.test_results.flat()["confidence_correlation"]
    assert f"correlation {value:.3f} over 5 images" in caplog.text
    # A hole of 16x16 in each of five pictures; sums of pixels and of errors agree with the images' moments.
    moments = np.concatenate(callback._moments)
    assert callback._binned[0].sum() == 5 * 256 == moments[:, 0].sum()
    assert callback._binned[1].sum() == pytest.approx(moments[:, 2].sum())
    assert moments[:, 2].sum() / moments[:, 0].sum() == pytest.approx(model.test_results.flat()["l1_hole"])
    trainer.test(model, data, verbose=False)
    assert sorted(path.name for path in folder.iterdir()) == ["confidence-1.png", "confidence.png"]


def plotted_by(rank, folder, world):
    """One process of a test: its moments stand in for what it would have seen."""
    with process_of(world, rank, folder), pytest.MonkeyPatch.context() as patch:
        callback, trainer = ConfidencePlot(bins=4), SimpleNamespace(is_global_zero=rank == 0)
        callback.on_test_start(trainer, None)
        callback._folder = folder / str(rank)
        a = 0.25 + 0.5 * rank
        callback._moments = [np.array([[10, 10 * a, 1 - rank, 10 * a * a, 0.2, (1 - rank) * a]])]
        callback._binned += rank + 1
        drawn = []
        real = segmentation.confidence_plot
        patch.setattr(segmentation, "confidence_plot", lambda *args: drawn.append(args) or real(*args))
        callback.on_test_end(trainer, None)
    rows = [(len(rows), binned.tolist()) for rows, binned in drawn]
    (folder / f"{rank}.json").write_text(json.dumps(rows))


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_the_first_process_plots_what_all_have_seen(tmp_path):
    mp.start_processes(plotted_by, args=(tmp_path, 2), nprocs=2, start_method="fork")
    assert json.loads((tmp_path / "0.json").read_text()) == [[2, [[3.0] * 4] * 2]]
    assert json.loads((tmp_path / "1.json").read_text()) == []
    assert (tmp_path / "0" / "confidence.png").is_file() and not (tmp_path / "1").exists()


def test_images_that_even_out_the_processes_count_once(tmp_path):
    callback = ConfidencePlot()
    trainer, model, data = trained(tmp_path, callback)
    data.trainer = trainer
    callback.on_test_start(trainer, model)
    batch = next(iter(data.test_dataloader()))
    for _ in range(2):
        callback.on_test_batch_end(trainer, model, None, batch, 0)
    assert sum(map(len, callback._moments)) == len(batch["image"])


class Undecided(LabelGenerator):
    """Logits that are NaN, or all equal."""

    value = float("nan")

    def forward(self, image, mask):
        output = super().forward(image, mask)
        output.segmentations[0] = output.segmentations[0] * 0 + self.value
        return output


def test_logits_that_are_no_numbers_do_not_stop_the_test(tmp_path, caplog):
    trainer, model, data = trained(tmp_path, ConfidencePlot(), Undecided())
    with caplog.at_level("INFO"):
        trainer.test(model, data, verbose=False)
    assert "correlation nan over 5 images" in caplog.text
    assert (tmp_path / "lightning_logs" / "version_0" / "images" / "confidence.png").is_file()


def drawn(figure):
    """The plot's pixels, and where in them (row, column) a point of its axes lies."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    colours = np.asarray(canvas.buffer_rgba())[..., :3]

    def place(x, y):
        column, up = figure.axes[0].transData.transform((x, y))
        return round(len(colours) - up), round(column)

    return colours, place


def test_pixels_of_one_bin_are_a_short_line():
    rows = np.array([[10, 10 * 0.3, 10 * 0.1, 10 * 0.09, 10 * 0.01, 10 * 0.03]])
    binned = np.array([[0.0, 10.0, 0.0, 0.0], [0.0, 0.5, 0.0, 0.0]])  # a mean error of 0.05, confidence 0.25 to 0.5
    figure = confidence_plot(rows, binned)
    (line,) = figure.axes[0].lines
    assert line.get_xydata().tolist() == [[0.25, pytest.approx(0.05)], [0.5, pytest.approx(0.05)]]
    colours, place = drawn(figure)
    columns = np.flatnonzero((colours == (200, 40, 40)).all(axis=-1).any(axis=0))
    assert (columns.min(), columns.max()) == (
        pytest.approx(place(0.25, 0)[1], abs=2),
        pytest.approx(place(0.5, 0)[1], abs=2),
    )


def test_numbers_for_classes_are_said_once(tmp_path, caplog):
    trainer, model, data = trained(tmp_path, SegmentationMaps(count=1))
    data.classes = LabelClasses(("sky", "sea"))
    with caplog.at_level("INFO"):
        trainer.validate(model, data, verbose=False)
        trainer.validate(model, data, verbose=False)
    assert caplog.text.count("the data names 2 classes and the generator predicts 4, so they are numbers") == 1


def test_the_plot_stops_at_its_count(tmp_path):
    callback = ConfidencePlot(count=3, bins=4)
    trainer, model, data = trained(tmp_path, callback)
    trainer.test(model, data, verbose=False)
    assert len(np.concatenate(callback._moments)) == 3


def test_dots_and_line_lie_where_the_numbers_are():
    # Two images of 10 pixels, at confidence 0.25 and error 0.1, and at 0.75 and 0.05.
    rows = np.array([[10, 10 * c, 10 * e, 10 * c * c, 10 * e * e, 10 * c * e] for c, e in ((0.25, 0.1), (0.75, 0.05))])
    binned = np.array([[10.0, 10.0], [1.0, 0.5]])
    figure = confidence_plot(rows, binned)
    (dots,), (line,) = figure.axes[0].collections, figure.axes[0].lines
    expected = pytest.approx(np.array([[0.25, 0.1], [0.75, 0.05]]))
    assert np.asarray(dots.get_offsets()) == expected and line.get_xydata() == expected
    assert figure.axes[0].get_xlim() == (0, 1) and figure.axes[0].get_ylim()[0] == 0
    colours, place = drawn(figure)
    inked = (colours == (70, 110, 200)).all(axis=-1) | (colours == (200, 40, 40)).all(axis=-1)
    for row, column in (place(0.25, 0.1), place(0.75, 0.05)):
        assert inked[row - 1 : row + 2, column - 1 : column + 2].any()
    assert (colours[place(0.5, 0.075)] == (200, 40, 40)).all(), "the line's middle"
    assert not inked[place(0, 0.03)[0] :, :].any() and not inked[:, : place(0.22, 0)[1]].any()
