"""Generators, one method a file."""
