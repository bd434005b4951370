"""Weight files: ours, runs' checkpoints, and the authors' released ones under our names."""

from inpaintzoo.models.released import convert_state_dict
from inpaintzoo.weights.files import WeightFile, load_model, load_network, read_about, save_model

__all__ = ["WeightFile", "convert_state_dict", "load_model", "load_network", "read_about", "save_model"]
