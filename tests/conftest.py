"""Settings that every test shares."""

import os

os.environ["TORCH_CPP_LOG_LEVEL"] = "ERROR"  # as `inpaintzoo` sets it before it imports torch

import torch

# The tests' networks are tiny: a second thread costs more in waiting than it saves, above all on a busy machine.
torch.set_num_threads(1)
