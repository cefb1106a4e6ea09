"""Predictions against measured serving runs: `python -m benchmarks.fidelity DIR`."""
