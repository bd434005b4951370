"""Label maps: their classes, the files that hold them, and who needs them."""
