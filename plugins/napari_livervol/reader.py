"""napari readers: a DICOM folder, an image, a mask, or a visit's output folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from livervol.assets import sample_scans_folder
from livervol.errors import ScanError, refusal
from livervol.io.dicom import read_dicom
from livervol.io.images import read_image, read_labels
from livervol.scan import Phase
from napari_livervol.layers import LABEL_COLORS, LayerData, image_layer, labels_layer, one_color

__all__ = ["MASKS", "get_reader", "is_visit", "phase_paths", "read_visit_folder", "sample_mr", "sample_visit"]

#: A visit's masks in drawing order, the liver lowest.
MASKS = ("liver", "segments", "vessels", "lesions", "viable", "necrosis", "uncertain")

#: What is shown at first; the rest is one click away.
_SHOWN = ("liver", "lesions", "viable")


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[LayerData]] | None:
    """The reader for a path, or None when it is not ours (npe2 reader contract)."""
    first = Path(path[0] if isinstance(path, list) else path)
    if first.is_dir():
        return _read_folder
    return _read_files


def is_visit(folder: Path) -> bool:
    """True for the folder ``livervol run`` or ``livervol measure`` writes."""
    return (folder / "measurements.json").is_file()


def phase_paths(folder: Path) -> list[Path]:
    """The phases of a visit's folder, the one the masks were drawn on last (napari shows the last layer on top)."""
    try:
        document = json.loads((folder / "measurements.json").read_text(encoding="utf-8"))
        reference = str(document.get("provenance", {}).get("reference_phase", ""))
    except (OSError, ValueError, AttributeError):
        reference = ""
    found = sorted((folder / "phases").glob("*.nii.gz"))
    return sorted(found, key=lambda path: path.name.split(".")[0] == reference)


def _paths(path: str | list[str]) -> list[Path]:
    return [Path(p) for p in (path if isinstance(path, list) else [path])]


def _read_folder(path: str | list[str]) -> list[LayerData]:
    layers: list[LayerData] = []
    for folder in _paths(path):
        if is_visit(folder):
            layers += read_visit_folder(folder)
        else:
            layers += _scans(folder)
    return layers


def _scans(folder: Path) -> list[LayerData]:
    scans = read_dicom(folder)
    layers = []
    for number, scan in enumerate(scans, 1):
        phase = "" if scan.phase is Phase.UNKNOWN else f", {scan.phase.value.replace('_', ' ')}"
        data, options, kind = image_layer(scan, f"series {number}{phase}")
        # a DICOM segmentation refers to the series it was drawn on
        options["metadata"]["livervol_dicom"] = (str(folder), scan.source.uids, scan.source.sha256)
        layers.append((data, options, kind))
    return layers


def _is_mask(path: Path) -> bool:
    return path.name.split(".")[0] in MASKS or ".seg." in path.name


def _read_files(path: str | list[str]) -> list[LayerData]:
    layers: list[LayerData] = []
    for file in _paths(path):
        name = file.name.split(".")[0]
        if _is_mask(file):
            layers.append(_mask_layer(file))
        else:
            layers.append(image_layer(read_image(file), name))
    return layers


def _mask_layer(path: Path) -> LayerData:
    name = path.name.split(".")[0]
    data, options, kind = labels_layer(read_labels(path), name)
    options["visible"] = name in _SHOWN or name not in MASKS
    if name in LABEL_COLORS:
        options["colormap"] = one_color(name)
    return data, options, kind


def read_visit_folder(folder: Path) -> list[LayerData]:
    """A visit's output: its phases where it has several, then its masks."""
    layers: list[LayerData] = []
    for path in phase_paths(folder):
        name = path.name.split(".")[0]
        phase = Phase(name) if name in set(Phase) else Phase.UNKNOWN
        layers.append(image_layer(read_image(path, phase=phase), name.replace("_", " ")))
    for _, options, _ in layers[:-1]:
        options["visible"] = False
    layers += [_mask_layer(folder / f"{n}.nii.gz") for n in MASKS if (folder / f"{n}.nii.gz").is_file()]
    if not layers:
        raise ScanError(
            refusal(
                "visit folder holds no image",
                expected="phases/ or masks",
                got="neither",
                where=str(folder),
                do="Run it again.",
            )
        )
    return layers


def sample_visit() -> list[LayerData]:
    """The first visit of the sample course, three CT phases."""
    return _scans(sample_scans_folder() / "course" / "visit_1")


def sample_mr() -> list[LayerData]:
    """The sample patient as MR."""
    files = sorted((sample_scans_folder() / "mr").glob("*.nii.gz"))
    return [image_layer(read_image(file), file.name.split(".")[0].replace("_", " ")) for file in files]
