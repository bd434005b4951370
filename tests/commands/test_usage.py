"""Bad command lines and configs: exit code 2 and one sentence on stderr with the thing, the value and the remedy."""

import argparse
import inspect
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonargparse import ArgumentParser
from places import TESTS

from inpaintzoo import exports
from inpaintzoo.commands import main
from inpaintzoo.commands.checks import replaced_parts
from inpaintzoo.commands.run import instantiated, parse
from inpaintzoo.commands.usage import UsageError, is_base

TINY = str(TESTS / "conf" / "tiny.yaml")
CONFIGS = TESTS.parent / "configs"
FIT = f"fit --config {TINY} "
MAKE = "masks make --out x "
LABEL = "label --images a --out b "
INPAINT = "inpaint a.png b.png -o c.png "

ADAM = "--model.generator_optimizer Adam "

PENNET = f"fit --config {CONFIGS / 'pennet.yaml'} "
QUICK = f"benchmark --config {CONFIGS / 'benchmark' / 'quickstart.yaml'} "
AFF, ROW = CONFIGS / "aff.yaml", CONFIGS / "ablations" / "aff_dcr.yaml"

LINES = [
    # null where it cannot be
    (PENNET + "--model.generator.width null", "--model.generator.width null: must be a whole number"),
    (PENNET + "--model.losses.hole.weight null", "--model.losses.hole.weight null: must be a number"),
    (PENNET + "--data.batch_size null", "--data.batch_size null: must be a whole number"),
    (PENNET + "--trainer null", "--trainer null: must be a group of keys"),
    (PENNET + "--ema 3", "--ema 3: must be a group of keys"),
    ("export --ckpt a --to b.onnx --licence null", "--licence null: must not be null; leave it out for"),
    # optimizers and schedulers
    (FIT + "--model.generator_optimizer Adm", "there is no such class; did you mean Adam, RAdam or NAdam?"),
    (FIT + "--model.generator_optimizer torch.optim.Adm", "has no attribute 'Adm'); did you mean Adam, RAdam or NAd"),
    (FIT + "--model.generator_optimizer os.system", "--model.generator_optimizer os.system: must be an Optimizer"),
    (FIT + "--model.generator_optimizer [1]", "--model.generator_optimizer [1]: must be the name of a class"),
    (FIT + "--model.generator_optimizer.lr 3", "lr 3: name a class first, with --model.generator_optimizer CLASS"),
    (FIT + ADAM + "--model.generator_optimizer.lrr 3", "optimizer.lrr 3: Adam has no such argument; did you mean lr?"),
    (FIT + ADAM + "--model.generator_optimizer.lr abc", "--model.generator_optimizer.lr abc: must be a number"),
    (FIT + "--model.generator_scheduler StepLR", "--model.generator_scheduler: StepLR needs step_size"),
    (FIT + "--model.generator_scheduler torch.optim.Adam", "must be an LRScheduler or a ReduceLROnPlateau"),
    # below an option that holds a single value, in words of the option and not of jsonargparse
    (f"predict --config {TINY} --ckpt_path.x a", "--ckpt_path.x a: there is no such option; did you mean --ckpt_path?"),
    (FIT + "--ckpt_path[0] a", "--ckpt_path[0] a: there is no such option; did you mean --ckpt_path?"),
    ("export --ckpt a --to b --force.x", "--force.x: there is no such option; did you mean --force?"),
    (FIT + "--model.generator.width.x 3", "width.x 3: there is no such option; did you mean --model.generator.width?"),
    (FIT + ADAM + "--model.generator_optimizer.lr.x 3", "there is no such option; did you mean --model.generator_opti"),
    (FIT + "--trainer.strategy.x 3", "--trainer.strategy.x 3: name a class first, with --trainer.strategy CLASS"),
    (FIT + "--data.init_args 3", "--data.init_args 3: must be a group of keys"),
    (FIT + "--model.generator..width 3", "--model.generator..width 3: there is no such option"),
    # arguments that are no group of keys, names that no config has
    (FIT + "--model.generator '{class_path: PENNet, init_args: [1]}'", "generator: its init_args must be a group of k"),
    (FIT + "--model.adversaries.glbal.weight 3", "glbal.weight 3: there is no 'glbal' in model.adversaries; did you m"),
    (QUICK + "--contenders.mine Checkpoint --contenders.mine.pth x", "--contenders.mine.pth: Checkpoint has no such"),
    # the wrong data, the wrong config, nothing
    (FIT + "--data.root photos", "ScenesData has no such argument; FolderData takes it: --config configs/data/folder."),
    (f"fit --config {CONFIGS / 'benchmark' / 'quickstart.yaml'}", "quickstart.yaml: 'mean colour' cannot be a key of"),
    (f"benchmark --config {TINY}", f"{TINY}: model: there is no such key; is the file for another command than"),
    (FIT + "--ckpt_path ''", "--ckpt_path: its value is an empty text; name something, or leave it out"),
    (FIT + "--data FolderData --data.train ''", "--data.train: its value is an empty text"),
    (FIT + "--trainer.default_root_dir ''", "--trainer.default_root_dir: its value is an empty text"),
    ("masks bin ''", "FOLDER: its value is an empty text"),
    ("export --ckpt a --to ''", "--to: its value is an empty text"),
    (f"fit --config {CONFIGS}", f"--config {CONFIGS}: this is a folder; name a file in it"),
    (f"fit --config {CONFIGS / 'pennt.yaml'}", f"no such file; did you mean {CONFIGS / 'pennet.yaml'}?"),
    # classes that others derive from
    (FIT + "--model.adversaries.global.objective Objective", "objective Objective: this is only the base of other"),
    (PENNET + "--model.generator Generator", "--model.generator Generator: this is only the base of"),
    (PENNET + "--model.losses.new.weight 3", "--model.losses.new Loss: this is only the base of"),
    (FIT + "--model.losses.hol.weight 3", "--model.losses.hol: no class is named for 'hol'; did you mean hole?"),
    (QUICK + "--sets.scens.test_masks FreeForm", "--sets.scens: no class is named for 'scens'; did you mean scenes?"),
    # an overlay without the method's config, or before it
    (f"fit --config {ROW}", "skip: no class is named that could take this; put the method's config before this one"),
    (f"fit --config {ROW} --config {AFF}", "skip: no class is named that could take this; put the method's config"),
    # options
    (FIT + "--x", "--x: there is no such option; inpaintzoo fit --help lists them"),
    (FIT + "--ema.deacy 0.9", "--ema.deacy 0.9: there is no such option; did you mean --ema.decay?"),
    (FIT + "--trainer.max_epoch 3", "--trainer.max_epoch 3: there is no such option; did you mean --trainer.max_ep"),
    (FIT + "--modle.generator PENNet", "--modle.generator PENNet: there is no such option; did you mean --model.gen"),
    (f"validate --config {TINY} --ckpt_pth a", "--ckpt_pth a: there is no such option; did you mean --ckpt_path?"),
    (f"test --config {TINY} --dat.seed 3", "--dat.seed 3: there is no such option; did you mean --data.seed?"),
    (f"predict --config {TINY} --predictions.foldr a", "did you mean --predictions.folder?"),
    (f"doctor --config {TINY} --data.sed 1", "--data.sed 1: ScenesData has no such argument; did you mean seed?"),
    ("benchmark --protocol zoo", "--protocol zoo: there is no such option; did you mean --protocols?"),
    (MAKE + "--mask FreeForm --cuont 4", "--cuont 4: there is no such option; did you mean --count?"),
    (MAKE + "--mask FreeForm --cuont=4", "--cuont 4: there is no such option; did you mean --count?"),
    (LABEL + "--short_size 5", "--short_size 5: there is no such option; did you mean --short_side?"),
    (INPAINT + "--polrity auto", "--polrity auto: there is no such option; did you mean --polarity?"),
    ("export --ckpt a --to b --dtyp fp16", "--dtyp fp16: there is no such option; did you mean --dtype?"),
    ("convert --form pennet a -o b", "--form pennet: there is no such option; did you mean --from"),
    ("list --x", "--x: there is no such option; inpaintzoo list --help lists them"),
    # arguments of classes
    (FIT + "--model.generator.widht 8", "--model.generator.widht 8: NormFreeGenerator has no such argument; did you m"),
    (FIT + "--model.losses.hole.weigth=8", "--model.losses.hole.weigth 8: HoleL1 has no such argument; did you m"),
    (FIT + "--data.masks.strok 3", "--data.masks.strok 3: RandomRectangles has no such argument; it takes count, side"),
    (FIT + "--model.generator PENNet --model.generator.levels 4", "levels 4: PENNet has no such argument; it takes"),
    (LABEL + "--classes VOCClasses --classes.nmaes a", "--classes.nmaes a: VOCClasses has no such argument"),
    # class names
    (FIT + "--model Inpaintr", "--model Inpaintr: there is no such class; did you mean Inpainter?"),
    (FIT + "--model.generator PENNett", "--model.generator PENNett: there is no such class; did you mean PENNet"),
    (FIT + "--model.generator FreeForm", "--model.generator FreeForm: there is no such class; it can be"),
    (FIT + "--model.generator inpaintzoo.losses.L1", "--model.generator inpaintzoo.losses.L1: this is not a Generator"),
    (FIT + "--model.losses.hole HoleL2", "--model.losses.hole HoleL2: there is no such class; did you mean HoleL1?"),
    (FIT + "--model.generator nowhere.Net", "nowhere.Net: it cannot be imported (No module named 'nowhere')"),
    (FIT + "--model.adversaries.global.view.levl 2", "view.levl 2: View is abstract; name one of its classes: Comp"),
    (FIT + "--data FoldrData", "--data FoldrData: there is no such class; did you mean FolderData?"),
    (FIT + "--data.masks FreeFrom", "--data.masks FreeFrom: there is no such class; did you mean FreeForm"),
    (FIT + "--trainer.callbacks+ CompareFils", "CompareFils: there is no such class; did you mean CompareFills?"),
    (LABEL + "--classes VOCClases", "--classes VOCClases: there is no such class; did you mean VOCClasses?"),
    (MAKE + "--mask FreeFrom", "'FreeFrom' is neither a folder that exists nor a mask class; did you mean FreeForm"),
    (MAKE + "--mask '{class_path: FreeForm, init_args: {strokse: 3}}'", "--mask.strokse: FreeForm has no such"),
    (MAKE + "--mask '{class_path: FreeForm'", "--mask {class_path: FreeForm: this is not valid YAML"),
    (MAKE + "--mask LimitedMask", "--mask: LimitedMask needs mask and ratio"),
    (MAKE + "--mask nowhere.Holes", "--mask nowhere.Holes: it cannot be imported (No module named 'nowhere')"),
    ("masks show '{class_path: FreeForm, init_args: {strokse: 3}}' --out a.png", "WHAT.strokse: FreeForm has no such"),
    # values
    (FIT + "--model.generator.width abc", "--model.generator.width abc: must be a whole number"),
    (FIT + "--trainer.max_epochs x", "--trainer.max_epochs x: must be a whole number or null"),
    (FIT + "--data.batch_size many", "--data.batch_size many: must be a whole number"),
    (FIT + "--data.masks LaMaStrokes --data.masks.thickness fat", "thickness fat: must be thin, medium or thick"),
    (MAKE + "--mask FreeForm --count many", "--count many: must be a whole number"),
    ("masks bin a --polarity grey", "--polarity grey: must be auto, white or black"),
    (LABEL + "--short_side x", "--short_side x: must be a whole number"),
    (INPAINT + "--fill men", "--fill men: must be mean, diffusion, biharmonic, shiftmap"),
    (INPAINT + "--seed -1", "--seed -1: must be at least 0 and at most"),
    ("export --ckpt a --to b --dtype fp8", "--dtype fp8: must be fp32, fp16 or bf16"),
    ("convert --from penet a -o b", "or pointrend; did you mean pennet?"),
    ("masks mak", "mak: must be make, bin, pair or show"),
    (FIT + "--trainer.precision 7", "--trainer.precision 7: must be 64, 32, 16, transformer-engine, transformer-"),
    # missing values, arguments and files; too many
    ("fit", "--data and --model are missing; give them here or in a --config file"),
    ("fit --config", "--config: its value is missing"),
    (FIT + "--model.generator.width --data.seed 3", "--model.generator.width: its value is missing"),
    (INPAINT + "--tile", "--tile: its value is missing"),
    ("masks", "no command was given; it must be make, bin, pair or show"),
    ("masks make --mask FreeForm", "--out is missing"),
    ("masks show", "WHAT and --out are missing"),
    ("benchmark", "--contenders, --sets and --out are missing; give them here or in a --config file"),
    ("label", "--images and --out are missing"),
    ("inpaint a.png", "MASK and --out are missing"),
    ("export --ckpt a", "--to is missing"),
    ("inpaint a b c -o d", "c: one argument too many"),
    ("list masks x", "x: one argument too many"),
    ("fit --config nowhere.yaml", "--config nowhere.yaml: there is no such file"),
    ("doctor --config nowhere.yaml", "--config nowhere.yaml: there is no such file"),
    ("benchmark --config nowhere.yaml", "--config nowhere.yaml: there is no such file"),
]  # fmt: skip


def test_a_class_that_a_config_may_name_is_not_taken_for_a_base():
    rooms = [room for name in exports.__all__ if inspect.ismodule(room := getattr(exports, name))]
    leaves = [getattr(room, name) for room in rooms for name in room.__all__]
    leaves = [kind for kind in leaves if inspect.isclass(kind) and not kind.__subclasses__()]
    assert len(leaves) > 50 and not [kind for kind in leaves if is_base(kind)]


def test_a_config_that_is_not_there_is_told_before_anything_is_imported(capsys, monkeypatch):
    monkeypatch.setattr("inpaintzoo.commands.importlib.import_module", None)
    assert main(["fit", "--config", "nowhere.yaml"]) == main(["doctor", "--config=nowhere.yaml"]) == 2
    assert capsys.readouterr().err.count("--config nowhere.yaml: there is no such file") == 2


def refused(capsys, line):
    assert main(line) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1, said
    assert said.err.startswith("inpaintzoo") and ": error: " in said.err
    return said.err


@pytest.mark.parametrize(("line", "text"), LINES)
def test_a_bad_command_line_is_one_sentence(line, text, capsys):
    assert text in refused(capsys, shlex.split(line))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("model: {init_args: {generator: {init_args: {widht: 3}}}}", "model.generator.widht: NormFreeGenerator has no"),
        (
            "model: {init_args: {losses: {a: {class_path: inpaintzoo.losses.HolL1}}}}",
            "imported (module 'inpaintzoo.losses' has no attribute 'HolL1'); did you mean HoleL1?",
        ),
        ("data: {init_args: {masks: {class_path: inpaintzoo.data.masks.FreFrom}}}", "did you mean FreeForm"),
        ("trainer: {callbacks: [{class_path: inpaintzoo.callbacks.CompareFils}]}", "did you mean CompareFills?"),
        ("model: {init_args: {losses: {a: {class_path: HoleL2}}}}", "model.losses HoleL2: there is no such class; did"),
        (
            "data: {init_args: {masks: {class_path: FreeForm, init_args: {strokes: many}}}}",
            "strokes many: must be a",
        ),
        ("modle: {init_args: {width: 3}}", "modle.width: there is no such key; did you mean model.width?"),
        ("trainer: {max_epoch: 3}", "trainer.max_epoch: there is no such key; did you mean trainer.max_epochs"),
        ("trainer: {max_epochs: soon}", "trainer.max_epochs soon: must be a whole number or null"),
        ("trainer: null", "--trainer null: must be a group of keys"),
        ("trainer: [", "this is not a YAML file of keys and values (while parsing"),
        ("hello", "this is not a YAML file of keys and values"),
    ],
)
def test_a_bad_config_is_one_sentence_with_its_name(content, text, tmp_path, capsys):
    config = tmp_path / "extra.yaml"
    config.write_text(content)
    said = refused(capsys, [*FIT.split(), "--config", str(config)])
    assert (str(config) in said or content == "trainer: null") and text in said and TINY not in said


@pytest.mark.parametrize(
    ("content", "note"),
    [
        ("model: {init_args: {losses: {hole: L1}}}", "replaces model.losses of {}; valid is left out\n"),
        ("model: {init_args: {losses: {x: L1}}}", "replaces model.losses of {}; hole and valid are left out\n"),
        ("model: {init_args: {adversaries: {}}}", "replaces model.adversaries of {}; global is left out\n"),
        ("model: {init_args: {losses: {hole: HoleL1, valid: L1}}}", ""),
        ("trainer: {max_steps: 3}", ""),
    ],
)
def test_a_config_that_drops_parts_of_an_earlier_one_says_so(content, note, tmp_path, capsys, monkeypatch):
    config = tmp_path / "later.yaml"
    config.write_text(content)
    found = []
    monkeypatch.setattr("inpaintzoo.commands.training.ZooCLI.before_instantiate_classes", lambda cli: found.append(cli))
    monkeypatch.setattr("inpaintzoo.commands.training.ZooCLI.instantiate_classes", sys.exit)
    main([*FIT.split(), "--config", str(config)])
    assert capsys.readouterr().err.endswith(f"note: {config} {note.format(TINY)}" if note else "")
    given = found[0].config.fit.model.init_args
    names = {"losses": list(given.losses), "adversaries": list(given.adversaries)}
    assert ("valid" in names["losses"], "global" in names["adversaries"]) == ("valid" not in note, "global" not in note)


def test_callbacks_and_contenders_that_a_later_config_drops_are_named(tmp_path):
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("trainer: {callbacks: [CompareFills, {class_path: a.b.Mine}]}\ncontenders: {x: Fill, y: Fill}")
    second.write_text("trainer: {callbacks: [{class_path: CompareFills}]}\ncontenders: {y: Fill}")
    assert replaced_parts(["--config", str(first), f"--config={second}"]) == [
        f"{second} replaces trainer.callbacks of {first}; Mine is left out",
        f"{second} replaces contenders of {first}; x is left out",
    ]


def test_the_full_account_is_one_variable_away(monkeypatch):
    monkeypatch.setenv("INPAINTZOO_TRACEBACK", "1")
    with pytest.raises(UsageError, match="did you mean width") as caught:
        main([*FIT.split(), "--model.generator.widht", "8"])
    assert "Union subtypes" in str(caught.value.__cause__)
    assert isinstance(caught.value.__cause__, argparse.ArgumentError)


@pytest.mark.parametrize("command", ["fit", "doctor", "masks", "inpaint"])
def test_help_is_no_error(command, capsys):
    assert main([command, "--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: inpaintzoo")


@pytest.mark.parametrize("command", ["fit", "test", "doctor"])
def test_the_help_begins_with_the_zoos_own_options(command, capsys):
    assert main([command, "--help"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"usage: inpaintzoo {command} --config configs/quickstart.yaml [--config FILE ...]")
    places = [said.index(option) for option in ("--config ", "--model ", "--data ", "--ema.decay", "--trainer.devices")]
    assert places == sorted(places)


class Part:
    def __init__(
        self,
        text: str | None = "x",
        path: Path | None = Path("a"),
        either: str | Path | None = "a",
        mapping: dict[str, int] | None = {"a": 1},  # noqa: B006
        mixed: str | dict[str, str] | None = "a",
        number: float | None = 1.0,
        numbers: list[int | None] | None = None,
        inner: Any = None,
    ) -> None:
        vars(self).update({name: value for name, value in locals().items() if name != "self"})


class Whole:
    def __init__(self, part: Part | None = None, parts: dict[str, Part] | None = None) -> None:
        self.part, self.parts = part, parts


@pytest.mark.parametrize("name", ["text", "path", "either", "mapping", "mixed", "number"])
@pytest.mark.parametrize("place", ["part", "parts.a"])
def test_null_is_null_at_every_depth(name, place, monkeypatch):
    monkeypatch.setitem(sys.modules, "wholes", sys.modules[__name__])
    parser = ArgumentParser(prog="try")
    parser.add_subclass_arguments(Whole, "whole")
    line = ["--whole", "wholes.Whole", f"--whole.{place}", "wholes.Part", f"--whole.{place}.{name}", "null"]
    whole = instantiated(parser, parse(parser, line)).whole
    assert getattr(whole.part or whole.parts["a"], name) is None


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("numbers", "[1, null]", [1, None]),
        ("inner", "{a: null, b: [null, 'None']}", {"a": None, "b": [None, "None"]}),
        ("text", "it's null", "it's null"),
        ("mapping", "{a: 3}", {"a": 3}),
    ],
)
def test_null_inside_values_and_text_arrive_as_written(name, text, value, monkeypatch):
    monkeypatch.setitem(sys.modules, "wholes", sys.modules[__name__])
    parser = ArgumentParser(prog="try")
    parser.add_subclass_arguments(Whole, "whole")
    line = ["--whole", "wholes.Whole", "--whole.part", "wholes.Part", f"--whole.part.{name}", text]
    assert getattr(instantiated(parser, parse(parser, line)).whole.part, name) == value


def test_null_leaves_out_options_that_are_none_by_default(tmp_path, capsys):
    lines = "inpaint a.png b.png -o c.png --fill null --tile null", "masks make --out x --count 1 --mask null"
    assert main(lines[0].split()) == 1 and "a.png: there is no such file" in capsys.readouterr().err
    assert main(lines[1].split()) == 2 and "--mask is missing" in capsys.readouterr().err
    assert main([*QUICK.split(), "--out", "null"]) == 2 and "--out null: must not be null" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["fit", "benchmark"])
def test_a_config_that_is_not_text_is_a_sentence(command, tmp_path, capsys):
    (tmp_path / "bin.yaml").write_bytes(b"\xff\xfe\x00a: b")
    said = refused(capsys, [command, "--config", str(tmp_path / "bin.yaml")])
    assert f"{tmp_path / 'bin.yaml'}: a config file is not text in UTF-8" in said


@pytest.mark.parametrize("command", ["fit", "test", "doctor", "benchmark"])
@pytest.mark.parametrize("folder", ["", "/"])
def test_a_config_whose_name_is_too_long_is_a_sentence(command, folder, capsys):
    assert "there is no such file" in refused(capsys, [command, "--config", folder + 300 * "a"])


@pytest.mark.parametrize("key", ["init_args", "class_path"])
def test_a_class_where_a_text_belongs_is_named_as_typed(key, capsys):
    option = f"--contenders.a.path.{key}"
    said = refused(capsys, [*QUICK.split(), "--contenders.a", "Checkpoint", option, "nowhere.ckpt"])
    assert f"{option} nowhere.ckpt: {key} cannot stand here; the value above it must be text" in said
