"""The liver prior: how often each tissue class is met at each place around the liver, in millimetres."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from livervol.errors import ModelError, refusal
from livervol.segment.model import check_weights, find_model

__all__ = ["CLASSES", "LIVER", "LiverPrior", "load_prior", "pose_matrix"]

MODEL = "liver_prior_v1"

#: Tissue classes of the prior, in the order of its maps.
CLASSES = (
    "outside", "lung or gas", "fat", "liver", "spleen", "kidney", "stomach and oesophagus", "gallbladder", "aorta",
    "vena cava and portal vein", "pancreas and adrenals", "bone", "wall muscle", "heart", "bowel",
)  # fmt: skip
LIVER = CLASSES.index("liver")


@dataclass(frozen=True, eq=False)
class LiverPrior:
    """Class probabilities ``maps`` (az, ay, ax, n_classes; float32, sum 1) every ``spacing_mm`` mm.

    The atlas centre is voxel ``(shape - 1) / 2``; axes run feet to head, front to back, right to left.
    """

    maps: NDArray[np.float32]
    spacing_mm: float

    def coarser(self, factor: int) -> LiverPrior:
        """The same maps averaged over blocks of ``factor`` voxels; the sizes must divide."""
        az, ay, ax, classes = self.maps.shape
        if az % factor or ay % factor or ax % factor:
            raise ValueError(f"prior of {az}x{ay}x{ax} voxels cannot be halved by {factor}")
        split = self.maps.reshape(az // factor, factor, ay // factor, factor, ax // factor, factor, classes)
        return LiverPrior(np.ascontiguousarray(split.mean(axis=(1, 3, 5))), self.spacing_mm * factor)

    def to_index(self, pose: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Matrix (3, 3) and offset (3,) that take a position (z, y, x) in mm to an atlas index under ``pose``."""
        matrix, offset = pose_matrix(pose)
        centre = (np.asarray(self.maps.shape[:3]) - 1) / 2
        return matrix / self.spacing_mm, offset / self.spacing_mm + centre

    def self_test(self) -> NDArray[np.float32]:
        """Class probabilities at 1,000 fixed places, for comparison with the released model's expected output."""
        flat = self.maps.reshape(-1, self.maps.shape[3])
        seen: NDArray[np.float32] = flat[np.linspace(0, len(flat) - 1, 1000).astype(int)]
        return seen


def pose_matrix(pose: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Matrix (3, 3) and offset (3,) in mm from patient (z, y, x) to atlas: scale about ``pose[:3]``, then rotate.

    ``pose`` is centre (mm), log scale and angles (radians), each along or about z, y, x.
    """
    a, b, c = pose[6:9]
    about_z = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_x = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    matrix = about_z @ about_y @ about_x @ np.diag(np.exp(pose[3:6]))
    return matrix, -matrix @ pose[:3]


def read_prior(path: Path) -> LiverPrior:
    """A prior from its ``.npz`` (``maps`` uint8 (n_classes, az, ay, ax), 255 = certain; ``spacing_mm``)."""
    with np.load(path) as stored:
        counts = stored["maps"].astype(np.float32)
        spacing_mm = float(stored["spacing_mm"])
    if counts.ndim != 4 or counts.shape[0] != len(CLASSES):
        raise ModelError(
            refusal("liver prior does not fit", expected=f"{len(CLASSES)} class maps", got=str(counts.shape),
                    where=str(path), do="Install livervol again.")
        )  # fmt: skip
    maps = counts.transpose(1, 2, 3, 0)
    total = maps.sum(axis=3, keepdims=True)
    return LiverPrior(np.ascontiguousarray(maps / np.maximum(total, 1)), spacing_mm)


@lru_cache(maxsize=1)
def load_prior() -> LiverPrior:
    """The released prior; its sha256 is checked against the card. Raises ``ModelError`` when missing or damaged."""
    card = find_model(MODEL)
    check_weights(card)
    return read_prior(card.weights)
