"""The report of a benchmark: tables, charts, pictures, and a page with all of it."""

from inpaintzoo.benchmark.report.write import write_report

__all__ = ["write_report"]
