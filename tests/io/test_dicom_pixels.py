"""Every transfer syntax gives the same voxels and the same sha256."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from conftest import oblique_grid
from dicom_factory import pattern, write_enhanced, write_series
from livervol.errors import ScanError
from livervol.io import dicom_pixels
from livervol.io.dicom import read_dicom

#: Large enough for the five wavelet levels of JPEG 2000.
SHAPE = (5, 40, 48)

SYNTAXES = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
    JPEGLSLossless,
    JPEG2000Lossless,
]


def stored_values(dtype):
    values = pattern(SHAPE).astype(np.int64)
    return {"<u1": values % 251, "<i2": values - 1000, "<u2": values * 3}[dtype].astype(dtype)


def in_hu(stored):
    return np.maximum(stored.astype(np.int64) - 1024, -1024)


@pytest.mark.parametrize("dtype", ["<u1", "<i2", "<u2"])
@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
def test_lossless_syntaxes_agree(tmp_path, syntax, dtype):
    stored = stored_values(dtype)
    write_series(tmp_path / "plain", voxels=stored)
    write_series(tmp_path / "coded", voxels=stored, syntax=syntax)
    (plain,), (coded,) = read_dicom(tmp_path / "plain"), read_dicom(tmp_path / "coded")
    assert np.array_equal(coded.voxels, in_hu(stored))
    assert np.array_equal(plain.voxels, coded.voxels)
    assert plain.source.sha256 == coded.source.sha256
    assert plain.grid == coded.grid


@pytest.mark.parametrize("process", ["JPEGLosslessProcess14", "JPEGLosslessProcess14_1"])
def test_jpeg_lossless(tmp_path, process):
    gdcm = pytest.importorskip("gdcm")
    stored = stored_values("<u2")
    for path in write_series(tmp_path / "s", voxels=stored):
        reader = gdcm.ImageReader()
        reader.SetFileName(str(path))
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, process)))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFileName(str(path))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
    (scan,) = read_dicom(tmp_path)
    assert np.array_equal(scan.voxels, in_hu(stored))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless], ids=lambda syntax: syntax.name)
def test_multi_frame_syntaxes_agree(tmp_path, syntax):
    stored = stored_values("<i2")
    (scan,) = read_dicom(write_enhanced(tmp_path / "e.dcm", voxels=stored, grid=oblique_grid(SHAPE), syntax=syntax))
    assert np.array_equal(scan.voxels, in_hu(stored))


def test_size_limits_hold_before_anything_is_allocated(tmp_path, monkeypatch):
    write_series(tmp_path / "s", voxels=stored_values("<i2"))
    assert len(read_dicom(tmp_path)) == 1
    monkeypatch.setattr(dicom_pixels, "MAX_VOXELS", int(np.prod(SHAPE)) - 1)
    with pytest.raises(ScanError, match="volume is too large: .*got 5x40x48 .*Check that this is a scan"):
        read_dicom(tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(dicom_pixels, "MAX_SIDE", 47)
    with pytest.raises(ScanError, match="volume is too large: expected at most 47 rows and columns"):
        read_dicom(tmp_path)
