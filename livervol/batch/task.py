"""One visit as one task: its name is the hash of all that goes into it, its result one folder, whole or absent."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

from livervol import __version__
from livervol.batch.memory import peak_mb, reset_peak
from livervol.batch.visits import VisitRow, files_of, signature_of
from livervol.errors import LivervolError, ScanError, refusal
from livervol.files import sha256_of, write_text
from livervol.ledger.audit import folder_sha256

__all__ = [
    "RESULTS",
    "TASK_FILE",
    "Outcome",
    "TaskSettings",
    "VisitTask",
    "discard",
    "key_of",
    "lost",
    "model_hashes",
    "perform",
    "program_of",
    "result_folder",
    "visit_files",
]

RESULTS = "results"
#: Beside a result's own files: what it was made from. Nothing in it changes from run to run.
TASK_FILE = "task.json"

#: Rooms of the program that a visit's result does not pass through.
_NOT_USED = ("batch", "cli", "edit", "endpoints", "ledger", "response")

#: The disk or the machine says no; nothing is wrong with the visit.
_ENVIRONMENT = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EIO,
    errno.EFBIG,
    errno.EMFILE,
    errno.ENFILE,
    errno.ESTALE,
)

#: Kinds of failure that say nothing about the visit; it is tried again by the next run, its later visits wait for it.
TRANSIENT = ("disk", "memory", "lost")


@dataclass(frozen=True)
class TaskSettings:
    """What a user decides about every visit of a batch; part of each task's name."""

    accept_early_arterial: bool = False
    resections: tuple[str, ...] = ()
    language: str = "en"


@dataclass(frozen=True)
class VisitTask:
    """Everything a worker needs; ``earlier`` are the keys of the patient's results before it, ``working`` scratch."""

    row: VisitRow
    root: Path
    out: Path
    working: Path
    settings: TaskSettings
    program: str
    models: Mapping[str, str]
    earlier: tuple[str, ...] = ()
    threads: int = 1


@dataclass(frozen=True)
class Outcome:
    """How a task ended: ``kind`` is empty when it is done, else refused, defect, disk, memory or lost."""

    key: str = ""
    kind: str = ""
    sentence: str = ""
    date: str = ""
    signature: str = ""
    inputs_sha256: str = ""
    result_sha256: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    found: bool = False
    seconds: float = 0.0
    peak_mb: float = 0.0

    @property
    def transient(self) -> bool:
        """Whether the failure says nothing about the visit itself."""
        return self.kind in TRANSIENT


def lost(row: VisitRow, attempts: int) -> Outcome:
    """The outcome of a visit whose worker died each time."""
    sentence = refusal(
        "worker died at this visit",
        expected="a result",
        got=f"{attempts} dead workers",
        where=row.place,
        do="Look for the system's out-of-memory messages; give the batch fewer workers.",
    )
    return Outcome(kind="lost", sentence=sentence)


@lru_cache(maxsize=1)
def program_of() -> str:
    """Version and sha256 of the source files a visit's result depends on."""
    package = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        relative = path.relative_to(package)
        if relative.parts[0] not in _NOT_USED:
            digest.update(f"{relative.as_posix()}\0{sha256_of(path)}\n".encode())
    return f"{__version__}+{digest.hexdigest()[:16]}"


@lru_cache(maxsize=1)
def model_hashes() -> dict[str, str]:
    """sha256 of the weights of every released model, as their cards state it."""
    from livervol.segment.model import find_models

    return {card.name: card.sha256 for card in find_models()}


def visit_files(root: Path, row: VisitRow) -> list[tuple[str, str, Path]]:
    """(role, name within the visit, path) of every file of a visit, in a fixed order."""
    roles = [(phase or "path", paths) for phase, paths in row.words]
    roles += [(f"mask {name}", (path,)) for name, path in row.masks]
    return [(role, name, path) for role, paths in roles for name, path in files_of(root, paths)]


def key_of(task: VisitTask, inputs_sha256: str) -> str:
    """The task's name: 128 bits of the hash of inputs, settings, program, models and earlier results."""
    parts = {
        "inputs": inputs_sha256,
        "date": task.row.date,
        "patient": list(task.row.size),
        "settings": [task.settings.accept_early_arterial, list(task.settings.resections), task.settings.language],
        "program": task.program,
        "models": dict(sorted(task.models.items())),
        "earlier": list(task.earlier),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def result_folder(out: Path, key: str) -> Path:
    """Where the result of that name lies."""
    return out / RESULTS / key


def is_result(folder: Path) -> bool:
    """Whether a result is there; it is put in place whole, so one file tells."""
    return (folder / TASK_FILE).is_file()


class _Noted:
    """A with block that takes the failure of the visit inside it down as an outcome, so that the batch goes on."""

    def __init__(self, place: str, folders: Sequence[Path]) -> None:
        self.place, self.kind, self.sentence = place, "", ""
        self.folders = [f"{folder}{os.sep}" for folder in folders]

    def __enter__(self) -> _Noted:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None:
            return True
        if not isinstance(error, Exception):
            return False
        cause = error if isinstance(error, OSError) else error.__cause__
        if isinstance(error, MemoryError):
            self.kind, got, rule = "memory", "too little", "memory ran out"
        elif isinstance(cause, OSError) and cause.errno in _ENVIRONMENT:
            self.kind, got, rule = "disk", cause.strerror or "an error", "disk refused"
        elif isinstance(error, LivervolError):
            self.kind, self.sentence = "refused", str(error)
            for folder in self.folders:  # where the study lies is no part of what is wrong with the visit
                self.sentence = self.sentence.replace(folder, "")
            return True
        elif isinstance(error, OSError):
            self.kind, got, rule = "refused", error.strerror or "an error", "file cannot be read"
        else:
            # its words may quote the input, so only its kind and place are told
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            at = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"
            self.kind, got, rule = "defect", f"{type(error).__name__} at {at}", "program failed on this visit"
        do = {
            "memory": "Give the batch fewer workers.",
            "disk": "Free space, then run the batch again.",
            "refused": "Check the permissions.",
            "defect": "Report it with this sentence.",
        }[self.kind]
        self.sentence = refusal(rule, expected="a result", got=got, where=self.place, do=do)
        return True


def perform(task: VisitTask) -> Outcome:
    """Run one visit, or find its result already there; every failure comes back as an outcome with its sentence."""
    started = time.monotonic()
    reset_peak()
    if task.program != program_of():
        got = f"{program_of()} on this worker"
        do = "Install the same wheel where the workers run."
        sentence = refusal("worker has another program", expected=task.program, got=got, where=task.row.place, do=do)
        return Outcome(kind="lost", sentence=sentence)
    outcome = Outcome()
    with _Noted(task.row.place, (task.root, task.working, task.out)) as noted:
        files = visit_files(task.root, task.row)
        signature, _ = signature_of(files)
        digest = _inputs_sha256(files)
        key = key_of(task, digest)
        outcome = Outcome(key=key, signature=signature, inputs_sha256=digest)
        folder = result_folder(task.out, key)
        found = is_result(folder)
        if not found:
            _make(task, key, digest, folder)
        stated = json.loads((folder / TASK_FILE).read_text(encoding="utf-8"))
        outcome = replace(
            outcome,
            date=stated["date"],
            attributes=stated["attributes"],
            result_sha256=folder_sha256(folder),
            found=found,
        )
    seconds, peak = time.monotonic() - started, peak_mb()
    return replace(outcome, kind=noted.kind, sentence=noted.sentence, seconds=seconds, peak_mb=peak)


def _inputs_sha256(files: list[tuple[str, str, Path]]) -> str:
    digest = hashlib.sha256()
    for role, name, path in files:
        digest.update(f"{role}\0{name}\0{sha256_of(path)}\n".encode())
    return digest.hexdigest()


def _make(task: VisitTask, key: str, digest: str, folder: Path) -> None:
    """Make the result in the scratch folder and put it in place by one rename."""
    task.working.mkdir(parents=True, exist_ok=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f"{key[:8]}-", dir=task.working))
    held = os.open(scratch, os.O_RDONLY)
    try:
        made = scratch / "visit"
        date, attributes = _run(task, scratch, made)
        stated = {
            "schema_version": 1,
            "key": key,
            "date": date,
            "attributes": attributes,
            "inputs_sha256": digest,
            "program": task.program,
            "models": dict(sorted(task.models.items())),
            "settings": {
                "accept_early_arterial": task.settings.accept_early_arterial,
                "resections": list(task.settings.resections),
                "language": task.settings.language,
            },
            "earlier": list(task.earlier),
        }
        write_text(made / TASK_FILE, json.dumps(stated, indent=1, ensure_ascii=False) + "\n")
        _require_same(scratch, held)
        try:
            made.rename(folder)
        except OSError:
            if not is_result(folder):  # else another worker was quicker with the same bytes
                raise
        descriptor = os.open(folder.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    finally:
        os.close(held)
        shutil.rmtree(scratch, ignore_errors=True)


def discard(folder: Path) -> None:
    """Take a scratch folder away while somebody may still be writing into it.

    It is renamed before it is emptied: nothing under the name its writer knows is ever half there, and what he makes
    under that name afterwards is not the folder he began with, which he looks at before he is done.
    """
    gone = folder.with_name(f"gone-{uuid4().hex}")
    try:
        folder.rename(gone)
    except FileNotFoundError:
        return
    shutil.rmtree(gone, ignore_errors=True)


def _require_same(scratch: Path, held: int) -> None:
    """Refuse to go on in a scratch folder that was taken away and, perhaps, made again since ``held`` was opened."""
    try:
        same = os.path.samestat(os.fstat(held), scratch.stat())
    except FileNotFoundError:
        same = False
    if not same:
        raise OSError(errno.ESTALE, "the scratch folder was taken away")


def _run(task: VisitTask, scratch: Path, made: Path) -> tuple[str, dict[str, str]]:
    """Run or measure the visit into ``made``; its date and the words the response criteria need."""
    from livervol.kernels.slabs import set_threads
    from livervol.report.pages import ReportSettings
    from livervol.workflows.plan import patient_size
    from livervol.workflows.visit import GivenMasks, VisitSettings, measure_masks, run_visit

    set_threads(task.threads)
    row = task.row
    given = GivenMasks(**{name: task.root / relative for name, relative in row.masks})
    settings = VisitSettings(
        accept_early_arterial=task.settings.accept_early_arterial,
        resections=task.settings.resections,
        patient=patient_size(*row.size) if any(row.size) else None,
        report=ReportSettings(task.settings.language),
    )
    words = _input_words(task, scratch)
    if words:
        output = run_visit(words, made, given=given, settings=settings, earlier=_earlier(task))
    else:
        output = measure_masks(given, [], made, settings=settings)
    if row.date and output.date and not output.date.startswith(row.date):
        raise ScanError(
            refusal("visit has another date than its scan", expected=row.date, got=output.date, where=row.place,
                    do="Correct the table, or leave the date empty to take the scan's.")
        )  # fmt: skip
    attributes = {
        "slice_thickness_mm": f"{output.masks['liver'].grid.spacing_mm[0]:.2f}",
        "mrecist_evaluable": "yes" if output.document["mrecist_evaluable"] else "no",
    }
    return output.date or row.date, attributes


def _input_words(task: VisitTask, scratch: Path) -> list[str | Path]:
    words: list[str | Path] = []
    for number, (phase, paths) in enumerate(task.row.words):
        path = task.root / paths[0]
        if len(paths) > 1:
            path = scratch / f"files_{number}"
            path.mkdir()
            for name, file in files_of(task.root, paths):
                (path / f"{name}.dcm").symlink_to(file)
        words.append(f"{phase}={path}" if phase else path)
    return words


def _earlier(task: VisitTask) -> list[Any]:
    """The earlier results' lesions and livers, whose numbers are kept."""
    from livervol.io.images import read_labels
    from livervol.measure.visit import VisitMeasurements
    from livervol.workflows.visit import VisitOutput

    outputs = []
    for key in task.earlier:
        folder = result_folder(task.out, key)
        if (folder / "lesions.nii.gz").is_file():
            masks = {name: read_labels(folder / f"{name}.nii.gz", made_by="earlier") for name in ("lesions", "liver")}
            outputs.append(VisitOutput(folder, {}, VisitMeasurements(()), masks, ""))
    return outputs
