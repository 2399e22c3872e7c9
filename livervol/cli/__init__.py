"""The command line: one table of verbs, each loaded only when it is called."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

from livervol import __version__
from livervol.errors import LivervolError

__all__ = ["VERBS", "Verb", "main"]


class Verb(NamedTuple):
    """A verb's module in this package, its one-line help, and the name of the typer app in that module."""

    module: str
    help: str
    app: str = "app"


#: The one table of verbs.
VERBS: dict[str, Verb] = {
    "demo": Verb("demo", "the whole job on the sample course: three visits, then the response"),
    "run": Verb("visit", "segment, measure and report one visit", "run_app"),
    "measure": Verb("visit", "measure masks that already exist", "measure_app"),
    "plan": Verb("plan", "operations that clear the tumour, ranked by the liver they leave"),
    "batch": Verb("batch", "many visits, resumed after any interruption"),
    "ledger": Verb("ledger", "history, check, export and repair of a study's ledger"),
    "respond": Verb("respond", "responses per patient, reader and visit from a table or a ledger"),
    "endpoints": Verb("endpoints", "response rates, survival and conversion of a cohort"),
    "report": Verb("report", "the report of a visit, a course or a cohort again: in Chinese, as PDF"),
    "export": Verb("export", "masks as NIfTI, .seg.nrrd, DICOM SEG or RTSTRUCT; numbers as DICOM SR; tables as SDTM"),
    "pull": Verb("pacs", "fetch one visit from an archive: DICOMweb or DIMSE", "pull_app"),
    "push": Verb("pacs", "send DICOM results to an archive", "push_app"),
    "deidentify": Verb("deidentify", "copy DICOM without what names the patient"),
    "view": Verb("view", "open a visit in napari"),
    "models": Verb("models", "released models: list, verify"),
}

EXIT_REFUSED = 2


def _overview() -> str:
    width = max((len(name) for name in VERBS), default=0)
    lines = [
        "usage: livervol VERB [OPTIONS]",
        "",
        "Liver volumetry and response measurement in hepatocellular carcinoma.",
        "",
    ]
    lines += [f"  {name:<{width}}  {verb.help}" for name, verb in VERBS.items()]
    lines += [
        "",
        "livervol VERB --help explains each; livervol --version prints the version.",
        "Not a medical device: numbers are for research and must be checked by a reader.",
    ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code (0 done, 2 input refused, 3 a batch finished with failures)."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("--help", "-h", "help"):
        print(_overview())
        return 0
    if words[0] == "--version":
        print(f"livervol {__version__}")
        return 0
    name = words[0]
    if name not in VERBS:
        print(f"unknown verb: expected one of {', '.join(VERBS)}, got {name!r}. See livervol --help.", file=sys.stderr)
        return EXIT_REFUSED
    app = getattr(import_module(f"livervol.cli.{VERBS[name].module}"), VERBS[name].app)
    try:
        code = app(args=words[1:], prog_name=f"livervol {name}", standalone_mode=True)
    except LivervolError as error:
        print(str(error), file=sys.stderr)
        return EXIT_REFUSED
    except SystemExit as leaving:
        code = leaving.code
    return code if isinstance(code, int) else 0
