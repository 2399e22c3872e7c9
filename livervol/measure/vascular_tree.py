"""What the measures ask of a vessel tree, whoever read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from livervol.scan import Segmentation

__all__ = ["Branch", "VesselTree"]


class Branch(Protocol):
    """A branch between two joints of a vessel tree."""

    @property
    def number(self) -> int:
        """From 1, its place in the tree's list plus 1."""

    @property
    def parent(self) -> int:
        """Number of the branch it comes from, 0 at a root."""

    @property
    def kind(self) -> int:
        """1 portal vein, 2 hepatic vein."""

    @property
    def name(self) -> str:
        """In words."""

    @property
    def points_lps_mm(self) -> NDArray[np.float64]:
        """Centreline from the root outwards, shape (n, 3), mm."""

    @property
    def radius_mm(self) -> NDArray[np.float64]:
        """Radius at each point, shape (n,), mm."""


class VesselTree(Protocol):
    """Branches, where their voxels are, and how surely they were read."""

    @property
    def branches(self) -> Sequence[Branch]:
        """Numbered from 1 in order."""

    @property
    def branch_labels(self) -> Segmentation:
        """Each vessel voxel's branch number."""

    @property
    def confidence(self) -> Mapping[str, float]:
        """0 to 1 by kind: "portal", "hepatic"."""
