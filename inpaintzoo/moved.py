"""Old names: until version 0.3 what has moved still imports under its old name, with a deprecation warning."""

from __future__ import annotations

import functools
import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_loader
from types import ModuleType
from typing import Any

_RUN = "contenders cost pairing pairs predictions processes runner store"
_REPORT = "bootstrap charts comparison gallery latex markdown page records sheet tables wording"
_PICTURES = "boxes colours deep directories metadata pngs tiffs"
_SCENES = "buildings canvas compose noise parts plants sky stage street terrain walls"
MOVED = {
    "benchmark_cli": "commands.benchmark",
    "bins": "ops",
    "cli": "commands",
    "inpaint_cli": "commands.inpaint",
    "label_cli": "commands.label",
    "labels": "data.labels.needs",
    "listing": "models.catalogue",
    "masks_cli": "commands.masks",
    "modes": "ops",
    "rebuildable": "layers.rebuildable",
    "training_cli": "commands.training",
    "weights_cli": "commands",
    "layers.attention_tiles": "layers.attention.tiles",
    "layers.contextual": "layers.attention.contextual",
    "layers.guidance": "layers.attention.guidance",
    "layers.tiled_attention": "layers.attention.operator",
    "data.classes": "data.labels.classes",
    "data.images": "pictures.images",
    "data.masks.sheet": "pictures.sheet",
    "data.scenes.module": "data.scenes",
    "data.scenes.source": "data.scenes",
    **{f"data.scenes.{name}": f"scenes.{name}" for name in _SCENES.split()},
    "metrics.pretrained": "files.published",
    "predictor.files": "pictures.picture_file",
    "predictor.pictures": "pictures.picture",
    **{f"predictor.{name}": f"pictures.{name}" for name in _PICTURES.split()},
    "teachers.files": "files.published",
    "weights.conversion": "models.released",
    **{f"benchmark.{name}": f"benchmark.run.{name}" for name in _RUN.split()},
    **{f"benchmark.{name}": f"benchmark.report.{name}" for name in _REPORT.split()},
    "benchmark.judges": "benchmark.run.fitting",
    "benchmark.overview": "benchmark.report.terminal",
    "benchmark.protocol": "benchmark.protocols.protocol",
    "benchmark.published": "benchmark.protocols.paper_tables",
}
"""Old and new names of public modules, without the leading `inpaintzoo.`."""

RENAMED = {
    "benchmark.comparison.Comparison": "benchmark.report.comparison.PaperComparison",
    "benchmark.contenders.Filler": "benchmark.run.contenders.BatchFiller",
    "benchmark.gallery.Picture": "benchmark.report.gallery.Pixels",
    "benchmark.gallery.picture_of": "benchmark.report.gallery.pixels_of",
    "benchmark.latex.escape": "benchmark.report.latex.escape_latex",
    "benchmark.markdown.escape": "benchmark.report.markdown.escape_markdown",
    "benchmark.overview.overview": "benchmark.report.terminal.terminal_report",
    "benchmark.processes.find_device": "ops.find_device",
    "benchmark.report.file_names": "benchmark.report.write.file_names",
    "benchmark.tables.decimals_of": "metrics.results.decimals_of",
    "commands.instantiated": "commands.run.instantiated",
    "commands.one_sentence": "commands.run.one_sentence",
    "commands.run_command": "commands.run.run_command",
    "data.checks.check_label_range": "data.labels.contents.check_label_range",
    "data.checks.file_hash": "files.writing.file_digest",
    "data.listing.LabelMaps": "data.labels.matching.LabelMaps",
    "data.listing.match_labels": "data.labels.matching.match_labels",
    "data.listing.without_label_maps": "data.labels.matching.without_label_maps",
    "data.scenes.canvas.Colour": "scenes.canvas.ColourLike",
    "data.scenes.canvas.Patch": "scenes.canvas.Coverage",
    "data.scenes.walls.Style": "scenes.walls.FacadeStyle",
    "data.transforms.View": "data.transforms.Crop",
    "label_cli.predict": "data.labels.segmenter.predict_labels",
    "layers.attention.DilatedFusion": "layers.attention.transfer.DilatedFusion",
    "layers.attention.Engine": "layers.attention.transfer.Engine",
    "layers.attention.Fill": "layers.attention.transfer.FillRegion",
    "layers.attention.HoleKeys": "layers.attention.transfer.HoleKeys",
    "layers.attention.MaskResize": "ops.ResizeMode",
    "layers.attention.patch_norm": "layers.attention.transfer.patch_norm",
    "layers.fusion.Norm": "layers.fusion.FusionNorm",
    "metrics.base.SegmentationMetric": "metrics.segmentation.SegmentationMetric",
    "metrics.base.check_shapes": "metrics.base.check_pictures",
    "predictor.filling.Filler": "predictor.filling.PartFiller",
    "predictor.filling.Patch": "predictor.filling.FilledPart",
    "predictor.pictures.picture_of": "pictures.picture.picture_from",
    "teachers.files.check_shapes": "files.published.check_fit",
    "teachers.files.check_state": "files.published.plain_state",
    "weights.checkpoints.Checkpoint": "weights.checkpoints.RunCheckpoint",
    "weights.checkpoints.find_checkpoint": "weights.registry.find_checkpoint",
    "weights.export.Filler": "weights.export.Exportable",
    "weights.files.load_model": "weights.loading.load_model",
    "weights.files.load_network": "weights.loading.load_network",
    "weights.networks.fill": "weights.networks.load_values",
}
"""Old and new names of public classes and functions that a moved module does not bring along."""

_TEACHER = "the training of the built-in teacher is in benchmarks/teacher of the repository, outside the package"
_PUBLISHED = "inpaintzoo.files.published.published_file finds and downloads, read_state reads"
_SUITE = "inpaintzoo.metrics.MetricSuite.measure takes all that belongs to a batch"
REMOVED = {
    "benchmark.judges.Judge": "inpaintzoo.benchmark.run.fitting.fit_protocols returns a metric suite for each pair",
    "benchmark.judges.make_judges": "inpaintzoo.benchmark.run.fitting.fit_protocols does its work",
    "benchmark.page_assets": "the page's style and script are files in inpaintzoo/benchmark/report/templates",
    "benchmark.protocol_page": "run `python -m benchmarks.protocols_page` in the repository",
    "benchmark.published.Values": "the papers' numbers are CSV files in inpaintzoo/benchmark/protocols/papers",
    "benchmark.store.hash_of": "it was an internal helper of the work folder",
    "benchmark.store.write_atomically": "inpaintzoo.files.writing.write_whole writes atomically",
    "callbacks.priors.palette": "inpaintzoo.data.labels.classes.spread_colours spreads colours",
    "callbacks.report.provenance": "inpaintzoo.version.versions returns the versions",
    "data.checks.classes_met": "inpaintzoo.data.labels.contents.classes_of finds the classes of label maps",
    "data.masks.recipes.require_known": "inpaintzoo.data.masks.recipes.recipe_classes checks a recipe",
    "inpaint_cli.Job": "inpaintzoo.predictor.folders.FolderFill fills the pictures of a folder",
    "label_cli.label": "inpaintzoo.data.labels.segmenter.label_images labels a folder",
    "losses.structure.StructureMemory": "the solver is fast enough without it",
    "metrics.pretrained.download": _PUBLISHED,
    "metrics.pretrained.hub_file": _PUBLISHED,
    "metrics.pretrained.pretrained_state": _PUBLISHED,
    "metrics.results.cell": "inpaintzoo.metrics.results.number formats values",
    "metrics.suite.Judge": _SUITE,
    "ops.unpad": "crop with image[..., :height, :width]",
    "predictor.directories.Found": "inpaintzoo.pictures.directories.read_first returns a plain tuple",
    "predictor.holes.read_hole": "inpaintzoo.predictor.holes.find_hole takes a function for notes as well",
    "predictor.metadata.upright_exif": "inpaintzoo.pictures.metadata.filled_exif, which may keep the orientation",
    "predictor.metadata.upright_xmp": "inpaintzoo.pictures.metadata.filled_xmp, which may keep the orientation",
    "predictor.pictures.of_image": "inpaintzoo.pictures.picture.picture_from takes Pillow images",
    "predictor.tasks.check_target": "inpaintzoo.files.writing.new_file checks a path to write to",
    "predictor.tasks.say": "notes are collected in inpaintzoo.Predictor.notes",
    "predictor.tiffs.black_is_zero": "inpaintzoo.pictures.images.decode corrects the pixels of an opened file",
    "teachers.AveragePrecision": _TEACHER,
    "teachers.TagClassifier": _TEACHER,
    "teachers.TagMetrics": _TEACHER,
    "teachers.asymmetric_loss": _TEACHER,
    "teachers.export": _TEACHER,
    "teachers.exports": "inpaintzoo.teachers has all public names",
    "teachers.training": _TEACHER,
    "training_cli.NetworkRecord": _TEACHER,
}
"""Names without a successor of the same form, and what to use instead."""

_CHANGED = {name.rpartition(".")[0] for name in (*MOVED, *RENAMED, *REMOVED)} - {""}


def _old_name(module: str, name: str) -> Any:
    """`__getattr__` of modules that had other names."""
    path = f"{module}.{name}"
    old = path.removeprefix("inpaintzoo.")
    if old in REMOVED:
        # Not an AttributeError: `from module import name` would replace the sentence by its own.
        raise ImportError(f"{path} was removed: {REMOVED[old]}")
    if old not in RENAMED:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    new_module, _, new_name = f"inpaintzoo.{RENAMED[old]}".rpartition(".")
    warnings.warn(f"{path} is now {new_module}.{new_name}; use that", DeprecationWarning, stacklevel=2)
    return getattr(importlib.import_module(new_module), new_name)


class _MovedModule(Loader):
    """Fills a module under its old name with the names of the new one."""

    def exec_module(self, module: ModuleType) -> None:
        old, new = module.__name__, f"inpaintzoo.{MOVED[module.__name__.removeprefix('inpaintzoo.')]}"
        warnings.warn(f"{old} has moved to {new}; import it from there", DeprecationWarning, stacklevel=2)
        names = vars(importlib.import_module(new))
        vars(module).update({name: value for name, value in names.items() if not name.startswith("__")})
        vars(module)["__getattr__"] = functools.partial(_old_name, old)


class _ChangedModule(SourceFileLoader):
    """Loads a module that had other names, or other modules in it."""

    def exec_module(self, module: ModuleType) -> None:
        vars(module).setdefault("__path__", [])  # `data.scenes` was a package
        vars(module)["__getattr__"] = functools.partial(_old_name, module.__name__)
        super().exec_module(module)


class OldNames(MetaPathFinder):
    """Finds moved modules under their old names, and adds old names to the modules that had them."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Handle the names in the tables of this module."""
        package, _, old = name.partition(".")
        if package != "inpaintzoo":
            return None
        if old in REMOVED:
            raise ImportError(f"{name} was removed: {REMOVED[old]}")
        if old in MOVED:
            return spec_from_loader(name, _MovedModule())
        spec = PathFinder.find_spec(name, path) if old in _CHANGED else None
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _ChangedModule(spec.loader.name, spec.loader.path)
        return spec


sys.meta_path.insert(0, OldNames())
