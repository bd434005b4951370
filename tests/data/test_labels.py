"""Where labels of the data meet the generator: what fit and doctor say before training, and who reads label maps."""

import numpy as np
import pytest
from label_toys import LabelGenerator, LabelNoiseData
from picture_files import write_folder, write_labels
from toys import NoiseData, NormFreeGenerator, quiet_trainer

from inpaintzoo import Inpainter
from inpaintzoo.data import FolderData, LabelClasses, VOCClasses
from inpaintzoo.data.labels.needs import check_labels
from inpaintzoo.data.transforms import ResizeTo
from inpaintzoo.doctor import examine
from inpaintzoo.losses import HoleL1, SegmentationLoss
from inpaintzoo.metrics import L1Hole, MetricSuite, MIoU
from inpaintzoo.models import SGENet
from inpaintzoo.types import DataError


def sgenet(variant="guided", losses=None, metrics=None, **arguments):
    terms = {"hole": HoleL1(), **({"labels": SegmentationLoss()} if losses is None and variant != "base" else {})}
    generator = SGENet(variant, width=2, hidden=2, **arguments)
    suite = MetricSuite(metrics or [L1Hole(), MIoU()])
    return Inpainter(generator, losses or terms, metrics=suite, max_iterations=1)


def labelled(folder, value=0, val_labels=True, **arguments):
    for split in ("train", "val"):
        write_folder(folder / split, 2, first_seed=len(split))
        for number in range(2):
            write_labels(folder / f"{split}_labels" / f"{number:03}.png", np.full((32, 40), value))
    return FolderData(
        folder,
        train="train",
        val="val",
        labels_train="train_labels",
        labels_val="val_labels" if val_labels else None,
        transform=ResizeTo(64),
        batch_size=1,
        num_workers=0,
        **arguments,
    )


def said(model, data, capsys):
    code = examine(model, data)
    return code, capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "arguments", "wanted"),
    [(6, {}, 7), (0, {"classes": VOCClasses()}, 21), (0, {"num_classes": 9}, 9)],
    ids=["in the maps", "by classes", "by num_classes"],
)
def test_more_classes_than_the_generator_has_stop_fit_and_doctor(value, arguments, wanted, tmp_path, capsys):
    data, model = labelled(tmp_path, value, **arguments), sgenet(num_classes=4)
    sentence = f"the data has {wanted} classes, 0 to {wanted - 1}, and SGENet predicts 4, 0 to 3; set its num_classes"
    with pytest.raises(DataError, match=f"{sentence} to {wanted}: --model.generator.num_classes {wanted}"):
        quiet_trainer(default_root_dir=tmp_path).fit(model, data)
    code, text = said(model, data, capsys)
    assert code == 1 and f"ERROR    {sentence}" in text


def test_fewer_classes_are_a_warning(tmp_path, capsys):
    data = labelled(tmp_path, classes=LabelClasses(("a", "b")))
    code, text = said(sgenet(num_classes=4), data, capsys)
    assert code == 0 and "WARNING  SGENet predicts 4 classes, the data has 2; the others stay unused" in text
    code, text = said(sgenet(num_classes=2), data, capsys)
    assert code == 0 and "idle" not in text


def test_ignored_classes_need_no_place(tmp_path):
    data = labelled(tmp_path, classes=LabelClasses(("a", "b", "void")), ignore_labels=(2,))
    assert data.label_count == 2
    assert check_labels(sgenet(num_classes=2), data) == []


def test_validation_without_labels_is_said(tmp_path, caplog):
    with caplog.at_level("INFO"):
        quiet_trainer(default_root_dir=tmp_path).fit(sgenet(), labelled(tmp_path, val_labels=False))
    assert "WARNING: val: no label maps, so validation cannot measure the predicted labels; give" in caplog.text
    assert check_labels(sgenet(metrics=[L1Hole()]), labelled(tmp_path, val_labels=False)) == []


def test_heads_that_nothing_teaches_are_refused(tmp_path, capsys):
    sentence = "SGENet predicts labels, and no loss reads them, so they would never be learnt; add SegmentationLoss"
    model = sgenet("evaluated", losses={"hole": HoleL1()})
    with pytest.raises(DataError, match=sentence):
        quiet_trainer(default_root_dir=tmp_path).fit(model, labelled(tmp_path))
    code, text = said(model, labelled(tmp_path), capsys)
    assert code == 1 and sentence in text

    class Own(HoleL1):
        reads_labels = True

    assert check_labels(sgenet("evaluated", losses={"own": Own()}), labelled(tmp_path)) == []


def test_base_net_leaves_label_maps_alone(tmp_path, caplog):
    data = labelled(tmp_path, classes=VOCClasses())
    data.label_paths["train"] = data.label_paths["val"] = tmp_path / "nowhere"
    model = sgenet("base", metrics=[L1Hole()])
    with caplog.at_level("INFO"):
        quiet_trainer(default_root_dir=tmp_path).fit(model, data)
    assert "train: label maps are left alone, since nothing in this run reads them" in caplog.text
    with pytest.raises(DataError, match="nowhere does not exist"):  # mIoU reads them
        quiet_trainer(default_root_dir=tmp_path).fit(sgenet("base"), data)


def test_others_read_no_labels():
    assert not Inpainter(NormFreeGenerator(), {"hole": HoleL1()}, metrics=MetricSuite([L1Hole()])).reads_labels
    assert Inpainter(LabelGenerator(), {"hole": HoleL1()}).reads_labels
    assert check_labels(Inpainter(NormFreeGenerator(), {"hole": HoleL1()}), NoiseData()) == []
    assert LabelNoiseData().loads_labels
