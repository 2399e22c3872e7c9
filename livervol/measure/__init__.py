"""Segmentation (and Scan) to Measurements."""
