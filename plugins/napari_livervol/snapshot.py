"""A reading's masks as they are now, for work in another thread: copies, so that the reader may go on drawing."""

from __future__ import annotations

import numpy as np

from livervol.scan import Segmentation
from livervol.workflows.reading import Reading

__all__ = ["snapshot"]


def snapshot(reading: Reading, name: str) -> Segmentation | None:
    """The named mask as a Segmentation of its own; None when it is not there.

    Lesions are those of the liver: no operation on the liver removes others.
    """
    live = reading.masks.get(name)
    if live is None:
        return None
    labels = live.copy()
    if name == "lesions" and reading.extrahepatic:
        labels[np.isin(labels, list(reading.extrahepatic))] = 0
    return Segmentation(labels, reading.grid, {v: f"{name} {v}" for v in range(1, int(labels.max(initial=0)) + 1)})
