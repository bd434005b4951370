"""Plain, slow forms of what the package computes fast: the yardstick of the benchmarks and an oracle of the tests."""
