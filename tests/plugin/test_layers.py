"""The plugin without a window: layers carry every voxel to its place and back."""

from __future__ import annotations

import re
from importlib import import_module, resources
from importlib.metadata import entry_points

import numpy as np
import pytest

from conftest import oblique_grid
from livervol.errors import GridError, ScanError
from livervol.grid import Grid
from livervol.io.images import read_labels
from livervol.io.nifti import write_nifti_labels, write_nifti_scan
from livervol.scan import Scan, Segmentation
from napari_livervol.layers import image_layer, labels_layer, segmentation_of
from napari_livervol.reader import get_reader
from napari_livervol.writer import write_labels

STRAIGHT = Grid.from_parts((7, 8, 9), (2.5, 0.8, 0.7), (-31.5, 47.25, -812.0))


def marked(grid, dtype=np.uint8):
    labels = np.zeros(grid.shape_zyx, dtype)
    labels[1, 2, 3], labels[5, 6, 7] = 1, 4
    return Segmentation(labels, grid, {1: "lesion 1", 4: "lesion 4"})


def test_head_is_up_and_right_is_left():
    data, options, kind = image_layer(Scan(np.arange(504, dtype=np.int16).reshape(7, 8, 9), STRAIGHT), "portal")
    assert kind == "image"
    shown = np.argwhere(data == 1 * 72 + 2 * 9 + 3)[0]
    assert shown.tolist() == [5, 2, 3]  # feet-most but one is drawn lowest but one
    world = np.array(options["translate"]) + shown * options["scale"]
    x, y, z = STRAIGHT.index_to_lps((1, 2, 3))
    assert np.allclose(world, [-z, y, x])


@pytest.mark.parametrize("grid", [STRAIGHT, oblique_grid()], ids=["straight", "oblique"])
def test_labels_come_back_where_they_were(grid):
    segmentation = marked(grid)
    data, options, _ = labels_layer(segmentation, "lesions")
    back = segmentation_of(data, options["metadata"], "test")
    assert back.grid == grid
    assert np.array_equal(back.labels, segmentation.labels)
    assert dict(back.names) == dict(segmentation.names)


def test_painting_does_not_touch_the_source():
    segmentation = marked(STRAIGHT)
    data, options, _ = labels_layer(segmentation, "lesions")
    data[0, 0, 0] = 9
    assert segmentation.labels[6, 0, 0] == 0
    assert segmentation_of(data, options["metadata"], "test").names[9] == "label 9"


def test_a_written_layer_is_on_the_files_own_grid(tmp_path):
    columns = oblique_grid().directions[:, [2, 0, 1]] * [1, -1, 1]
    stored = Grid.from_parts((9, 7, 8), (0.7, 2.5, 0.8), (1.0, 2.0, 3.0), columns)
    order = stored.canonical_order()
    segmentation = marked(stored.reordered(order))
    data, options, _ = labels_layer(segmentation, "lesions", stored)
    path = tmp_path / "lesions.nii.gz"
    assert write_labels(str(path), data, options) == [str(path)]
    back = read_labels(path)
    assert back.grid.matches(segmentation.grid)
    assert np.array_equal(back.labels, segmentation.labels)


def test_a_foreign_layer_is_refused(tmp_path):
    with pytest.raises(GridError, match="no patient position"):
        write_labels(str(tmp_path / "a.nii.gz"), np.zeros((2, 3, 4), np.uint8), {"name": "paint"})
    assert list(tmp_path.iterdir()) == []


def test_reading_a_visit_folder(napari_there, tmp_path):
    (tmp_path / "phases").mkdir()
    (tmp_path / "measurements.json").write_text("{}")
    write_nifti_scan(tmp_path / "phases" / "native.nii.gz", Scan(np.full((7, 8, 9), 55, np.int16), STRAIGHT))
    write_nifti_labels(tmp_path / "liver.nii.gz", marked(STRAIGHT))
    read = get_reader(str(tmp_path))
    layers = read(str(tmp_path))
    assert [(options["name"], kind) for _, options, kind in layers] == [("native", "image"), ("liver", "labels")]
    assert layers[0][1]["translate"] == pytest.approx(layers[1][1]["translate"])


def test_reading_single_files(napari_there, tmp_path):
    write_nifti_scan(tmp_path / "ct.nii.gz", Scan(np.full((7, 8, 9), -300, np.int16), STRAIGHT))
    write_nifti_labels(tmp_path / "lesions.nii.gz", marked(STRAIGHT))
    paths = [str(tmp_path / "ct.nii.gz"), str(tmp_path / "lesions.nii.gz")]
    assert [kind for _, _, kind in get_reader(paths)(paths)] == ["image", "labels"]


def test_an_empty_visit_folder_is_refused(tmp_path):
    (tmp_path / "measurements.json").write_text("{}")
    with pytest.raises(ScanError, match="holds no image"):
        get_reader(str(tmp_path))(str(tmp_path))


def test_the_manifest_names_real_functions():
    text = resources.files("napari_livervol").joinpath("napari.yaml").read_text(encoding="utf-8")
    named = re.findall(r"python_name: ([\w.]+):(\w+)", text)
    assert len(named) == text.count("- id:") == 7
    for module, function in named:
        assert callable(getattr(import_module(module), function))
    (entry,) = entry_points(group="napari.manifest", name="livervol")
    assert entry.value == "napari_livervol:napari.yaml"
