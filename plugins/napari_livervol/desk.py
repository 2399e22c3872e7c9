"""A reading on a viewer: its masks as layers, its edits as steps, one undo for everything. Needs no window.

The layers show the reading's own arrays; nothing but the reading writes to them, so that napari's history never holds
an edit of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from psygnal import Signal

from livervol.edit.brush import Brush, Canvas
from livervol.edit.change import Change, Step
from livervol.errors import LivervolError
from livervol.grid import Grid
from livervol.scan import Scan
from livervol.workflows.reading import Reading, ReadingSettings
from livervol.workflows.reading_table import LesionRow
from livervol.workflows.reading_viability import JUDGED
from napari_livervol.layers import image_layer, index_of, live_layer, world_of

__all__ = ["EDITABLE", "SHOWN", "TOOLS", "Desk", "ToolBox"]

#: Masks a reader corrects, in drawing order, the liver lowest.
EDITABLE = ("liver", "segments", "vessels", "lesions", "viable")
#: Those shown from the start; the others get their layer, which takes a while, when they are first shown.
SHOWN = ("liver", "lesions", "viable")
TOOLS = ("move", "brush", "eraser", "smart", "contour", "click", "measure", "landmark", "plane", "surface")

#: Outline width of a mask in voxels: the tissue at the edge must be seen.
_OUTLINE = 1


@dataclass
class ToolBox:
    """What the reader has in hand: ``tool``, the ``mask`` and ``value`` it writes, and the brush."""

    tool: str = "move"
    mask: str = "liver"
    value: int = 1
    radius_mm: float = 8.0
    ball: bool = False
    limits: tuple[float, float] | None = None

    def brush(self, axis: int) -> Brush:
        """The brush for a stroke in the plane whose normal is ``axis``."""
        return Brush(self.radius_mm, None if self.ball else axis, self.limits, snap=self.tool == "smart")


class Desk:
    """One reading beside one viewer.

    ``changed`` tells which masks and decisions a step, undo or redo touched; ``refused`` a sentence for the reader;
    ``said`` what was done; ``taken`` that another tool, mask or number was taken up.
    """

    changed = Signal(tuple)
    refused = Signal(str)
    said = Signal(str)
    taken = Signal()

    def __init__(
        self,
        viewer: Any,
        reading: Reading,
        earlier: Sequence[Path] = (),
        opened_with: ReadingSettings | None = None,
    ) -> None:
        self.viewer, self.reading = viewer, reading
        #: The folders of the course's earlier visits, and how the reading was opened.
        self.earlier, self.opened_with = tuple(earlier), opened_with
        self.tools = ToolBox()
        #: What runs and reads the masks meanwhile; edits wait for it. Empty when they need not.
        self.paused = ""
        self.closed = False
        self.layers: dict[str, Any] = {}
        self.images: dict[str, Any] = {}
        self.show_phase(self.reference)
        for name in [n for n in SHOWN if n in reading.masks]:
            self._make(name)
        viewer.layers.selection.active = self.layers.get("liver")
        viewer.scene.camera.events.mouse_pan.connect(self._hold_still)
        self.go_to(self.middle_lps(), centre=False)

    @property
    def reference(self) -> str:
        """The phase the masks were drawn on, else the first there is; empty without a scan."""
        named = str(self.reading.files.document.get("provenance", {}).get("reference_phase", ""))
        return named if named in self.reading.phases else next(iter(self.reading.phases), "")

    def show_phase(self, phase: str, scan: Scan | None = None) -> Any:
        """Show a phase (hiding the others); its layer is made when first asked for. None for an unknown phase."""
        if phase not in self.reading.phases:
            return None
        if phase not in self.images:
            data, options, _ = image_layer(scan or self.reading.scan(phase), phase.replace("_", " "))
            options["metadata"]["livervol_phase"] = phase
            layer = self.viewer.add_image(data, **options)
            self.viewer.layers.move(self.viewer.layers.index(layer), len(self.images))
            self.images[phase] = layer
            self.viewer.layers.selection.active = self.layers.get(self.tools.mask, layer)
        for name, layer in self.images.items():
            layer.visible = name == phase
        return self.images[phase]

    def phase(self) -> str:
        """The phase that is shown; empty without one."""
        shown = [name for name, layer in self.images.items() if layer.visible]
        return shown[-1] if shown else self.reference

    def next_phase(self) -> None:
        """Show the next phase, round and round."""
        names = self.reading.phases
        if names:
            self.show_phase(names[(names.index(self.phase()) + 1) % len(names)])

    def middle_lps(self) -> NDArray[np.float64]:
        """The middle of the largest lesion, else of the grid."""
        table = self.reading.numbers().table
        if table:
            largest = max(table, key=lambda row: row.volume_ml or 0.0)
            return self.place_of(largest)
        return self.grid.index_to_lps([(n - 1) / 2 for n in self.grid.shape_zyx])

    @property
    def grid(self) -> Grid:
        """Where the reading's masks lie."""
        return self.reading.grid

    def show_mask(self, name: str, shown: bool = True) -> None:
        """Show or hide a mask; its layer is made when it is first shown."""
        if name not in self.reading.masks or name not in EDITABLE:
            return
        if name in self.layers:
            self.layers[name].visible = shown
        elif shown:
            active = self.viewer.layers.selection.active
            self._make(name)
            self.viewer.layers.selection.active = active

    def _make(self, name: str) -> None:
        layers = self.viewer.layers
        for layer in [a for a in layers if a.name == name and "livervol_modality" not in a.metadata]:
            layers.remove(layer)
        data, options, _ = live_layer(self.reading.masks[name], self.grid, name)
        layer = self.viewer.add_labels(data, opacity=0.9, **options)
        layer.contour = _OUTLINE
        layer.editable = False
        self.layers[name] = layer
        above = [self.layers[n] for n in EDITABLE[EDITABLE.index(name) + 1 :] if n in self.layers]
        if above:
            layers.move(layers.index(layer), min(map(layers.index, above)))

    def close(self) -> None:
        """Let go of the viewer."""
        self.closed = True
        self.viewer.scene.camera.events.mouse_pan.disconnect(self._hold_still)
        self.viewer.scene.camera.mouse_pan = True

    # ------------------------------------------------------------------------------------------------ what lies there

    def axis(self) -> int:
        """The axis that is not shown: 0 axial, 1 coronal, 2 sagittal."""
        hidden = self.viewer.dims.not_displayed
        return int(hidden[0]) if len(hidden) == 1 else 0

    def index_at(self, world: ArrayLike) -> NDArray[np.float64]:
        """Fractional (z, y, x) index of a shown point."""
        return index_of(self.grid, world)

    def plane_index(self) -> int:
        """The reading's slice that is shown."""
        at = index_of(self.grid, np.asarray(self.viewer.dims.point, dtype=float))
        return int(np.clip(np.rint(at[self.axis()]), 0, self.grid.shape_zyx[self.axis()] - 1))

    def go_to(self, point_lps_mm: ArrayLike, *, centre: bool = True) -> None:
        """Show a place of the patient, in the middle of the window unless ``centre`` is false."""
        place = world_of(self.grid, point_lps_mm)
        self.viewer.dims.point = tuple(place)
        if centre:
            self.viewer.scene.camera.center = tuple(place)

    def place_of(self, row: LesionRow) -> NDArray[np.float64]:
        """Where a lesion is looked at, LPS mm: where its viable diameter lies, else the longest, else its middle."""
        line = row.line("viable_longest_mm") or row.line("longest_mm")
        if line is None:
            return self.grid.index_to_lps(row.centre_zyx)
        middle: NDArray[np.float64] = (np.array(line.start_lps_mm) + np.array(line.end_lps_mm)) / 2
        return middle

    def canvas(self, mask: str | None = None) -> Canvas:
        """What a tool draws on now, with the shown phase under it."""
        name = mask or self.tools.mask
        number = self.tools.value if name in ("viable", "uncertain") else None
        return self.reading.canvas(name, phase=self.phase(), number=number)

    # ------------------------------------------------------------------------------------------------------- editing

    def take(self, tool: str | None = None, mask: str | None = None, value: int | None = None) -> None:
        """Take up another tool, mask or number."""
        if tool is not None:
            self.tools.tool = tool
        if mask is not None and mask != self.tools.mask:
            self.tools.mask, self.tools.value = mask, 1
            self.show_mask(mask)
            if mask in self.layers:
                self.viewer.layers.selection.active = self.layers[mask]
        if value is not None:
            self.tools.value = value
        self._hold_still()
        self.taken.emit()

    def _hold_still(self, event: Any = None) -> None:
        """The left button moves the image only while no tool is chosen, whatever layer is."""
        camera, moves = self.viewer.scene.camera, self.tools.tool == "move"
        if camera.mouse_pan != moves:
            camera.mouse_pan = moves

    def try_to(self, work: Callable[[], Any]) -> Any:
        """Do something the reading may refuse; the refusal becomes a sentence, nothing else changes."""
        try:
            return work()
        except LivervolError as error:
            self.refused.emit(str(error))
            return None

    def do(self, work: Callable[[], Any]) -> Any:
        """Do what edits the reading and may be refused; shows what it touched. None when it was refused or idle."""
        if self.paused:
            self.refused.emit(f"Wait a moment: {self.paused} is running.")
            return None
        before = self.reading.version
        result = self.try_to(work)
        if self.reading.version == before:
            return None
        self.show_since(before)
        return result if result is not None else True

    def show_since(self, version: int) -> None:
        """Show what was edited after a journal record, by whatever did it."""
        steps = [record.step for record in self.reading.records[version + 1 :]]
        if self.reading.version < version or not steps:
            return
        self._after(steps)

    def apply(self, edit: Change | Step) -> bool:
        """Make and record one gesture; False when nothing changes or it is refused."""
        return self.do(lambda: self.reading.apply(edit)) is not None

    def undo(self) -> bool:
        """Take back the last gesture, whatever it touched."""
        return self._walk("undo", self.reading.undo)

    def redo(self) -> bool:
        """Do the last gesture taken back again."""
        return self._walk("redo", self.reading.redo)

    def _walk(self, word: str, walk: Callable[[], Step | None]) -> bool:
        can = self.reading.can_undo if word == "undo" else self.reading.can_redo
        if not can:
            self.said.emit(f"nothing to {word}")
            return False
        step = self.do(walk)
        if step is None:
            return False
        # a lesion and its computed viability are one gesture
        other = self.reading.next_undo if word == "undo" else self.reading.next_redo
        click, judged = (other, step) if word == "undo" else (step, other)
        if click is not None and judged is not None and judged.tool == JUDGED and _adds_lesion(click):
            step = self.do(walk) or step
        self.said.emit(f"{word}: {step.tool}")
        return True

    def _after(self, steps: Sequence[Step]) -> None:
        for name in [n for n in self.layers if n not in self.reading.masks]:
            self.viewer.layers.remove(self.layers.pop(name))
        masks = [change.mask for step in steps for change in step.changes]
        keys = [setting.key for step in steps for setting in step.settings]
        touched = tuple(dict.fromkeys(masks + keys))
        for name in touched:
            if name in self.reading.masks and name in SHOWN and name not in self.layers:
                self._make(name)
            if name in self.layers:
                self.layers[name].refresh(extent=False, thumbnail=False)
        self.changed.emit(touched)


def _adds_lesion(step: Step) -> bool:
    return any(one.key.endswith(".viability") and one.after == "waiting" for one in step.settings)
