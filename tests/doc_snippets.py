"""The fenced blocks of the documentation, and how each kind is run in a scratch folder.

python            executed, one namespace a page
bash, console     line by line: ``livervol`` in this process, anything else by bash
title="NAME"      on a block of another language: written to that file first
title="Not run: REASON"   on a python or bash block: left out, counted; its commands must still exist
no language       commands in it must exist
"""

from __future__ import annotations

import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from unittest import mock

from demo_course import demo_course
from livervol.assets import sample_scans_folder
from livervol.cli import VERBS, main

ROOT = Path(__file__).resolve().parents[1]
NOT_RUN = "Not run: "
#: Commands that set a machine up: continuous integration does these itself, from a clean environment.
SETUP = ("git", "cd", "make", "python3", "pip", "source")
_FENCE = re.compile(r"^(?P<in> *)```(?P<lang>[\w-]*)(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=in)```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """One fenced block: page, line, language, title and text."""

    page: str
    line: int
    language: str
    title: str
    text: str

    @property
    def left_out(self) -> str:
        """Why it is not run; empty when it is."""
        return self.title.removeprefix(NOT_RUN) if self.title.startswith(NOT_RUN) else ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """README and every page of the documentation."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        title = re.search(r'title="([^"]*)"', match["info"])
        body = "".join(line.removeprefix(match["in"]) for line in match["body"].splitlines(keepends=True))
        line = text.count("\n", 0, match.start()) + 1
        name = page.relative_to(ROOT).as_posix()
        found.append(Block(name, line, match["lang"], title[1] if title else "", body))
    return found


def commands(block: Block) -> Iterator[str]:
    """The commands of a block, continued lines joined, comments and prompts taken off."""
    joined = re.sub(r"\\\n\s*", " ", block.text)
    for line in joined.splitlines():
        words = re.sub(r"(^|\s)#.*$", "", line.removeprefix("$ ")).strip()
        if words:
            yield words


@functools.cache
def help_of(*verb: str) -> str:
    """The help of a verb."""
    spoken = StringIO()
    with redirect_stdout(spoken), mock.patch.dict(os.environ, {"COLUMNS": "100", "TERM": "dumb"}):
        main([*verb, "--help"])
    return spoken.getvalue()


def unknown_words(command: str) -> list[str]:
    """Verbs and options of a livervol command that the program does not have."""
    words = command.split()[1:]
    if not words or words[0].startswith("-"):
        return []
    verb = words[0].rstrip(",")
    if verb not in VERBS:
        return [verb]
    path = [verb]
    if len(words) > 1 and re.search(rf"^  {re.escape(words[1])} ", help_of(verb).partition("Commands:")[2], re.M):
        path.append(words[1])
    options = {word.partition("=")[0] for word in words if word.startswith("--")}
    return sorted(option for option in options if not re.search(rf"{option}\b", help_of(*path)))


# -- running -----------------------------------------------------------------------------------------------------------


def prepare(page: Path, folder: Path) -> None:
    """Put what the page starts from into its scratch folder: only what it names."""
    text = page.read_text(encoding="utf-8")
    course = sample_scans_folder() / "course"
    if "my_scans" in text:
        _copied(course / "visit_1", folder / "my_scans")
    if "TREE" in text:
        _copied(course, folder / "TREE")
    if re.search(r"(?<![\w/])visit_1\b", text) or "demo_out" in text:
        _copied(demo_course().folder, folder / "demo_out")
        for number in (1, 2, 3):
            _copied(folder / "demo_out" / f"visit_{number}", folder / f"visit_{number}")
    for name in ("liver.nii.gz", "lesions.nii.gz", "viable.nii.gz"):
        if name in text:
            _copied(demo_course().folder / "visit_1" / name, folder / name)
    for phase in ("portal_venous", "late_arterial"):
        if f"{phase}.nii.gz" in text:
            _copied(demo_course().folder / "visit_1" / "phases" / f"{phase}.nii.gz", folder / f"{phase}.nii.gz")


def _copied(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copyfile(source, target)


def run(block: Block, folder: Path, names: dict[str, object]) -> str:
    """Run a block in the scratch folder and return what it printed; raises when it fails."""
    if block.language == "python":
        spoken = StringIO()
        with redirect_stdout(spoken):
            exec(compile("\n" * block.line + block.text, block.page, "exec"), names)
        return spoken.getvalue()
    if block.language in ("bash", "console"):
        return "".join(_run_command(command, folder, block) for command in commands(block))
    if block.title and not block.left_out:
        (folder / block.title).write_text(block.text, encoding="utf-8")
    return ""


def _run_command(command: str, folder: Path, block: Block) -> str:
    words = shlex.split(command)
    if words[0] in SETUP:
        return ""
    if words[0] == "livervol" and not set(command) & set("|;&$`<>"):
        return _run_livervol(words[1:], folder, f"{block}: {command}")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", command], cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{block}: {command}\n{done.stdout[-1500:]}{done.stderr[-1500:]}"
    return done.stdout


def _run_livervol(words: list[str], folder: Path, where: str) -> str:
    out = words[words.index("--out") + 1] if "--out" in words else "demo_out"
    if words[0] == "demo":
        _copied(demo_course().folder, folder / out)
        return ""
    if words == ["run", "my_scans", "--out", out]:
        # the demo has run this very visit with these very settings
        _copied(demo_course().folder / "visit_1", folder / out)
        return ""
    if words[0] == "batch" and "--workers" not in words:
        words += ["--workers", "1", "--memory-gb", "4"]
    spoken = StringIO()
    with redirect_stdout(spoken):
        code = main(words)
    assert code == 0, f"{where}: exit {code}\n{spoken.getvalue()[-1500:]}"
    return spoken.getvalue()
