"""napari writer: a labels layer as NIfTI, back in the order of the file it was drawn on."""

from __future__ import annotations

from typing import Any

from livervol.errors import GridError, refusal
from livervol.io.nifti import write_nifti_labels
from napari_livervol.layers import segmentation_of

__all__ = ["write_labels"]


def write_labels(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write one labels layer (npe2 single-layer writer contract); an existing file is replaced, as the dialog asked."""
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
    segmentation = segmentation_of(data, metadata, made_by="napari")
    write_nifti_labels(path, segmentation, metadata.get("livervol_stored"), overwrite=True)
    return [path]
