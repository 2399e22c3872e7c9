"""napari readers: a DICOM folder, an image, a mask, or a visit's output folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from livervol.assets import sample_scans_folder
from livervol.errors import ScanError
from livervol.io.dicom import read_dicom
from livervol.io.images import read_image, read_labels
from napari_livervol.layers import LayerData, image_layer, labels_layer

__all__ = ["get_reader", "read_visit_folder", "sample_visit"]

#: A visit's masks in drawing order, the liver lowest.
MASKS = ("liver", "segments", "vessels", "lesions", "viable", "necrosis", "uncertain")


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[LayerData]] | None:
    """The reader for a path, or None when it is not ours (npe2 reader contract)."""
    first = Path(path[0] if isinstance(path, list) else path)
    if first.is_dir():
        return _read_folder
    return _read_files


def _paths(path: str | list[str]) -> list[Path]:
    return [Path(p) for p in (path if isinstance(path, list) else [path])]


def _read_folder(path: str | list[str]) -> list[LayerData]:
    layers: list[LayerData] = []
    for folder in _paths(path):
        if (folder / "measurements.json").is_file():
            layers += read_visit_folder(folder)
        else:
            scans = read_dicom(folder)
            layers += [image_layer(scan, f"series {n}") for n, scan in enumerate(scans, 1)]
    return layers


def _is_mask(path: Path) -> bool:
    return path.name.split(".")[0] in MASKS or ".seg." in path.name


def _read_files(path: str | list[str]) -> list[LayerData]:
    layers: list[LayerData] = []
    for file in _paths(path):
        name = file.name.split(".")[0]
        if _is_mask(file):
            layers.append(labels_layer(read_labels(file), name))
        else:
            layers.append(image_layer(read_image(file), name))
    return layers


def read_visit_folder(folder: Path) -> list[LayerData]:
    """A visit's output: its phases where it has several, then its masks."""
    phases = sorted((folder / "phases").glob("*.nii.gz")) if (folder / "phases").is_dir() else []
    layers = [image_layer(read_image(path), path.name.split(".")[0]) for path in phases]
    for name in MASKS:
        path = folder / f"{name}.nii.gz"
        if path.is_file():
            layers.append(labels_layer(read_labels(path), name))
    if not layers:
        raise ScanError(
            f"visit folder holds no image: expected phases/ or masks, got neither ({folder}). Run it again."
        )
    return layers


def sample_visit() -> list[LayerData]:
    """The first visit of the sample course."""
    scans = read_dicom(sample_scans_folder() / "course" / "visit_1")
    return [image_layer(scan, f"series {n}") for n, scan in enumerate(scans, 1)]
