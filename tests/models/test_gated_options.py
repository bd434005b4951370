"""Every option of the gated network and of those built on it arrives in the modules that it names, and only there."""

import inspect

import pytest

from inpaintzoo.layers.attention.contextual import ContextualAttention
from inpaintzoo.layers.fusion import AFF, MSCAM
from inpaintzoo.layers.gated import SameConv2d
from inpaintzoo.layers.structure import BilateralStructure, RelativeTotalVariation
from inpaintzoo.models import AFFNet, GatedNet, PyramidGenerator
from inpaintzoo.models.aff import PlainSkip


def stages(network):
    if isinstance(network, PyramidGenerator):
        coarse = [] if network.full.coarse is None else [network.full.coarse]
        return [*network.small, *coarse, network.full.refine]
    return [network.coarse, network.refine]


def found(network):
    """What the modules were built with; an option shows under its own name."""
    (attention,) = (module for module in network.modules() if isinstance(module, ContextualAttention))
    convolutions = [module for module in network.modules() if isinstance(module, SameConv2d)]
    shifted = {module.shifted for module in convolutions if module.stride != (1, 1)}
    dilations = [tuple(layer.convolution.dilation[0] for layer in stage.dilated.layers) for stage in stages(network)]
    facts = {name: getattr(attention, name) for name in ("fuse", "scale", "mask_resize", "aligned", "engine")}
    skips = {type(skip) for stage in stages(network) for skip in stage.decoder.skips or ()}
    attending = [module for module in network.modules() if isinstance(module, MSCAM)]
    return facts | {
        "width": stages(network)[0].encoder.first.convolution.out_channels // 2,
        "padding": shifted,
        "dilations": dilations,
        "skip": skips,
        "dcr": {stage.dilated.fusion is not None for stage in stages(network)},
        "reduction": {m.local[0].in_channels // m.local[0].out_channels for m in attending},
        "norm": {type(m.local[i]).__name__ for m in attending for i in (1, 4)},
        "levels": getattr(network, "levels", None),
        "structure": getattr(network, "structure_filter", None) is not None,
        "structure_filter": type(getattr(network, "structure_filter", None)),
        "init": {uniform(layer.weight) for layer in convolutions},
        "coarse_stage": getattr(getattr(network, "full", None), "coarse", None) is not None,
        "train_level": {".".join(name.split(".")[:2]) for name, p in network.named_parameters() if p.requires_grad},
        "fusion": network.full.fusion if isinstance(network, PyramidGenerator) else None,
    }


def uniform(weight):
    """Whether Glorot's uniform distribution rather than a normal one made these weights."""
    fan_in, fan_out = weight[0].numel(), len(weight) * weight[0, 0].numel()
    return weight.abs().max().item() <= 1.0001 * (6 / (fan_in + fan_out)) ** 0.5


SINGLE = {"small.0", "small.1", "full.refine"}
DILATIONS = [(2, 4, 8), (2, 4, 8, 16), (2, 4, 8, 12, 16)]
SHARED = {
    "init": ("glorot", {"init": {True}}),
    "mask_resize": ("any", {"mask_resize": "any"}),
    "engine": ("dense", {"engine": "dense"}),
}
GATED = SHARED | {
    "width": (16, {"width": 16}),
    "padding": ("same_tf", {"padding": {True}, "aligned": True}),
    "fuse": (False, {"fuse": False}),
    "scale": (3.0, {"scale": 3.0}),
}
OPTIONS = {
    GatedNet: GATED | {"dilations": ((3, 5), {"dilations": [(3, 5)] * 2})},
    AFFNet: GATED
    | {
        "skip": ("concat", {"skip": {PlainSkip}}),
        "dcr": (False, {"dcr": {False}}),
        "reduction": (2, {"reduction": {2}}),
        "norm": ("group", {"norm": {"GroupNorm"}}),
    },
    PyramidGenerator: SHARED
    | {
        "width": (16, {"width": 16}),
        "levels": ((8, 2, 1), {"levels": (8, 2, 1)}),
        "structure": (False, {"structure": False, "structure_filter": type(None)}),
        "structure_filter": (BilateralStructure(), {"structure_filter": BilateralStructure}),
        "dilations": (((3,), (5,), (7, 9)), {"dilations": [(3,), (5,), (7, 9), (7, 9)]}),
        "fusion": ("coarse", {"fusion": "coarse"}),
        "coarse_stage": (False, {"coarse_stage": False, "dilations": DILATIONS, "train_level": SINGLE}),
        "train_level": (2, {"train_level": {"small.1"}}),
    },
}
CASES = [(network, option) for network, options in OPTIONS.items() for option in options]


@pytest.mark.parametrize(("network", "option"), CASES, ids=lambda value: getattr(value, "__name__", value))
def test_an_option_arrives_where_it_should(network, option):
    value, expected = OPTIONS[network][option]
    plain, changed = found(network(width=12)), found(network(**{"width": 12, option: value}))
    assert {name: fact for name, fact in changed.items() if fact != plain[name]} == expected


@pytest.mark.parametrize("network", OPTIONS)
def test_no_option_is_left_out(network):
    assert set(OPTIONS[network]) == set(inspect.signature(network).parameters)


def test_defaults():
    plain = found(GatedNet(width=12))
    assert (plain["fuse"], plain["scale"], plain["mask_resize"], plain["engine"]) == (True, 10.0, "nearest", "auto")
    assert plain["init"] == {False}
    assert plain["padding"] == {False} and not plain["aligned"] and plain["dilations"] == [(2, 4, 8, 16)] * 2
    fused = found(AFFNet(width=12))
    assert (fused["skip"], fused["dcr"], fused["reduction"], fused["norm"]) == ({AFF}, {True}, {4}, {"BatchNorm2d"})
    assert found(PyramidGenerator(width=12))["structure_filter"] is RelativeTotalVariation
