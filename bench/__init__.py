"""Benchmarks: each module has `run()` and is a program of its own."""
