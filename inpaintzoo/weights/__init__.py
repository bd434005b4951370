"""Weight files: ours, runs' checkpoints, and the authors' released ones under our names."""

from inpaintzoo.models.released import convert_state_dict
from inpaintzoo.weights.files import WeightFile, read_about, save_model
from inpaintzoo.weights.loading import load_model, load_network
from inpaintzoo.weights.publishing import push_to_hub

__all__ = ["WeightFile", "convert_state_dict", "load_model", "load_network", "push_to_hub", "read_about", "save_model"]
