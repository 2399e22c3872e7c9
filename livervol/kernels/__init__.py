"""Numba loops: arrays and plain numbers in and out; no checks, no objects, no files."""
