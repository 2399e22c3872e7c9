"""napari writers: labels layers as NIfTI in the order of their scan's file, as ``.seg.nrrd``, as DICOM segmentation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from livervol.errors import GridError, ScanError, refusal
from livervol.io.dicom_seg import write_dicom_seg
from livervol.io.dicom_source import find_source
from livervol.io.nifti import write_nifti_labels
from livervol.io.seg_nrrd import write_seg_nrrd
from livervol.scan import Segmentation
from napari_livervol.layers import segmentation_of

__all__ = ["write_dicom", "write_labels", "write_segments"]

#: Names that say nothing of the structure.
_PLAIN = "label "


def _segmentation(data: Any, attributes: dict[str, Any]) -> Segmentation:
    metadata = attributes.get("metadata", {})
    if "livervol_grid" not in metadata:
        raise GridError(
            refusal(
                "layer has no patient position",
                expected="a layer opened by livervol",
                got="a layer made elsewhere",
                where=str(attributes.get("name", "")),
                do="Open the scan with livervol and draw on a layer made from it.",
            )
        )
    return segmentation_of(data, metadata, made_by="napari")


def write_labels(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write one labels layer (npe2 single-layer writer contract); an existing file is replaced, as the dialog asked."""
    stored = attributes.get("metadata", {}).get("livervol_stored")
    write_nifti_labels(path, _segmentation(data, attributes), stored, overwrite=True)
    return [path]


def write_segments(path: str, layers: list[tuple[Any, dict[str, Any], str]]) -> list[str]:
    """Write labels layers as the segments of one ``.seg.nrrd`` (npe2 multi-layer writer contract)."""
    found = []
    for data, attributes, _ in layers:
        one = _segmentation(data, attributes)
        layer = str(attributes.get("name", ""))
        names = {v: f"{layer} {n.removeprefix(_PLAIN)}".strip() if n.startswith(_PLAIN) else n
                 for v, n in one.names.items()}  # fmt: skip
        if set(names) == {1} and one.names[1].startswith(_PLAIN):
            names = {1: layer}
        found.append(replace(one, names=names))
    write_seg_nrrd(path, found, overwrite=True)
    return [path]


def write_dicom(path: str, layers: list[tuple[Any, dict[str, Any], str]]) -> list[str]:
    """Write labels layers as one DICOM segmentation of the image layer among them, which came from a DICOM folder.

    Layers are told apart by name: liver, segments, lesions, viable, necrosis, uncertain, vessels.
    """
    images = [attributes for _, attributes, kind in layers if kind == "image"]
    source = next((a["metadata"]["livervol_dicom"] for a in images if "livervol_dicom" in a.get("metadata", {})), None)
    masks = {str(a.get("name", "")): _segmentation(data, a) for data, a, kind in layers if kind == "labels"}
    if source is None or not masks:
        raise ScanError(
            refusal(
                "DICOM segmentation needs its series",
                expected="an image layer opened from a DICOM folder and the labels drawn on it",
                got=f"{len(images)} images, {len(masks)} labels",
                do="Select both layers, then save again.",
            )
        )
    folder, uids, sha256 = source
    grid = next(iter(masks.values())).grid
    series = find_source(folder, grid, series_uid=uids[-1] if uids else "", voxels_sha256=sha256)
    write_dicom_seg(path, masks, series, overwrite=True)
    return [path]
