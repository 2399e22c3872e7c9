"""What each operation of a plan does to the vessels of the visit."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path

from livervol.errors import ScanError, refusal
from livervol.io.images import read_labels
from livervol.measure.resection import Operation
from livervol.measure.vascular import judge_resection, vascular_facts, vascular_measurements
from livervol.records import Measurement
from livervol.scan import Segmentation
from livervol.segment.vessels import VesselsResult, vessels_of_mask

__all__ = ["vessels_under"]


def vessels_under(
    root: Path,
    masks: tuple[Segmentation, Segmentation, Segmentation | None],
    operations: Iterable[Operation],
) -> tuple[dict[str, dict[str, Measurement]], tuple[str, ...]]:
    """Measurements ``vessels.*`` of each operation by slug, from the visit's ``vessels.nii.gz``; and warnings.

    ``masks`` are liver, segments and lesions or None. Raises ``ScanError`` when the visit has no vessels.
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
    tree = _as_sure_as_read(vessels_of_mask(read_labels(path), liver), root)
    facts = vascular_facts(liver, segments, lesions, tree)
    found: dict[str, dict[str, Measurement]] = {}
    for op in operations:
        stem = f"remnant.{op.slug}."
        rows = vascular_measurements([judge_resection(facts, op)])
        found[op.slug] = {row.name.removeprefix(stem): row for row in rows}
    return found, tree.warnings


def _as_sure_as_read(tree: VesselsResult, root: Path) -> VesselsResult:
    """The tree of a mask knows its kinds for sure; one the program drew itself is no surer than when it was drawn."""
    path = root / "measurements.json"
    try:
        stored = json.loads(path.read_text(encoding="utf-8")).get("vessels", {}).get("confidence", {})
        confidence = {kind: min(float(v), float(stored.get(kind, v))) for kind, v in tree.confidence.items()}
    except FileNotFoundError:
        return tree
    except (ValueError, AttributeError, TypeError) as error:
        raise ScanError(
            refusal(
                "measurements.json is unreadable",
                expected="what livervol run writes",
                got=type(error).__name__,
                where=str(path),
            )
        ) from error
    return dataclasses.replace(tree, confidence=confidence)
