"""Numerics over several variants: pure functions on arrays, tables and labelled datasets."""
