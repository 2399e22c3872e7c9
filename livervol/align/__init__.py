"""One scan on another's grid: header geometry first, then refinements that must earn their place."""

from livervol.align.alignment import Alignment, align
from livervol.align.transform import Bend, Transform

__all__ = ["Alignment", "Bend", "Transform", "align"]
