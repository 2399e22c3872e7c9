"""CT windows a reader switches between by key; MR is shown by its own values."""

from __future__ import annotations

from typing import Any

from livervol.report.figures import display_window
from livervol.scan import Scan

__all__ = ["WINDOWS", "first_window", "set_window"]

#: Darkest and brightest HU by name: width and level 160/100, 350/110 and 400/40.
WINDOWS = {"liver": (20.0, 180.0), "arterial": (-65.0, 285.0), "soft tissue": (-160.0, 240.0)}


def first_window(scan: Scan) -> tuple[float, float]:
    """The window a scan opens with: by phase for CT, the 1st to 99.5th percentile for MR."""
    if scan.modality != "CT":
        return display_window(scan)
    return WINDOWS["arterial"] if "arterial" in scan.phase.value else WINDOWS["soft tissue"]


def set_window(viewer: Any, name: str) -> list[str]:
    """Give every CT layer the named window; returns the names of the layers changed (MR keeps its own)."""
    changed = []
    for layer in viewer.layers:
        if layer.metadata.get("livervol_modality") == "CT" and hasattr(layer, "contrast_limits"):
            layer.contrast_limits = WINDOWS[name]
            changed.append(layer.name)
    return changed
