"""Writes the reference pages that come from the program itself: verbs, rules, protocols.

    python docs/make_reference.py [--check] [--out DIR]

``--check`` writes nothing and exits 1 when a committed page is not what the program says now.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from livervol.cli import VERBS, main

FOLDER = Path(__file__).resolve().parent / "reference"
CRITERIA = ("mrecist", "recist11", "irecist", "easl", "who", "choi", "volumetric", "lirads")
NOTE = "<!-- made by docs/make_reference.py: change the program, then run it again -->"


def said(*words: str) -> str:
    """What ``livervol WORDS`` prints, at a fixed width."""
    spoken = io.StringIO()
    with (
        contextlib.redirect_stdout(spoken),
        mock.patch.dict(os.environ, {"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"}),
    ):
        main(list(words))
    return "\n".join(line.rstrip() for line in spoken.getvalue().strip("\n").splitlines())


def commands(text: str) -> list[str]:
    """The verbs below a verb, as its help lists them."""
    listed = text.partition("\nCommands:\n")[2].splitlines()
    return [line.split()[0] for line in listed if line.startswith("  ") and not line.startswith("   ")]


def command_page() -> str:
    """Every verb's help."""
    parts = [
        NOTE,
        "# Command line",
        "Exit code 0: done. 2: the input was refused, with one sentence on standard error; nothing was written. "
        "3: a batch finished with failed visits. 130: interrupted.",
        f"```text\n{said('--help')}\n```",
    ]
    for verb in VERBS:
        text = said(verb, "--help")
        parts += [f"## livervol {verb}", f"```text\n{text}\n```"]
        for inner in commands(text):
            parts += [f"### livervol {verb} {inner}", f"```text\n{said(verb, inner, '--help')}\n```"]
    return "\n\n".join(parts) + "\n"


def rules_page() -> str:
    """Every criterion's parameters and rules."""
    parts = [
        NOTE,
        "# Rules of every criterion",
        "What `livervol respond --rules --criterion NAME` prints. Each rule is tried in the order given; the first "
        "that holds decides, and its sentence with the numbers filled in is the reason in the output. "
        "A parameter is changed with `--set NAME=VALUE`. The source of each stands in square brackets.",
    ]
    for name in CRITERIA:
        parts += [f"## {name}", *listed(said("respond", "--rules", "--criterion", name))]
    return "\n\n".join(parts) + "\n"


def listed(text: str) -> Iterator[str]:
    """The printed rules as paragraphs and lists, so that long rules wrap."""
    title, *blocks = text.split("\n\n")
    yield title.partition(": ")[2] + "."
    for block in blocks:
        heading, *entries = block.strip().splitlines()
        items = [re.sub(r"^([\w.]+)", r"`\1`", e.strip().replace("*", r"\*").replace("<", "&lt;")) for e in entries]
        yield heading.capitalize() + ":"
        yield "\n".join(f"- {item}" for item in items)


def protocols_page() -> str:
    """Every parameter of the shipped endpoint protocols with its meaning, value and source."""
    from livervol.endpoints.protocol import load_protocol, protocol_names

    folder = Path(sys.modules["livervol.endpoints.protocol"].__file__ or "").parent / "protocols"
    says = {
        name: str(entry["says"])
        for path in sorted(folder.glob("*.toml"))
        for name, entry in tomllib.loads(path.read_text(encoding="utf-8")).get("parameters", {}).items()
    }
    parts = [
        NOTE,
        "# Protocols",
        "The parameters of `livervol endpoints --protocol NAME`. `--set NAME=VALUE` changes one; "
        "[a file of your own](../howto/protocol.md) changes several and keeps where they come from.",
    ]
    for name in protocol_names():
        described = load_protocol(name).described()
        rows = [
            f"| `{key}` | {_shown(entry['value'])} | {says[key]} | {entry['source']} |"
            for key, entry in described["parameters"].items()
        ]
        head = [f"## {name}", f"{described['title']}. Version {described['version']}."]
        parts += [*head, "\n".join(["| parameter | value | meaning | source |", "|---|---|---|---|", *rows])]
    return "\n\n".join(parts) + "\n"


def _shown(value: object) -> str:
    if isinstance(value, tuple | list):
        return ", ".join(f"{item:g}" if isinstance(item, float) else str(item) for item in value)
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if value != "" else "(empty)"


def pages() -> Iterator[tuple[str, str]]:
    """Name and text of every page."""
    yield "cli.md", command_page()
    yield "rules.md", rules_page()
    yield "protocols.md", protocols_page()


def outdated(folder: Path = FOLDER) -> list[str]:
    """Names of the pages that are not what the program says now."""
    return [
        name
        for name, text in pages()
        if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != text
    ]


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    words.add_argument("--check", action="store_true")
    words.add_argument("--out", type=Path, default=FOLDER)
    asked = words.parse_args()
    if asked.check:
        stale = outdated(asked.out)
        print(
            "\n".join(f"{name}: run python docs/make_reference.py" for name in stale) or "reference pages are current"
        )
        sys.exit(1 if stale else 0)
    asked.out.mkdir(parents=True, exist_ok=True)
    for page, content in pages():
        (asked.out / page).write_text(content, encoding="utf-8")
