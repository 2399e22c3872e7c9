"""What each operation of a plan does to the vessels of the visit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from livervol.errors import ScanError, refusal
from livervol.io.images import read_labels
from livervol.io.tables import unreadable
from livervol.measure.resection import Operation
from livervol.measure.vascular import judge_resection, vascular_measurements
from livervol.measure.vascular_facts import vascular_facts
from livervol.records import Measurement
from livervol.scan import Segmentation
from livervol.segment.vessels import VesselsResult, vessels_of_mask

__all__ = ["vessels_under"]


def vessels_under(
    root: Path,
    masks: tuple[Segmentation, Segmentation, Segmentation | None],
    operations: Iterable[Operation],
    document: Mapping[str, Any],
) -> tuple[dict[str, dict[str, Measurement]], tuple[str, ...]]:
    """Measurements ``vessels.*`` of each operation by slug, from the visit's ``vessels.nii.gz``; and warnings.

    ``masks`` are liver, segments and lesions or None, ``document`` the visit's measurements.json. Raises ``ScanError``
    when the visit has no vessels.
    """
    liver, segments, lesions = masks
    path = root / "vessels.nii.gz"
    if not path.is_file():
        raise ScanError(
            refusal(
                "vessels mask is missing",
                expected="vessels.nii.gz in the visit's folder",
                got="no such file",
                where=str(root),
                do="Run livervol run with a portal-venous phase, or measure with --vessels.",
            )
        )
    tree = _as_sure_as_read(vessels_of_mask(read_labels(path), liver), document, root / "measurements.json")
    facts = vascular_facts(liver, segments, lesions, tree)
    found: dict[str, dict[str, Measurement]] = {}
    for op in operations:
        stem = f"remnant.{op.slug}."
        rows = vascular_measurements([judge_resection(facts, op)])
        found[op.slug] = {row.name.removeprefix(stem): row for row in rows}
    return found, tree.warnings


def _as_sure_as_read(tree: VesselsResult, document: Mapping[str, Any], path: Path) -> VesselsResult:
    """The tree of a mask knows its kinds for sure; one the program drew itself is no surer than when it was drawn."""
    try:
        stored = document.get("vessels", {}).get("confidence", {})
        confidence = {kind: min(float(v), float(stored.get(kind, v))) for kind, v in tree.confidence.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise unreadable(path, type(error).__name__) from error
    return dataclasses.replace(tree, confidence=confidence)
