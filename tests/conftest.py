"""Shared fixtures: the awkward grid (unequal sides, unequal spacing, oblique) and the folder of real scans."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from livervol.grid import Grid

settings.register_profile("livervol", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("livervol")


def rotation(degrees_zyx: tuple[float, float, float]) -> np.ndarray:
    """Rotation matrix about LPS x, then y, then z."""
    rx, ry, rz = np.radians(degrees_zyx[::-1])
    about_x = np.array([[1, 0, 0], [0, np.cos(rx), -np.sin(rx)], [0, np.sin(rx), np.cos(rx)]])
    about_y = np.array([[np.cos(ry), 0, np.sin(ry)], [0, 1, 0], [-np.sin(ry), 0, np.cos(ry)]])
    about_z = np.array([[np.cos(rz), -np.sin(rz), 0], [np.sin(rz), np.cos(rz), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def oblique_grid(
    shape_zyx: tuple[int, int, int] = (7, 8, 9),
    spacing_mm: tuple[float, float, float] = (2.5, 0.8, 0.7),
    degrees_zyx: tuple[float, float, float] = (7.0, -11.0, 13.0),
) -> Grid:
    """Unequal sides, unequal spacing, oblique axes, an origin far from zero."""
    directions = rotation(degrees_zyx) @ np.eye(3)[:, ::-1]
    return Grid.from_parts(shape_zyx, spacing_mm, (-31.5, 47.25, -812.0), directions)


@pytest.fixture(scope="session", autouse=True)
def _run_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where the processes of one test run keep what they share; pytest clears it away."""
    own = tmp_path_factory.getbasetemp()
    os.environ["LIVERVOL_TEST_RUN"] = str(own.parent if "PYTEST_XDIST_WORKER" in os.environ else own)


@pytest.fixture
def awkward_grid() -> Grid:
    return oblique_grid()


def shared_folder() -> Path | None:
    """The folder of real scans and reference values, or None."""
    folder = Path(os.environ.get("LIVERVOL_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    return folder if (folder / "scans").is_dir() else None


@pytest.fixture(scope="session")
def shared() -> Path:
    """Skips, with the reason, where the real scans are absent."""
    folder = shared_folder()
    if folder is None:
        pytest.skip("real scans absent: set LIVERVOL_SHARED to the folder that holds scans/, labels/ and oracles/")
    return folder
