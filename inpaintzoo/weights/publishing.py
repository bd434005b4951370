"""Publishes a weight file on the Hugging Face Hub, with a model card written from what the file says."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from tabulate import tabulate

from inpaintzoo.files.reading import read_json
from inpaintzoo.types import WeightsError
from inpaintzoo.weights.files import WeightFile, save_model
from inpaintzoo.weights.loading import load_described
from inpaintzoo.weights.registry import HUB, HUB_FILE


def push_to_hub(
    path: str | Path, repository: str, metrics: str | Path | None = None, private: bool = False, raw: bool = False
) -> str:
    """Upload a generator as `model.safetensors`, with a model card, for `--model hf-hub:owner/name`.

    The account is that of `hf auth login` or `HF_TOKEN`. The card's facts are those of the file; edit it on the hub.

    Args:
        path: a weight file, a checkpoint or a run's folder.
        repository: `owner/name`; made if it does not exist.
        metrics: a `metrics.json` of `inpaintzoo test`, for the card's table.
        private: whether a new repository is private.
        raw: use the trained weights of a checkpoint instead of its moving average.

    Returns:
        The repository's address.

    Raises:
        WeightsError: the file cannot be read, or the hub refuses.
        DataError: `metrics` is not such a file.
    """
    from huggingface_hub import HfApi  # here: nothing else in this room needs it
    from huggingface_hub.errors import HFValidationError

    network, about = load_described(path, raw=raw)
    measured = None if metrics is None else _measured(Path(metrics))
    with tempfile.TemporaryDirectory() as folder:
        save_model(network, Path(folder) / HUB_FILE, about.facts, about.licence)
        (Path(folder) / "README.md").write_text(model_card(about, repository, measured), encoding="utf-8")
        try:
            api = HfApi()
            address = api.create_repo(repository, private=private, exist_ok=True)
            message = f"Add {about.class_path.rpartition('.')[2]}"
            api.upload_folder(repo_id=repository, folder_path=folder, commit_message=message)
        except (OSError, HFValidationError) as error:
            said = str(error).strip().splitlines()[0].rstrip(".")
            raise WeightsError(
                f"{repository} cannot be written to ({said}); log in with `hf auth login`, and name a repository of "
                f"yours as owner/name"
            ) from error
    return str(address)


def model_card(about: WeightFile, repository: str, measured: dict[str, Any] | None = None) -> str:
    """The text of a model card.

    Args:
        about: what the weight file says.
        repository: `owner/name`.
        measured: content of a `metrics.json`.
    """
    from huggingface_hub import ModelCardData

    # The hub knows SPDX identifiers in lower case; anything else is a licence of the owner's own.
    spdx = bool(re.fullmatch(r"[\w.+-]+", about.licence))
    licence = about.licence.lower() if spdx else "other" if about.licence else None
    name = None if spdx or not about.licence else about.licence
    tags = ["image-inpainting", about.class_path.rpartition(".")[2]]
    header = ModelCardData(
        license=licence, license_name=name, library_name="inpaintzoo", pipeline_tag="image-to-image", tags=tags
    )
    facts = {key: value for key, value in about.facts.items() if isinstance(value, (str, int, float))}
    arguments = {key: json.dumps(value) for key, value in about.init_args.items()}
    sections = [
        f"---\n{header.to_yaml()}\n---",
        f"# {repository.rpartition('/')[2]}",
        f"Fills holes in pictures, with `{about.class_path.rpartition('.')[2]}` of inpaintzoo.",
        f"```bash\ninpaintzoo inpaint photo.jpg mask.png -o out.png --model {HUB}{repository}\n```",
        f"```python\nfrom inpaintzoo import Predictor\n\nfill = Predictor({HUB + repository!r})\n```",
        "## How it was made",
        _table([("licence", about.licence or "not stated"), *facts.items()], ["", ""]),
    ]
    if arguments:
        sections += ["## Arguments of the network", _table(arguments.items(), ["", ""])]
    if measured:
        sections += ["## Measured", _results(measured)]
    return "\n\n".join(sections) + "\n"


def _table(rows: Any, headers: list[str]) -> str:
    cells = [[str(value).replace("|", r"\|").replace("\n", " ") for value in row] for row in rows]
    return tabulate(cells, headers=headers, tablefmt="github", disable_numparse=True)


def _measured(file: Path) -> dict[str, Any]:
    measured = read_json(file, dict[str, Any], "give the metrics.json of `inpaintzoo test`")
    if not isinstance(measured.get("summary"), dict) or not isinstance(measured.get("metrics"), dict):
        raise WeightsError(f"{file} holds no summary of metrics; give the metrics.json of `inpaintzoo test`")
    return measured


def _results(measured: dict[str, Any]) -> str:
    """Rows are groups of hole ratios, columns metrics."""
    names = list(measured["metrics"])
    rows = [
        [group, values.get("count"), *("-" if values.get(name) is None else f"{values[name]:.4g}" for name in names)]
        for group, values in measured["summary"].items()
    ]
    return _table(rows, ["hole ratio", "pictures", *names])
