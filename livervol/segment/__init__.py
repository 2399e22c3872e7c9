"""Scan to Segmentation: phases, liver, lesions, viable tissue."""
