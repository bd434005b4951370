"""A queue of training and measuring jobs for a GPU that is at hand for half an hour; see README.md."""
