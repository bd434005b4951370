"""Side-by-side benchmarks: several models on the same pinned pairs, under named protocols."""
