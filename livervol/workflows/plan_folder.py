"""What a plan reads: a visit's output folder, or a reader's folder in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from livervol.errors import GridError, ScanError, refusal
from livervol.io.images import read_labels
from livervol.io.tables import read_document, unreadable
from livervol.scan import Segmentation

__all__ = ["as_drawn", "lesions_of_liver", "read_masks"]


def read_masks(root: Path) -> tuple[Segmentation, Segmentation, Segmentation | None]:
    """Liver, segments and (if there) lesions of a folder, all on one grid."""
    masks: dict[str, Segmentation] = {}
    for name in ("liver", "segments", "lesions"):
        path = root / f"{name}.nii.gz"
        if path.is_file():
            masks[name] = read_labels(path)
        elif name != "lesions":
            raise ScanError(
                refusal(
                    f"{name} mask is missing",
                    expected=f"{name}.nii.gz in the visit's folder",
                    got="no such file",
                    where=str(root),
                    do="Run livervol run or livervol measure on the visit first.",
                )
            )
    for name, mask in masks.items():
        if not mask.grid.matches(masks["liver"].grid):
            raise GridError(
                refusal(
                    f"{name} mask is not on the liver's grid",
                    expected=masks["liver"].grid.describe(),
                    got=mask.grid.describe(),
                    where=str(root),
                )
            )
    return masks["liver"], masks["segments"], masks.get("lesions")


def lesions_of_liver(
    lesions: Segmentation | None, document: Mapping[str, Any], path: Path
) -> tuple[Segmentation | None, tuple[str, ...]]:
    """The lesions that an operation on the liver is judged by, and a warning that names the others.

    ``document`` is measurements.json, which holds their sites, and ``path`` where it lies. A lesion without an entry
    lies in the liver.
    """
    try:
        sites = {int(one["number"]): str(one.get("site", "liver")) for one in document.get("lesions", ())}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise unreadable(path, type(error).__name__) from error
    if lesions is None:
        return None, ()
    there = [n for n in sorted(sites) if sites[n] != "liver" and (lesions.labels == n).any()]
    if not there:
        return lesions, ()
    named = ", ".join(f"{number} ({sites[number].replace('_', ' ')})" for number in there)
    warning = f"not counted, because no operation on the liver removes it: lesion {named}"
    return lesions.without(there), (warning,)


def as_drawn(document: Mapping[str, Any], root: Path, liver: Segmentation) -> Mapping[str, Any]:
    """The folder's measurements.json with what the program said of its own segments and vessels.

    That of a reader's folder (``readers/<code>``) lacks both. They come from the visit's while the reader's segments or
    vessels are the visit's, where both livers lie: a boundary that a reader moved is not as unsure as it was.
    """
    visit = root.resolve().parent.parent
    path = visit / "measurements.json"
    if root.resolve().parent.name != "readers" or not path.is_file():
        return document
    machine, found = read_document(path), dict(document)
    try:
        if _untouched("segments", root, visit, liver):
            own = dict(document.get("provenance", {}))
            method = machine.get("provenance", {}).get("methods", {}).get("segments", "")
            found["provenance"] = {**own, "methods": {**own.get("methods", {}), "segments": method}}
            if "segment_spread" in machine:
                found["segment_spread"] = machine["segment_spread"]
        if "vessels" in machine and _untouched("vessels", root, visit, liver):
            found["vessels"] = machine["vessels"]
    except (ValueError, TypeError, AttributeError) as error:
        raise unreadable(path, type(error).__name__) from error
    return found


def _untouched(name: str, root: Path, visit: Path, liver: Segmentation) -> bool:
    """Whether a reader's mask is the visit's, where the livers of both lie."""
    paths = [root / f"{name}.nii.gz", visit / f"{name}.nii.gz", visit / "liver.nii.gz"]
    if not all(path.is_file() for path in paths):
        return False
    own, first, before = (read_labels(path) for path in paths)
    if not all(mask.grid.matches(liver.grid) for mask in (own, first, before)):
        return False
    both = (liver.labels != 0) & (before.labels != 0)
    return bool(np.array_equal(own.labels[both], first.labels[both]))
