"""Pages of the site that are made when it is built: the Python reference, the models' cards, changelog and conventions.

A hook of MkDocs. Links that lead out of ``docs/`` to one of those files are bent to its page, so that the same link
works on the site and in a checkout.
"""

from __future__ import annotations

import ast
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "livervol"

#: Not in the Python reference: inner loops, and verbs, which have a reference of their own.
INNER = ("kernels", "cli")

#: What a room is for, in the order of the reference.
ROOMS = {
    "basics": "Places, voxels, numbers, errors and files: what every other room speaks of.",
    "io": "Reading and writing: DICOM, NIfTI, NRRD, MetaImage, SEG, SR, RTSTRUCT, tables, SDTM, archives.",
    "align": "Phases onto one grid, visits onto each other.",
    "segment": "From a scan to masks: phases, liver, vessels, lesions, viable tissue, Couinaud segments.",
    "edit": "What a reader does to masks, and the journal that keeps every change.",
    "measure": "From masks to numbers: volumes, remnants, diameters, intervals, vessels.",
    "response": "From numbers to responses. Needs nothing but Python itself.",
    "endpoints": "Cohorts: best responses, survival, conversion, agreement.",
    "report": "Pages and figures.",
    "workflows": "Whole jobs: a visit, a course, a cohort, a plan, a reading.",
    "batch": "Many visits.",
    "ledger": "The study's file.",
}


def public_modules() -> dict[str, list[str]]:
    """Dotted names of the modules that name what is public, by room."""
    rooms: dict[str, list[str]] = {room: [] for room in ROOMS}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        room = parts[0] if len(parts) > 1 else "basics"
        if room in INNER or not _names(path):
            continue
        dotted = ".".join(("livervol", *(part for part in parts if part != "__init__")))
        rooms[room].append(dotted)
    return rooms


def _names(path: Path) -> list[str]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else None
        if isinstance(target, ast.Name) and target.id == "__all__":
            return [str(name) for name in ast.literal_eval(node.value)]
    return []


def generated_pages() -> dict[str, str]:
    """Markdown of every generated page by its place in the site."""
    pages = {}
    for room, modules in public_modules().items():
        title = "Basics" if room == "basics" else f"livervol.{room}"
        directives = "\n\n".join(f"::: {module}" for module in modules)
        pages[f"reference/python/{room}.md"] = f"# {title}\n\n{ROOMS[room]}\n\n{directives}\n"
    for source, place in outside().items():
        pages[place] = (ROOT / source).read_text(encoding="utf-8")
    return pages


def outside() -> dict[str, str]:
    """Files beside ``docs/`` that have a page of their own: path from the root, place in the site."""
    found = {f"models/{p.parent.name}/card.md": f"models/{p.parent.name}.md" for p in ROOT.glob("models/*/card.md")}
    return dict(sorted(found.items())) | {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}


def on_config(config: Any) -> Any:
    """Add the generated pages to the navigation, and the page of measured speeds where it has been made."""
    places = outside()
    reference = next(section["Reference"] for section in config.nav if "Reference" in section)
    reference.append({"Python by room": [f"reference/python/{room}.md" for room in ROOMS]})
    cards = [place for place in places.values() if place.startswith("models/")]
    if (ROOT / "docs" / "performance.md").is_file():
        config.nav.append({"Performance": "performance.md"})
    config.nav.append({"Models": cards})
    config.nav.append({"Project": ["contributing.md", "changelog.md"]})
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages to the site."""
    for place, text in generated_pages().items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Bend links that lead out of ``docs/`` to the generated page of their file."""
    here = posixpath.dirname(page.file.src_uri)
    places = outside()

    def bent(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join("docs", here, match.group(1)))
        place = places.get(target)
        return f"]({posixpath.relpath(place, here or '.')})" if place else match.group(0)

    return re.sub(r"\]\((\.\./[^)#\s]+)\)", bent, markdown)
