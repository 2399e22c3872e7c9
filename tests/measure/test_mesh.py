from __future__ import annotations

import numpy as np
import pytest

from conftest import oblique_grid
from livervol.errors import LivervolError, ScanError
from livervol.io.mesh import write_mesh
from livervol.measure.mesh import Mesh, surface_of
from livervol.scan import Segmentation

GRID = oblique_grid((40, 60, 70), (2.5, 1.1, 0.9))
CENTRE = GRID.index_to_lps((20, 30, 35))


def ellipsoid(radii=(26.0, 21.0, 17.0), value=3):
    """Half axes in mm along LPS x, y, z, whatever the grid's own axes."""
    index = np.stack(np.meshgrid(*map(np.arange, GRID.shape_zyx), indexing="ij"), axis=-1)
    away = GRID.index_to_lps(index.reshape(-1, 3)) - CENTRE
    inside = ((away / np.array(radii)) ** 2).sum(axis=1) <= 1
    labels = np.where(inside.reshape(GRID.shape_zyx), value, 0).astype(np.uint8)
    return Segmentation(labels, GRID, {value: "body"})


@pytest.mark.parametrize("spacing_mm", [None, 3.0])
def test_surface_lies_on_the_ellipsoid(spacing_mm):
    radii = np.array([26.0, 21.0, 17.0])
    mesh = surface_of(ellipsoid(), 3, spacing_mm=spacing_mm)
    away = mesh.vertices_lps_mm - CENTRE
    scaled = np.linalg.norm(away / radii, axis=1)
    # half a voxel's diagonal on the shortest half axis, and the smoothing's inward pull of s^2/r
    step = max(GRID.spacing_mm) if spacing_mm is None else 3.0
    assert abs(scaled - 1).max() < (0.5 * np.sqrt(3) * step + 0.1) / radii.min()
    assert mesh.volume_ml == pytest.approx(
        4 / 3 * np.pi * radii.prod() / 1000, rel=0.02 if spacing_mm is None else 0.05
    )


def test_surface_is_closed_and_looks_outwards():
    mesh = surface_of(ellipsoid(), 3)
    edges = np.sort(mesh.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    _, counts = np.unique(edges, axis=0, return_counts=True)
    assert set(counts.tolist()) == {2}
    corners = mesh.vertices_lps_mm[mesh.triangles].astype(np.float64)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert ((normals * (corners.mean(axis=1) - CENTRE)).sum(axis=1) > 0).mean() > 0.99


def test_a_structure_at_the_border_is_closed_there():
    labels = np.zeros(GRID.shape_zyx, np.uint8)
    labels[:10, :20, :20] = 1
    mesh = surface_of(Segmentation(labels, GRID, {1: "corner"}), 1)
    assert mesh.volume_ml == pytest.approx(10 * 20 * 20 * GRID.voxel_ml, rel=0.02)


def test_absent_and_tiny_structures_are_refused():
    with pytest.raises(ScanError, match="value 2"):
        surface_of(ellipsoid(), 2)
    labels = np.zeros(GRID.shape_zyx, np.uint8)
    labels[5, 5, 5] = 1
    with pytest.raises(ScanError, match="too small"):
        surface_of(Segmentation(labels, GRID, {1: "speck"}), 1)


def read_ply(path):
    head, _, body = path.read_bytes().partition(b"end_header\n")
    lines = head.decode("ascii").splitlines()
    points, faces = (int(line.split()[2]) for line in lines if line.startswith("element"))
    vertices = np.frombuffer(body, "<f4", 3 * points).reshape(-1, 3)
    rows = np.frombuffer(body, np.dtype([("n", "u1"), ("c", "<i4", 3)]), faces, offset=12 * points)
    assert 12 * points + 13 * faces == len(body)
    return lines, vertices, rows["c"]


def test_files_hold_the_surface(tmp_path):
    mesh = surface_of(ellipsoid(), 3)
    paths = [
        write_mesh(tmp_path / f"body.{ending}", mesh.vertices_lps_mm, mesh.triangles, name="segment 3")
        for ending in ("stl", "ply", "vtk")
    ]
    stl = paths[0].read_bytes()
    assert stl.startswith(b"livervol SPACE=LPS segment 3")
    assert int(np.frombuffer(stl, "<u4", 1, 80)[0]) == len(mesh.triangles)
    rows = np.frombuffer(stl, np.dtype([("n", "<f4", 3), ("c", "<f4", (3, 3)), ("a", "<u2")]), offset=84)
    np.testing.assert_array_equal(rows["c"], mesh.vertices_lps_mm[mesh.triangles])
    assert np.allclose(np.linalg.norm(rows["n"], axis=1), 1, atol=1e-4)
    lines, vertices, faces = read_ply(paths[1])
    assert "comment livervol SPACE=LPS segment 3" in lines
    np.testing.assert_array_equal(vertices, mesh.vertices_lps_mm)
    np.testing.assert_array_equal(faces, mesh.triangles)
    vtk = paths[2].read_bytes()
    start = vtk.index(b" float\n") + len(b" float\n")
    points = np.frombuffer(vtk, ">f4", 3 * len(mesh.vertices_lps_mm), start)
    np.testing.assert_array_equal(points.reshape(-1, 3), mesh.vertices_lps_mm)
    assert f"POLYGONS {len(mesh.triangles)} {4 * len(mesh.triangles)}\n".encode() in vtk


def test_wrong_endings_corners_and_existing_files_are_refused(tmp_path):
    mesh = Mesh(np.zeros((3, 3), np.float32), np.array([[0, 1, 2]], np.int32))
    with pytest.raises(LivervolError, match="surface format"):
        write_mesh(tmp_path / "body.obj", mesh.vertices_lps_mm, mesh.triangles)
    with pytest.raises(LivervolError, match="surface corners"):
        write_mesh(tmp_path / "body.stl", mesh.vertices_lps_mm, mesh.triangles + 1)
    write_mesh(tmp_path / "body.stl", mesh.vertices_lps_mm, mesh.triangles)
    with pytest.raises(LivervolError):
        write_mesh(tmp_path / "body.stl", mesh.vertices_lps_mm, mesh.triangles)
