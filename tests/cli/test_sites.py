"""``--site`` of ``livervol measure``: lesions outside the liver."""

from __future__ import annotations

import json

import numpy as np
import pytest

from conftest import oblique_grid
from livervol import cli
from livervol.io.nifti import write_nifti_labels
from livervol.scan import Segmentation


@pytest.fixture
def masks(tmp_path):
    grid = oblique_grid()
    liver, lesions = np.zeros(grid.shape_zyx, np.uint8), np.zeros(grid.shape_zyx, np.uint8)
    liver[1:-1, 1:-1, 1:-2] = 1
    lesions[2:4, 2:4, 2:4], lesions[2:4, 2:4, -1:] = 1, 2
    words = []
    for name, labels in (("liver", liver), ("lesions", lesions)):
        path = tmp_path / f"{name}.nii.gz"
        write_nifti_labels(path, Segmentation(labels, grid, {int(k): str(k) for k in np.unique(labels[labels > 0])}))
        words += [f"--{name}", str(path)]
    segments = tmp_path / "segments.nii.gz"
    write_nifti_labels(segments, Segmentation(liver * 4, grid, {4: "segment 4"}))
    return [*words, "--segments", str(segments)]


def test_a_lesion_is_placed_outside_the_liver(masks, tmp_path):
    assert cli.main(["measure", *masks, "--out", str(tmp_path / "out"), "--site", "2=lung"]) == 0
    document = json.loads((tmp_path / "out" / "measurements.json").read_text())
    assert [lesion["site"] for lesion in document["lesions"]] == ["liver", "lung"]
    assert document["tumor"]["volume_ml"] == pytest.approx(document["lesions"][0]["volume_ml"])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["lung"], "--site cannot be read: expected NUMBER=SITE, such as 3=lung, got 'lung'"),
        (["0=lung"], "--site cannot be read"),
        (["2=lung", "2=bone"], "lesion has two sites"),
        (["2=moon"], "site"),
        (["9=lung"], "9"),
    ],
)
def test_wrong_sites_are_refused(masks, tmp_path, capsys, words, sentence):
    options = [part for word in words for part in ("--site", word)]
    assert cli.main(["measure", *masks, "--out", str(tmp_path / "out"), *options]) == 2
    assert sentence in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()
