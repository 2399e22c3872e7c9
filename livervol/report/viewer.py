"""An interactive viewer inside the page: niivue, from the installed package ipyniivue, with the visit's voxels.

Nothing is loaded from outside: program and voxels are embedded, which makes the page large, so it is off by default.
"""

from __future__ import annotations

import base64
import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from markupsafe import Markup, escape

from livervol.errors import LivervolError, refusal
from livervol.io.nifti import write_nifti_labels, write_nifti_scan
from livervol.report.figures import Box, box_of, display_window
from livervol.report.solids import SEGMENT_COLORS
from livervol.report.words import Words
from livervol.scan import Scan, Segmentation

__all__ = ["viewer_of"]

_MARGIN_MM = 20.0
#: Planes and rows are thinned until a volume has no more voxels than this.
_MOST_VOXELS = 12_000_000
#: Overlays from the bottom up, with their opacity.
_OVERLAYS = {"segments": 0.25, "lesions": 0.45, "viable": 0.6}
_LABEL_COLORS = {"lesions": (240, 228, 66), "viable": (255, 122, 26)}
#: The viewer's class has no name of its own in the bundle: it is the one that is attached to a canvas.
_INSTANCE = re.compile(r"([\w$]+)\.attachToCanvas\([\w$]+,\1\.opts\.isAntiAlias\)")
_EXPORT = re.compile(r"export\s*\{[^{}]*\};?\s*\Z")

_START = """
const $bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0)).buffer;
const $canvas = document.getElementById("viewer-canvas");
const $view = new Viewer({backColor: [0, 0, 0, 1], dragAndDropEnabled: false, isRadiologicalConvention: true,
  multiplanarShowRender: 1, show3Dcrosshair: true});
await $view.attachToCanvas($canvas);
for (const one of JSON.parse(document.getElementById("viewer-data").textContent)) {
  await $view.loadFromArrayBuffer($bytes(one.nifti), one.name + ".nii.gz");
  const volume = $view.volumes[$view.volumes.length - 1];
  if (one.colors) { volume.setColormapLabel(one.colors); $view.setOpacity($view.volumes.length - 1, one.opacity); }
  else { volume.cal_min = one.window[0]; volume.cal_max = one.window[1]; }
}
$view.setSliceType($view.sliceTypeMultiplanar);
$view.updateGLVolume();
$canvas.dataset.volumes = $view.volumes.length;
"""


def viewer_of(
    masks: Mapping[str, Segmentation], scan: Scan | None, words: Words, *, margin_mm: float = _MARGIN_MM
) -> Markup:
    """A section with the viewer, the scan around the liver and the masks over it.

    Raises ``LivervolError`` where ipyniivue is not installed or its bundle is not the known one.
    """
    box = box_of(masks["liver"], margin_mm)
    data: list[dict[str, object]] = []
    if scan is not None:
        data.append({"name": "scan", "nifti": _encoded(scan, box), "window": display_window(scan)})
    for name, opacity in _OVERLAYS.items():
        if name in masks:
            colors = _colors(masks[name], name)
            data.append({"name": name, "nifti": _encoded(masks[name], box), "opacity": opacity, "colors": colors})
    # "<" would let a script end early
    listed = json.dumps(data).replace("<", "\\u003c")
    return Markup(
        f'<section class="viewer" aria-labelledby="viewer"><h2 id="viewer">{escape(words("viewer.title"))}</h2>'
        f"<p>{escape(words('viewer.note'))}</p>"
        '<div style="height:520px;background:#000">'
        f'<canvas id="viewer-canvas" role="img" aria-label="{escape(words("viewer.alt"))}"></canvas></div>'
        f'<script type="application/json" id="viewer-data">{listed}</script>'
        f'<script type="module">{_program()}{_START}</script></section>'
    )


def _program() -> str:
    """The viewer's own program, its class named ``Viewer``, nothing exported."""
    found = find_spec("ipyniivue")
    path = Path(found.origin).parent / "static" / "widget.js" if found is not None and found.origin else None
    text = path.read_text(encoding="utf-8") if path is not None and path.is_file() else ""
    instance, end = _INSTANCE.search(text), _EXPORT.search(text)
    made = re.search(re.escape(instance[1]) + r"=new ([\w$]+)\(", text) if instance is not None else None
    if made is None or end is None:
        raise LivervolError(
            refusal(
                "viewer's program not found",
                expected="ipyniivue 2.4",
                got="another version" if text else "none",
                do='Install it with: pip install "livervol[viewer]", or leave out --viewer.',
            )
        )
    text = text[: end.start()] + f"\nconst Viewer = {made[1]};"
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _encoded(volume: Scan | Segmentation, box: Box) -> str:
    """The voxels in a box as gzipped NIfTI, thinned where they are too many, in base64."""
    counts = [high - low + 1 for low, high in box]
    step = 1
    while counts[0] * counts[1] * counts[2] / step**2 > _MOST_VOXELS:
        step += 1
    cut = tuple(slice(low, high + 1, 1 if axis == 0 else step) for axis, (low, high) in enumerate(box))
    matrix = volume.grid.matrix.copy()
    matrix[:3, 3] = volume.grid.index_to_lps([low for low, _ in box])
    matrix[:3, 1:3] *= step
    voxels = (volume.voxels if isinstance(volume, Scan) else volume.labels)[cut]
    grid = replace(volume.grid, shape_zyx=voxels.shape, affine=tuple(map(tuple, matrix.tolist())))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "volume.nii.gz"
        if isinstance(volume, Scan):
            write_nifti_scan(path, replace(volume, voxels=voxels.copy(), grid=grid), grid)
        else:
            write_nifti_labels(path, replace(volume, labels=voxels.copy(), grid=grid), grid)
        return base64.b64encode(path.read_bytes()).decode("ascii")


def _colors(mask: Segmentation, name: str) -> dict[str, Sequence[object]]:
    """The label colours as the viewer wants them: one entry per value, 0 being clear."""
    values = [0, *sorted(mask.names)]
    shown = []
    for value in values[1:]:
        color = SEGMENT_COLORS.get(value, "#999999")
        shown.append(_LABEL_COLORS.get(name) or tuple(int(color[i : i + 2], 16) for i in (1, 3, 5)))
    red, green, blue = ([0, *(color[i] for color in shown)] for i in range(3))
    return {
        "R": red, "G": green, "B": blue, "A": [0] + [255] * len(shown), "I": values,
        "labels": ["", *(f"{name} {value}" for value in values[1:])],
    }  # fmt: skip
