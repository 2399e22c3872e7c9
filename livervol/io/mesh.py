"""Triangle surfaces as STL, PLY or legacy VTK files; coordinates are LPS mm, and the files say so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from livervol.errors import LivervolError, refusal
from livervol.files import atomic_file

__all__ = ["MESH_ENDINGS", "write_mesh"]

MESH_ENDINGS = (".stl", ".ply", ".vtk")

#: 3D Slicer reads this word from STL headers, PLY comments and VTK titles and turns the surface accordingly.
_SPACE = "SPACE=LPS"


def write_mesh(
    path: str | Path,
    vertices_lps_mm: NDArray[np.float32],
    triangles: NDArray[np.int32],
    *,
    name: str = "",
    overwrite: bool = False,
) -> Path:
    """Write a surface, its format chosen by the ending: binary STL, binary PLY or binary legacy VTK polydata.

    ``vertices_lps_mm`` (n, 3), ``triangles`` (m, 3) indices. Raises ``LivervolError`` for another ending, for indices
    outside the vertices and for an existing file without ``overwrite``.
    """
    target = Path(path)
    makers = {".stl": _stl, ".ply": _ply, ".vtk": _vtk}
    maker = makers.get(target.suffix.lower())
    if maker is None:
        raise LivervolError(
            refusal(
                "surface format", expected=", ".join(MESH_ENDINGS), got=target.suffix or "no ending", where=str(path)
            )
        )
    points = np.ascontiguousarray(vertices_lps_mm, dtype="<f4")
    corners = np.ascontiguousarray(triangles, dtype="<i4")
    if len(corners) and (corners.min() < 0 or corners.max() >= len(points)):
        raise LivervolError(refusal("surface corners", expected=f"0 to {len(points) - 1}", got=str(corners.max())))
    title = " ".join(f"livervol {_SPACE} {name}".split())
    with atomic_file(target, overwrite=overwrite) as temporary:
        temporary.write_bytes(maker(points, corners, title.encode("ascii", "replace").decode("ascii")))
    return target


def _stl(points: NDArray[np.float32], corners: NDArray[np.int32], title: str) -> bytes:
    rows = np.zeros(len(corners), dtype=[("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    places = points[corners]
    normals = np.cross(places[:, 1] - places[:, 0], places[:, 2] - places[:, 0])
    sizes = np.linalg.norm(normals, axis=1, keepdims=True)
    rows["normal"] = normals / np.where(sizes > 0, sizes, 1)
    rows["corners"] = places
    count = np.array([len(corners)], dtype="<u4")
    return b"".join([title.encode("ascii")[:80].ljust(80), count.tobytes(), rows.tobytes()])


def _ply(points: NDArray[np.float32], corners: NDArray[np.int32], title: str) -> bytes:
    head = [
        "ply",
        "format binary_little_endian 1.0",
        f"comment {title}",
        f"element vertex {len(points)}",
        "property float x",
        "property float y",
        "property float z",
        f"element face {len(corners)}",
        "property list uchar int vertex_indices",
        "end_header",
    ]
    faces = np.zeros(len(corners), dtype=[("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, corners
    return ("\n".join(head) + "\n").encode("ascii") + points.tobytes() + faces.tobytes()


def _vtk(points: NDArray[np.float32], corners: NDArray[np.int32], title: str) -> bytes:
    # legacy binary VTK is big-endian; its title line holds at most 255 characters
    head = f"# vtk DataFile Version 3.0\n{title[:255]}\nBINARY\nDATASET POLYDATA\nPOINTS {len(points)} float\n"
    faces = np.column_stack([np.full(len(corners), 3, np.int32), corners])
    middle = f"\nPOLYGONS {len(corners)} {4 * len(corners)}\n"
    return (
        head.encode("ascii") + points.astype(">f4").tobytes() + middle.encode("ascii") + faces.astype(">i4").tobytes()
    )
