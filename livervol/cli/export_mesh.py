"""``livervol export mesh``: surfaces of a visit's structures for planning tools and printing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from livervol.cli.export_masks import Folder, Of, Overwrite, chosen, read_mask

__all__ = ["export_mesh"]

_USUAL = ("liver", "segments", "lesions", "vessels")


def export_mesh(
    folder: Folder,
    out: Annotated[Path, typer.Option("--out", help="Folder to make.")],
    of: Of = None,
    form: Annotated[str, typer.Option("--format", help="stl, ply or vtk.")] = "stl",
    smooth_mm: Annotated[float, typer.Option("--smooth-mm", help="Standard deviation of the smoothing, mm.")] = 0.8,
    overwrite: Overwrite = False,
) -> None:
    """One closed surface per structure, LPS mm; liver, segments, lesions and vessels unless --of."""
    from livervol.errors import LivervolError, ScanError, refusal
    from livervol.files import atomic_folder
    from livervol.io.mesh import MESH_ENDINGS, write_mesh
    from livervol.measure.mesh import surface_of

    if f".{form}" not in MESH_ENDINGS:
        raise LivervolError(refusal("surface format", expected="stl, ply or vtk", got=form))
    if not 0 <= smooth_mm <= 5:
        raise LivervolError(refusal("smoothing", expected="0 to 5 mm", got=f"{smooth_mm:g}"))
    written, small = [], []
    with atomic_folder(out, overwrite=overwrite) as temporary:
        for mask, path in chosen(folder, of, _USUAL).items():
            found = read_mask(mask, path)
            for value, name in sorted(found.names.items()):
                if not (found.labels == value).any():
                    continue
                file = f"{mask}_{value}.{form}" if mask != "liver" else f"liver.{form}"
                try:
                    mesh = surface_of(found, value, smooth_mm=smooth_mm)
                except ScanError:
                    small.append(name)
                    continue
                write_mesh(temporary / file, mesh.vertices_lps_mm, mesh.triangles, name=name)
                written.append(f"{out / file}  {name}, {mesh.volume_ml:.1f} ml")
    for line in written:
        print(line)
    for name in small:
        typer.echo(f"warning: {name} is too small for a surface and was left out", err=True)
