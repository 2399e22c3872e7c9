"""livervol: imaging-based liver volumetry and response measurement in hepatocellular carcinoma.

Public names are loaded on first use, so that ``import livervol`` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from livervol.grid import Grid
    from livervol.records import Course, Lesion, Measurement, Response, Visit
    from livervol.scan import Phase, Scan, Segmentation

__version__ = "0.1.0"

_HOME = {
    "Course": "records",
    "Grid": "grid",
    "Lesion": "records",
    "Measurement": "records",
    "Phase": "scan",
    "Response": "records",
    "Scan": "scan",
    "Segmentation": "scan",
    "Visit": "records",
}

__all__ = ["Course", "Grid", "Lesion", "Measurement", "Phase", "Response", "Scan", "Segmentation", "Visit"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"livervol.{_HOME[name]}"), name)
    raise AttributeError(f"module 'livervol' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
