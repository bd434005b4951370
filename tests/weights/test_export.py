"""Exported programs: of any batch and size, near the network, or refused with the reason."""

import json

import pytest
import torch
from predictor_toys import Draws
from torch import nn

from inpaintzoo.layers.structure import BilateralStructure, RelativeTotalVariation
from inpaintzoo.models import SPL, SPN, AFFNet, GatedNet, PENNet, PyramidGenerator, SGENet, SmoothRefine, SRPNet
from inpaintzoo.types import WeightsError
from inpaintzoo.weights.export import export_model

SMALL = {"width": 4, "growth": 2, "dense_blocks": 1, "blocks": 1, "hidden": 4}
NETWORKS = {
    "spl": lambda: SPL(**SMALL),
    "pennet": lambda: PENNet(width=4),
    "srpnet": lambda: SRPNet(width=4),
    "spn": lambda: SPN(**SMALL),
    "spn-concat": lambda: SPN(**SMALL, levels=2, conditioning="concat", prior_channels=(4, 6)),
    "base": lambda: SGENet("base", width=4, hidden=4),
    "evaluated": lambda: SGENet("evaluated", 3, width=4, hidden=4),
    "gated": lambda: GatedNet(width=4),
    "aff": lambda: AFFNet(width=4),
    "smooth": lambda: SmoothRefine(width=6, reduction=2),
    "spn-stochastic": lambda: SPN(**SMALL, stochastic=True, latent=3),
    "pyramid": lambda: PyramidGenerator(width=4),
    "pyramid-flat": lambda: PyramidGenerator(
        (4, 1), width=4, structure_filter=RelativeTotalVariation(hole_border="flat", iterations=2)
    ),
    "pyramid-bilateral": lambda: PyramidGenerator((2, 1), width=4, structure_filter=BilateralStructure(iterations=1)),
}


def inputs(network, batch, height, width):
    source = torch.Generator().manual_seed(3)
    mask = (torch.rand(batch, 1, height, width, generator=source) > 0.6).float()
    given = {"image": torch.rand(batch, 3, height, width, generator=source), "mask": mask}
    given["image"][0] = 1.0  # a white page with a dark bar: sums over large flat areas must not lose its statistics
    given["image"][0, :, height // 8 : height // 8 + height // 16 + 1] = 0.1
    if network.stochastic:
        given["noise"] = torch.randn(batch, network.latent, height // 32, width // 32, generator=source)
    return given


def filled(network, image, mask, noise=None):
    with torch.no_grad():
        prediction = network(image, mask).image if noise is None else network(image, mask, noise=[noise]).image
    return torch.where(mask.bool(), prediction, image)


def run_onnx(path, **given):
    session = pytest.importorskip("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {name: values.numpy() for name, values in given.items()})[0])


def run_program(path, **given):
    return torch.export.load(str(path)).module()(*given.values())


def assert_exported(network, path, run):
    """Export, and run the file on sizes that the export has not tried."""
    network = network.eval()
    exported = export_model(network, path)
    assert exported.difference < 3e-4 and len(exported.comparisons) >= 4
    assert len({comparison.shape[0] for comparison in exported.comparisons}) >= 2
    least, step = exported.smallest_side, exported.multiple
    assert max(network.smallest_side, step) <= least <= max(192, 3 * step) and least % step == 0
    for batch, height, width in ((2, least + 3 * step, least), (1, max(256, least) // step * step, least + 4 * step)):
        given = inputs(network, batch, height, width)
        found = run(path, **given)
        torch.testing.assert_close(found, filled(network, **given), atol=3e-4, rtol=0)
        image, known = given["image"], ~given["mask"].bool().expand_as(given["image"])
        assert torch.equal(found[known], image[known]), "known pixels stay"
    if network.stochastic:
        other = run(path, **{**given, "noise": -given["noise"]})
        assert (other - found).abs().max() > 1e-3, "another draw is another fill"


def test_a_small_network(tmp_path):
    pytest.importorskip("onnxscript")
    assert_exported(SPL(**SMALL), tmp_path / "net.onnx", run_onnx)
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"], "one file, weights included"


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "run"), [("onnx", run_onnx), ("pt2", run_program)])
@pytest.mark.parametrize("name", NETWORKS)
def test_all_networks(name, suffix, run, tmp_path):
    pytest.importorskip("onnxscript")
    assert_exported(NETWORKS[name](), tmp_path / f"net.{suffix}", run)


def test_what_cannot_be_exported_says_why(tmp_path):
    with pytest.raises(WeightsError, match="Draws draws its noise itself: an exported program would draw other noise"):
        export_model(Draws(), tmp_path / "net.onnx")
    with pytest.raises(WeightsError, match="SPL must have float32 weights to be exported"):
        export_model(SPL(**SMALL).half(), tmp_path / "net.pt2")
    with pytest.raises(WeightsError, match=r"must end in \.onnx or \.pt2"):
        export_model(SPL(**SMALL), tmp_path / "net.pb")
    (tmp_path / "net.pt2").touch()
    with pytest.raises(WeightsError, match="already exists"):
        export_model(SPL(**SMALL), tmp_path / "net.pt2", overwrite=False)


class Fixed(SPL):
    """Takes one size only, as a fully connected layer does."""

    def __init__(self):
        super().__init__(**SMALL)
        self.dense = nn.Linear(256, 256)

    def forward(self, image, mask):
        output = super().forward(image, mask)
        output.image = self.dense(output.image)
        return output


@pytest.mark.slow
def test_a_generator_of_one_size_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="Fixed cannot be exported for all sizes"):
        export_model(Fixed(), tmp_path / "net.pt2")
    assert list(tmp_path.iterdir()) == []


def test_what_torch_cannot_convert_is_a_sentence(tmp_path, monkeypatch):
    pytest.importorskip("onnxscript")

    def fails(*arguments, **options):
        raise RuntimeError("a long account of the converter's insides")

    monkeypatch.setattr(torch.onnx, "export", fails)
    with pytest.raises(WeightsError, match=r"torch \S+ cannot write SPL as onnx \(RuntimeError\); use a newer torch"):
        export_model(SPL(**SMALL), tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_onnx_says_what_it_is(tmp_path):
    onnx = pytest.importorskip("onnx")
    export_model(SPL(**SMALL), tmp_path / "net.onnx", facts={"iterations": 3}, licence="CC0")
    properties = {entry.key: entry.value for entry in onnx.load(tmp_path / "net.onnx").metadata_props}
    assert properties["class_path"] == "inpaintzoo.models.spl.SPL" and properties["size_multiple"] == "4"
    assert json.loads(properties["init_args"])["width"] == 4 and properties["inputs"] == "image mask"
    assert json.loads(properties["facts"]) == {"iterations": 3} and properties["licence"] == "CC0"
