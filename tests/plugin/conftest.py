"""napari for the plugin's tests: imported once, its own warnings set aside; absent, a reason to skip, in CI to fail."""

from __future__ import annotations

import os
import warnings

import pytest

#: Set by the checks every change must pass.
_CI = os.environ.get("LIVERVOL_CI", "") not in ("", "0")

# napari must not read or write the settings of whoever runs the tests
os.environ.setdefault("NAPARI_CONFIG", "")

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import napari.components
        import napari.layers
        import napari.utils.colormaps
except ImportError:
    NAPARI = False
else:
    NAPARI = True


@pytest.fixture(scope="session")
def napari_there() -> None:
    """Skips without napari; in CI that is a failure."""
    if NAPARI:
        return
    reason = 'napari is not installed (pip install "livervol[napari]")'
    if _CI:
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def viewer_model(napari_there):
    """A viewer without a window: no Qt, no GL."""
    return napari.components.ViewerModel()
