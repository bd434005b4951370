"""Losses: weighted terms of the generator's objective."""
