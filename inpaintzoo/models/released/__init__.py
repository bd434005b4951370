"""Released weights: the authors' names for tensors, mapped to the zoo's."""
