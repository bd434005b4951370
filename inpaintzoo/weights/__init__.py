"""Weight files: the authors' released ones under our names."""

from inpaintzoo.weights.conversion import convert_state_dict

__all__ = ["convert_state_dict"]
