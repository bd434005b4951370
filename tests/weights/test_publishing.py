"""Weights on the hub: what is uploaded, and what the model card says."""

from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub import ModelCard

from inpaintzoo import DataError, WeightsError, load_model, save_model
from inpaintzoo.commands import main
from inpaintzoo.metrics import L1, MetricSuite
from inpaintzoo.models import PENNet
from inpaintzoo.weights import push_to_hub


class Hub:
    """Stands for `HfApi`: keeps what would be uploaded."""

    files, made = {}, {}

    def create_repo(self, repository, private, exist_ok):
        if repository.startswith("theirs/"):
            raise OSError("403 Forbidden.\nRequest ID: 1")
        self.made[repository] = private
        return f"https://huggingface.co/{repository}"

    def upload_folder(self, repo_id, folder_path, commit_message):
        self.files |= {file.name: file.read_bytes() for file in Path(folder_path).iterdir()}


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    Hub.files, Hub.made = {}, {}
    return Hub


@pytest.fixture
def file(tmp_path):
    facts = {"iterations": 7, "data": "photographs | mine", "masks": "FreeForm"}
    save_model(PENNet(width=4), tmp_path / "net.safetensors", facts=facts, licence="CC-BY-4.0")
    return tmp_path / "net.safetensors"


@pytest.fixture
def metrics(tmp_path):
    suite = MetricSuite([L1()])
    image, mask = torch.zeros(2, 3, 8, 8), torch.ones(2, 1, 8, 8)
    suite.update(image + 0.25, {"image": image, "mask": mask, "name": ["a", "b"], "index": torch.arange(2)})
    (tmp_path / "metrics.json").write_text(suite.compute().to_json())
    return tmp_path / "metrics.json"


def test_a_file_and_its_card_are_uploaded(hub, file, metrics, tmp_path, capsys):
    assert main(["push", str(file), "me/net", "--metrics", str(metrics), "--private"]) == 0
    assert capsys.readouterr().out == "https://huggingface.co/me/net: use it as --model hf-hub:me/net\n"
    assert hub.made == {"me/net": True} and set(hub.files) == {"model.safetensors", "README.md"}
    (tmp_path / "again.safetensors").write_bytes(hub.files["model.safetensors"])
    state = load_model(tmp_path / "again.safetensors").state_dict()
    assert all(torch.equal(value, state[name]) for name, value in load_model(file).state_dict().items())
    card = ModelCard(hub.files["README.md"].decode())
    assert card.data.license == "cc-by-4.0" and card.data.library_name == "inpaintzoo"
    assert "--model hf-hub:me/net" in card.text and "Predictor('hf-hub:me/net')" in card.text
    rows = [[cell.strip() for cell in line.split(" | ")] for line in card.text.splitlines() if line.startswith("|")]
    cells = {cell.strip("| ") for row in rows for cell in row}
    assert {"iterations", "7", r"photographs \| mine", "FreeForm", "width", "4", "l1", "0.25"} <= cells


@pytest.mark.parametrize(("licence", "wanted"), [("", (None, None)), ("ask me first", ("other", "ask me first"))])
def test_a_licence_of_ones_own(licence, wanted, hub, tmp_path):
    save_model(PENNet(width=4), tmp_path / "net.safetensors", licence=licence)
    assert push_to_hub(tmp_path / "net.safetensors", "me/net") == "https://huggingface.co/me/net"
    data = ModelCard(hub.files["README.md"].decode()).data
    assert (data.license, data.to_dict().get("license_name")) == wanted and not hub.made["me/net"]


def test_what_the_hub_refuses_and_what_is_no_file_of_metrics(hub, file, tmp_path):
    with pytest.raises(WeightsError, match=r"theirs/net cannot be written to \(403 Forbidden\); log in with `hf auth"):
        push_to_hub(file, "theirs/net")
    with pytest.raises(DataError, match=r"none\.json cannot be read .*give the metrics\.json"):
        push_to_hub(file, "me/net", tmp_path / "none.json")
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"other\.json holds no summary of metrics"):
        push_to_hub(file, "me/net", tmp_path / "other.json")
    assert not hub.files
