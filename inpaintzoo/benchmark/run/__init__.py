"""Runs a benchmark: who takes part, on which pairs, measured batch by batch."""
