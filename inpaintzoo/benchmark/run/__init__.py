"""Running a benchmark: contenders fill pinned pairs, and protocols measure the fills batch by batch."""
