"""A virtual patient with liver cancer, in closed form: shapes, tissues, voxels, truth."""

from __future__ import annotations

from .masks import PhantomMasks, phantom_masks
from .plan import VISIT_PLANS, VisitPlan

__all__ = ["VISIT_PLANS", "PhantomMasks", "VisitPlan", "phantom_masks"]
