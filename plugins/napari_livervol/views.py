"""What is shown beside the main canvas: orthogonal planes, the phases, or the visit before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from livervol.align import Alignment, align
from livervol.io.images import read_image, read_labels
from livervol.scan import Phase, Scan, Segmentation
from napari_livervol.desk import Desk
from napari_livervol.jobs import Jobs
from napari_livervol.layers import LABEL_COLORS, image_layer, labels_layer, one_color
from napari_livervol.panes import Pane, PaneRow, PointMap, mirrored, same_place
from napari_livervol.reader import phase_paths
from napari_livervol.snapshot import snapshot

__all__ = ["Views"]


class Views:
    """Chooses the panes of one row; every choice pressed again closes the row."""

    def __init__(self, viewer: Any, row: PaneRow, jobs: Jobs) -> None:
        self.viewer, self.row, self.jobs = viewer, row, jobs
        self.desk: Desk | None = None
        self.earlier: tuple[Path, ...] = ()
        self.mode = ""
        self._aligned: dict[Path, tuple[Scan, dict[str, Segmentation], PointMap, PointMap, str]] = {}

    def _toggle(self, mode: str) -> bool:
        """True when this mode is to be shown now."""
        if self.mode == mode:
            self.close()
            return False
        self.mode = mode
        return True

    def close(self) -> None:
        """Nothing beside the main canvas."""
        self.mode = ""
        self.row.show_panes([])

    def _show(self, panes: Sequence[tuple[Pane, PointMap, PointMap]]) -> None:
        self.row.show_panes(panes)

    def _shown(self) -> list[Any]:
        wanted = [
            a for a in self.viewer.layers if a.visible and (hasattr(a, "contour") or "livervol_modality" in a.metadata)
        ]
        return [mirrored(layer) for layer in wanted]

    def orthogonal(self) -> None:
        """Coronal and sagittal planes through the same point."""
        if self._toggle("orthogonal"):
            titles = (("coronal", (1, 0, 2)), ("sagittal", (2, 0, 1)))
            self._show([(Pane(title, self._shown(), order), same_place, same_place) for title, order in titles])

    def phases(self) -> None:
        """Every other phase at the same slice and zoom."""
        desk = self.desk
        if desk is None or not self._toggle("phases"):
            return
        others = [name for name in desk.reading.phases if name != desk.phase()]
        if not others:
            desk.said.emit("this visit has one phase")
            self.mode = ""
            return

        def read(progress: Any) -> list[Scan]:
            found = []
            for name in others:
                progress(name)
                found.append(desk.reading.scan(name))
            return found

        def then(scans: list[Scan]) -> None:
            panes = []
            masks = [mirrored(layer) for layer in desk.layers.values() if layer.visible]
            for number, (name, scan) in enumerate(zip(others, scans, strict=True)):
                data, options, _ = image_layer(scan, name.replace("_", " "))
                from napari.layers import Image

                twins = masks if number == 0 else [mirrored(a) for a in desk.layers.values() if a.visible]
                pane = Pane(name.replace("_", " "), [Image(data, **options), *twins])
                panes.append((pane, same_place, same_place))
            self._show(panes)

        self.jobs.run("Reading the other phases", read, then)

    def other_visit(self) -> None:
        """The visit before, scrolled along through the alignment of the two livers."""
        desk = self.desk
        if desk is None or not self._toggle("visit"):
            return
        if not self.earlier:
            desk.said.emit("no earlier visit: this is the first, or the folder stands alone")
            self.mode = ""
            return
        folder = self.earlier[-1]
        if folder in self._aligned:
            self._show_visit(*self._aligned[folder])
            return
        paths = phase_paths(folder)
        if not paths:
            desk.said.emit("the earlier visit's folder holds no phases")
            self.mode = ""
            return
        fixed, liver = desk.reading.scan(desk.reference), snapshot(desk.reading, "liver")

        def work(progress: Any) -> Any:
            progress("reading")
            path = paths[-1]
            moving = read_image(path, phase=Phase(path.name.split(".")[0]))
            progress("aligning")
            masks = {n: read_labels(folder / f"{n}.nii.gz") for n in ("liver", "lesions", "viable")
                     if (folder / f"{n}.nii.gz").is_file()}  # fmt: skip
            found = align(moving, fixed, mask=liver, moving_liver=masks.get("liver"))
            return moving, masks, found, path.name.split(".")[0].replace("_", " ")

        def then(result: Any) -> None:
            moving, masks, found, phase = result
            there, back = _maps(found)
            self._aligned[folder] = (moving, masks, there, back, f"{folder.name}, {phase}")
            self._show_visit(*self._aligned[folder])
            desk.said.emit("; ".join([f"visits aligned: {found.method}", *found.warnings]))

        self.jobs.run("Aligning the visits", work, then)

    def _show_visit(self, scan: Scan, masks: Any, there: PointMap, back: PointMap, title: str) -> None:
        from napari.layers import Image, Labels

        data, options, _ = image_layer(scan, title)
        layers: list[Any] = [Image(data, **options)]
        for name, mask in masks.items():
            data, options, _ = labels_layer(mask, name)
            options["colormap"] = one_color(name)
            layer = Labels(data, **{**options, "opacity": 0.9})
            layer.contour = 1
            layers.append(layer)
        self._show([(Pane(title, layers), there, back)])

    def refresh(self, masks: tuple[str, ...]) -> None:
        """Draw edited masks anew."""
        for name in masks:
            if name in LABEL_COLORS or name in ("segments", "vessels"):
                self.row.refresh(name)


def _maps(found: Alignment) -> tuple[PointMap, PointMap]:
    def there(point: Any) -> Any:
        return found.map_points(point, to="moving")

    def back(point: Any) -> Any:
        return found.map_points(point, to="fixed")

    return there, back
