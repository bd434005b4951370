"""Faults made on purpose: killed runs, full disks, two runs at once, damaged files, files that carry code.

    python -m benchmarks.faults --help

Each fault counts its cases and lists those in which something was lost, something ran, or the user got a traceback.
"""
