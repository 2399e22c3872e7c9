"""A simple liver for lesion tests: an ellipsoid with vessels and balls, blurred and noisy, on an oblique grid."""

import numpy as np
from scipy import ndimage

from conftest import oblique_grid
from livervol.scan import Phase, Scan, Segmentation

SHAPE, SPACING = (44, 80, 86), (3.4, 2.0, 1.9)
GRID = oblique_grid(SHAPE, SPACING)
CENTRE = np.array([22, 40, 43]) * SPACING


class Abdomen:
    """An ellipsoid liver of about 1.2 litres in fat, unequal sides; shapes in mm from its centre.

    ``scan`` blurs by 1.2 mm and adds ``noise`` HU, as a scanner would.
    """

    def __init__(self):
        z, y, x = (np.arange(n) * s - c for n, s, c in zip(SHAPE, SPACING, CENTRE, strict=True))
        self.z, self.y, self.x = z[:, None, None], y[None, :, None], x[None, None, :]
        self.liver = (self.z / 62) ** 2 + (self.y / 66) ** 2 + (self.x / 70) ** 2 <= 1

    def ball(self, centre_mm, diameter_mm):
        z, y, x = centre_mm
        return (self.z - z) ** 2 + (self.y - y) ** 2 + (self.x - x) ** 2 <= (0.5 * diameter_mm) ** 2

    def tube(self, y_mm, x_mm, diameter_mm):
        """Along z, and a branch along x from its middle."""
        trunk = (self.y - y_mm) ** 2 + (self.x - x_mm) ** 2 <= (0.5 * diameter_mm) ** 2
        branch = ((self.y - y_mm) ** 2 + self.z**2 <= (0.4 * diameter_mm) ** 2) & (self.x > x_mm)
        return (trunk | branch) & self.liver

    def scan(self, parenchyma, parts, phase=Phase.PORTAL_VENOUS, seed=0, noise=12.0):
        # a gentle slope of +-8 HU through the liver, as beam hardening and perfusion make it
        values = np.where(self.liver, parenchyma + 8 * self.x / 70 + 0 * self.y, -95.0)
        for mask, hu in parts:
            values = np.where(mask, hu, values)
        values = ndimage.gaussian_filter(values, [1.2 / s for s in SPACING])
        grain = np.random.default_rng(seed).normal(0, noise, SHAPE)
        return Scan((values + grain).astype(np.int16), GRID, phase=phase)

    @property
    def mask(self):
        return Segmentation(self.liver.astype(np.uint8), GRID, {1: "liver"})
