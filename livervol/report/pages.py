"""Pages: templates filled with escaped words, one HTML file without anything outside it, and the same page as PDF."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from livervol.errors import LivervolError, refusal
from livervol.files import atomic_file, write_text
from livervol.report.words import Words, words_of

__all__ = ["ReportSettings", "render", "said", "write_report"]


@dataclass(frozen=True)
class ReportSettings:
    """How a report is written: its language, whether as PDF too, whether with a viewer inside."""

    language: str = "en"
    pdf: bool = False
    viewer: bool = False

    @property
    def words(self) -> Words:
        """The words of the language."""
        return words_of(self.language)

    def check(self) -> None:
        """Refuse a language the reports do not speak and packages that are not installed, before any work is done."""
        words_of(self.language)
        if self.pdf and find_spec("weasyprint") is None:
            raise _missing("weasyprint", "--pdf", "pdf")
        if self.viewer and find_spec("ipyniivue") is None:
            raise _missing("ipyniivue", "--viewer", "viewer")


def _missing(package: str, option: str, extra: str) -> LivervolError:
    return LivervolError(
        refusal(
            f"{package} is not installed",
            expected=f"the package behind {option}",
            got="none",
            do=f'Install it with: pip install "livervol[{extra}]"',
        )
    )


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("livervol.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )


def said(words: Words, text: object) -> Markup:
    """A sentence of the data, escaped; marked as English where the catalogue does not know it."""
    told = words.sentence(text)
    return Markup('<span lang="en">{}</span>').format(told.text) if told.foreign else Markup.escape(told.text)


def render(template: str, words: Words, **values: Any) -> str:
    """A page from a template; every value is escaped unless it is markup that this room made."""

    def say(text: object) -> Markup:
        return said(words, text)

    return _environment().get_template(template).render(w=words, say=say, **values)


def write_report(
    path: Path,
    html: str,
    settings: ReportSettings,
    *,
    overwrite: bool = False,
    progress: Callable[[str], None] = lambda step: None,
) -> tuple[Path, ...]:
    """Write a page as HTML and, where asked for, as PDF beside it; returns what was written."""
    written = [write_text(path, html, overwrite=overwrite)]
    if settings.pdf:
        progress("writing the PDF")
        with atomic_file(path.with_suffix(".pdf"), overwrite=overwrite) as temporary:
            _write_pdf(html, temporary)
        written.append(path.with_suffix(".pdf"))
    return tuple(written)


def _write_pdf(html: str, path: Path) -> None:
    from weasyprint import HTML
    from weasyprint.urls import URLFetcher

    # a page holds everything it shows; nothing is read from disk or network because a word in the data says so
    HTML(string=html, url_fetcher=URLFetcher(allowed_protocols=("data",))).write_pdf(path)
