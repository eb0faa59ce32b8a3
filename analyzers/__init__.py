"""Instruments: pure numerics on checkpoints, and the pipeline that runs them. Knows nothing of figures."""
