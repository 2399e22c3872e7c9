"""``livervol view`` hands its words on; the manifest is valid; writers give back what was drawn."""

from __future__ import annotations

import warnings
from importlib import resources
from types import SimpleNamespace

import numpy as np
import pytest

from conftest import oblique_grid
from livervol.cli import main
from livervol.errors import ScanError
from livervol.io.dicom_seg import read_dicom_seg
from livervol.io.seg_nrrd import read_seg_nrrd_layers
from livervol.scan import Segmentation
from napari_livervol.layers import labels_layer
from napari_livervol.reader import sample_visit
from napari_livervol.writer import write_dicom, write_segments

GRID = oblique_grid()


@pytest.fixture
def viewer_called(monkeypatch):
    """What the installed viewer was called with."""
    calls = []
    found = SimpleNamespace(load=lambda: lambda *words: calls.append(words))
    monkeypatch.setattr("livervol.cli.view.entry_points", lambda group: [found])
    monkeypatch.setattr("livervol.cli.view.find_spec", lambda name: object())
    return calls


def test_words_reach_the_viewer(viewer_called, tmp_path):
    scan = tmp_path / "ct.nii.gz"
    scan.touch()
    assert main(["view", str(tmp_path), str(scan), "--reader", "R1"]) == 0
    assert viewer_called == [(tmp_path, "R1", [scan])]


def test_a_path_that_is_not_there_is_refused(viewer_called, tmp_path, capsys):
    assert main(["view", str(tmp_path), str(tmp_path / "none.nii.gz")]) == 2
    assert "input not found" in capsys.readouterr().err
    assert viewer_called == []


def test_without_a_viewer_one_sentence(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("livervol.cli.view.find_spec", lambda name: None)
    assert main(["view", str(tmp_path)]) == 2
    assert 'pip install "livervol[napari]"' in capsys.readouterr().err


def test_the_manifest_is_valid(napari_there):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from npe2 import PluginManifest

        with resources.as_file(resources.files("napari_livervol") / "napari.yaml") as path:
            manifest = PluginManifest.from_file(path)
        manifest.validate_imports()
    given = manifest.contributions
    assert {writer.command for writer in given.writers} == {
        "livervol.write_labels",
        "livervol.write_segments",
        "livervol.write_dicom",
    }
    assert [widget.display_name for widget in given.widgets] == ["Read a visit"]


def drawn(name, grid, values):
    labels = np.zeros(grid.shape_zyx, np.uint8)
    for value in values:
        labels[1 : 3 + value, 2:5, value : value + 3] = value
    return labels_layer(Segmentation(labels, grid, {v: f"label {v}" for v in values}), name)


def test_several_layers_become_one_slicer_file(tmp_path):
    layers = [drawn("liver", GRID, [1]), drawn("lesions", GRID, [1, 3])]
    path = tmp_path / "reading.seg.nrrd"
    assert write_segments(str(path), layers) == [str(path)]
    back = read_seg_nrrd_layers(path)
    assert [dict(layer.names) for layer in back] == [{1: "liver"}, {1: "lesions 1", 3: "lesions 3"}]
    for (data, _, _), layer in zip(layers, back, strict=True):
        assert layer.grid.matches(GRID)
        assert np.array_equal(layer.labels, data[::-1])


def test_a_dicom_segmentation_refers_to_the_series_it_was_drawn_on(tmp_path):
    image = sample_visit()[0]
    grid = image[1]["metadata"]["livervol_grid"]
    layers = [image, drawn("liver", grid, [1])]
    path = tmp_path / "liver.dcm"
    assert write_dicom(str(path), layers) == [str(path)]
    back = read_dicom_seg(path, "liver", [grid])
    assert back.grid.matches(grid)
    assert np.array_equal(back.labels, layers[1][0][::-1])
    with pytest.raises(ScanError, match="needs its series"):
        write_dicom(str(path), layers[1:])
