"""Measurements; never asserted. `python -m tests.bench` prints them as Markdown."""
