from __future__ import annotations

import numpy as np
import pytest

from interop_factory import made
from livervol.errors import LivervolError
from livervol.io.dicom_seg import write_dicom_seg
from livervol.io.rtstruct import write_rtstruct
from livervol.workflows.visit_state import GivenMasks


def test_masks_of_one_dicom_object_are_taken_by_structure(tmp_path):
    visit = made(tmp_path / "scan")
    seg = write_dicom_seg(tmp_path / "seg.dcm", visit.masks, visit.source)
    contours = write_rtstruct(tmp_path / "rt.dcm", visit.masks, visit.source)
    for path in (seg, contours):
        found = GivenMasks(path, path, path, path, path).read([visit.scan])
        assert found.keys() == visit.masks.keys()
        for name, mask in found.items():
            assert mask.grid == visit.scan.grid
            assert np.array_equal(mask.labels, visit.masks[name].labels)
            assert mask.made_by == "given"
    # a segmentation knows its place alone, contours do not
    assert GivenMasks(liver=seg).read()["liver"].labels.sum() == visit.masks["liver"].labels.sum()
    with pytest.raises(LivervolError, match=r"contours have no voxels of their own"):
        GivenMasks(liver=contours).read()
