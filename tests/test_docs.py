"""All of README, CONTRIBUTING and docs is tried: links, python blocks, commands, and the method walked through."""

import functools
import importlib
import re
import shlex
from pathlib import Path

import pytest
import torch
from pages import PAGES, ROOT, ParsedOnly, blocks
from torchvision.utils import save_image

from inpaintzoo.commands import COMMANDS, main
from inpaintzoo.commands.config_files import with_config_files
from inpaintzoo.commands.run import parse
from inpaintzoo.commands.training import ZooCLI, unparsed
from inpaintzoo.data import FolderData, SceneSource
from inpaintzoo.data.masks import CentreSquare, PENNetSquare

WEIGHT_COMMANDS = ("export", "convert", "list", "download", "push", "app")
# Not LightningCLI's; their own tests try them.
OWN_COMMANDS = ("masks", "label", "benchmark", "inpaint", "remove", "config", "completion")
EXTENDING, OWN = ROOT / "docs" / "extending.md", ROOT / "docs" / "your_own.md"
PENNET = str(ROOT / "configs" / "pennet.yaml")


def commands():
    """Each `inpaintzoo ...` line of a bash block, except on pages whose commands are run by other tests."""
    pages = [page for page in PAGES if page not in (EXTENDING, OWN)]
    lines = [line for page in pages for block in blocks(page, "bash") for line in block.splitlines()]
    return sorted({line for line in lines if line.startswith("inpaintzoo ")})


def named(cases):
    return [pytest.param(*case, id=f"{case[0].name}-{number}") for number, case in enumerate(cases)]


@functools.cache
def photos(folder):
    source = SceneSource("train", 12, 64)
    for index in range(len(source)):
        split = "test" if index % 4 == 3 else "train"
        path = folder / "photos" / split / "images" / f"{index:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_image(source.load(index).image, path)
    (folder / "configs").symlink_to(ROOT / "configs")
    return folder


@pytest.fixture
def workplace(tmp_path_factory, monkeypatch):
    """A folder as a reader of the pages has it: the configs, and some pictures in `photos`."""
    folder = photos(tmp_path_factory.getbasetemp())
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def unsplit(workplace, tmp_path, monkeypatch):
    """The same with `photos` as a plain folder, which the data splits itself."""
    (tmp_path / "photos").symlink_to(workplace / "photos" / "train")
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_readme_has_the_commands_of_ci():
    shell = [line for block in blocks(ROOT / "README.md", "bash") for line in block.splitlines()]
    assert 'pip install -e ".[dev]" && pytest' in shell
    assert "pip install -e . && inpaintzoo fit --config configs/quickstart.yaml" in shell


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    local = [target for target in targets if not target.startswith(("https://", "http://", "#"))]
    assert [target for target in local if not (page.parent / target.split("#")[0]).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_files_and_classes_that_exist(page):
    text = page.read_text(encoding="utf-8")
    made_up = {"configs/dilated.yaml", "tests/models/test_dilated.py"}  # the walk-through's own
    named = set(re.findall(r"(?<![\w/-])((?:configs|tests|docs)/[\w/-]+\.(?:py|yaml|md))", text)) - made_up
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
    for name in set(re.findall(r"`(inpaintzoo(?:\.\w+)+)`", text)):
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute) or importlib.import_module(name), name


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs" / "architecture.md"], ids=lambda page: page.name)
def test_tables_of_where_things_are_name_files_that_exist(page):
    text = page.read_text(encoding="utf-8")
    (table,) = re.findall(r"(?m)^\| (?:what \| where|looking for \| look in) \|\n\|.*\n((?:\|.*\n)+)", text)
    for row in table.splitlines():
        folder = ""  # `pictures/`: `images.py`
        for name in re.findall(r"`([\w/.]+(?:/|\.py))`", row.split("|")[2]):
            found = [
                path for path in (ROOT, ROOT / "inpaintzoo", ROOT / "inpaintzoo" / folder) if (path / name).exists()
            ]
            assert found or "NAME" in name, f"{name} of {row}"
            folder = name if name.endswith("/") else folder


@pytest.mark.filterwarnings("ignore:guidance leaves places in the hole")
@pytest.mark.parametrize(
    ("page", "code"),
    named([(page, code) for page in PAGES for code in blocks(page, "python") if not code.startswith("# ")]),
)
def test_python_blocks_run(page, code, unsplit, capsys):
    names = {"__name__": "__main__"}
    exec(compile(code, page.name, "exec"), names)
    assert names.keys() - {"__name__", "__builtins__"}, "a block that does nothing shows nothing"


def test_the_script_that_resumes_equals_an_unbroken_run(unsplit):
    (code,) = (block for block in blocks(ROOT / "docs" / "training.md", "python") if "ckpt_path" in block)
    names = {"__name__": "__main__"}
    exec(compile(code, "training.md", "exec"), names)
    whole = names["train"](5, "runs/whole").state_dict()
    assert all(torch.equal(value, whole[name]) for name, value in names["model"].state_dict().items())


@pytest.mark.parametrize(
    "command",
    [line for line in commands() if line.split()[1] not in (*OWN_COMMANDS, *WEIGHT_COMMANDS)],
    ids=lambda line: line[11:70],
)
def test_commands_parse(command, workplace):
    name, *options = shlex.split(command)[1:]
    options = with_config_files(name, options)
    if name == "doctor":
        parse(unparsed(run=False), options)
    else:
        assert parse(unparsed(), [name, *options])["subcommand"] == name


@pytest.mark.parametrize("command", [line for line in commands() if line.split()[1] in WEIGHT_COMMANDS])
def test_weight_commands_parse(command):
    name, *options = shlex.split(command)[1:]
    parsed = importlib.import_module(f"inpaintzoo.commands.{COMMANDS[name][0]}").make_parser().parse_args(options)
    assert "force" not in parsed or parsed.force is ("--force" in options)


def layers(page):
    """The YAML blocks that layer over any method's config: those that do not name a file of their own."""
    return [text for text in blocks(page, "yaml") if not re.match(r"# (configs/|\w+\.yaml\n)", text)]


@pytest.mark.parametrize(("page", "text"), named([(page, text) for page in PAGES for text in layers(page)]))
def test_yaml_blocks_layer_over_a_method(page, text, workplace, tmp_path):
    (tmp_path / "layer.yaml").write_text(text)
    layered = ParsedOnly(["--config", PENNET, "--config", str(tmp_path / "layer.yaml")], run=False)
    plain = ParsedOnly(["--config", PENNET], run=False)
    assert layered.config.as_dict() != plain.config.as_dict(), "a block that changes nothing shows nothing"


def test_mask_commands_run_in_their_order(workplace, tmp_path, monkeypatch, capsys):
    (tmp_path / "photos").symlink_to(workplace / "photos")
    monkeypatch.chdir(tmp_path)
    lines = [line for block in blocks(ROOT / "docs" / "masks.md", "bash") for line in block.splitlines()]
    lines = [line for line in lines if line.startswith("inpaintzoo masks")]
    assert len(lines) >= 6
    for line in lines:
        assert main(shlex.split(line)[1:]) == 0, line
    assert (tmp_path / "pairs.jsonl").is_file() and (tmp_path / "sheet.png").is_file()


def test_data_layers_keep_what_the_method_says(unsplit):
    # jsonargparse keeps the arguments that both classes take when a later file changes the class.
    options = ["--config", PENNET, "--config", "configs/data/folder.yaml", "--data.root", "photos"]
    data = ZooCLI([*options, "--data.num_workers", "0"], run=False).datamodule
    assert isinstance(data, FolderData)
    assert data.batch_size == 16
    assert isinstance(data.masks, PENNetSquare) and isinstance(data.test_masks, CentreSquare)
    assert data.source("test").load(0).image.shape == (3, 256, 256)


def test_facade_layer_reads_its_folders(workplace):
    options = ["--config", PENNET, "--config", "configs/data/facade.yaml", "--data.root", "photos"]
    data = ZooCLI([*options, "--data.num_workers", "0"], run=False).datamodule
    assert len(data.source("train")) == 9 and len(data.source("test")) == 3
    assert data.source("train").load(0).image.shape == (3, 256, 256)


@pytest.mark.parametrize(
    ("layer", "settings"),
    [("ddp", {"strategy": "ddp_find_unused_parameters_true", "devices": -1}), ("bf16", {"precision": "bf16-mixed"})],
)
def test_trainer_layers_parse(layer, settings):
    cli = ParsedOnly(["fit", "--config", PENNET, "--config", str(ROOT / "configs" / "trainer" / f"{layer}.yaml")])
    trainer = cli.config["fit"]["trainer"]
    assert {name: trainer[name] for name in settings} == settings
    assert trainer["val_check_interval"] == 1000, "the rest stays the method's"


@pytest.mark.parametrize(
    "text", [pytest.param(text, id=str(i)) for i, text in enumerate(blocks(ROOT / "docs" / "recipes.md", "yaml"))]
)
def test_recipes_train(text, workplace, tmp_path):
    layer = tmp_path / "layer.yaml"
    layer.write_text(text)
    small = ["--data.image_size=128", "--data.batch_size=2", "--data.num_workers=0", "--data.train_size=8"]
    small += ["--model.generator.width=8", "--model.max_iterations=1", "--model.generator_every=1"]
    small += ["--trainer.limit_val_batches=0", "--trainer.accelerator=cpu", f"--trainer.default_root_dir={tmp_path}"]
    assert main(["fit", "--config", PENNET, "--config", str(layer), *small]) == 0


def test_six_lines_are_six():
    text = (ROOT / "docs" / "recipes.md").read_text()
    assert "in six lines" in text
    assert len(blocks(ROOT / "docs" / "recipes.md", "yaml")[0].splitlines()) == 6


SMALL = {
    "pennet": ["--model.generator.width=8"],
    "spl": [f"--model.generator.{name}=4" for name in ("width", "hidden", "growth")]
    + [f"--model.generator.{name}=1" for name in ("blocks", "dense_blocks")],
}


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A folder with all the files that the page prints."""
    folder = tmp_path_factory.mktemp("extended")
    for text in blocks(EXTENDING, "python") + blocks(EXTENDING, "yaml"):
        (folder / text.split("\n", 1)[0].removeprefix("# ")).write_text(text)
    return folder


@pytest.mark.parametrize("line", [line for text in blocks(EXTENDING, "bash") for line in text.splitlines()])
def test_extensions_run_as_printed(line, extended, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(extended)
    monkeypatch.syspath_prepend(str(extended))
    program, command, *options = shlex.split(line)
    assert program == "inpaintzoo"
    small = ["--data.image_size=64", "--data.batch_size=2", "--data.num_workers=0", "--data.train_size=4"]
    small += ["--data.test_size=2", "--model.max_iterations=1", "--trainer.limit_val_batches=0"]
    small += ["--trainer.accelerator=cpu", f"--trainer.default_root_dir={tmp_path}", *SMALL[Path(options[1]).stem]]
    assert main([command, *options, *small]) == 0
    mine = Path(options[3]).stem
    assert f"{mine}." in next(tmp_path.rglob("config.yaml")).read_text(), "the run's config names the class"
    assert command == "fit" or mine in capsys.readouterr().out, "the table has the metric"
