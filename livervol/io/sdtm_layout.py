"""The variables of the tumour domains: order, labels (at most 40 characters), text or number (SDTMIG 3.4)."""

from __future__ import annotations

from livervol.io.cdisc import Variable

__all__ = ["RS", "SUPP", "TR", "TU"]


def _variables(domain: str, *named: tuple[str, str]) -> tuple[Variable, ...]:
    """The variables of a domain; those that end in SEQ, NUM or STRESN hold numbers."""
    found = [
        ("STUDYID", "Study Identifier"),
        ("DOMAIN", "Domain Abbreviation"),
        ("USUBJID", "Unique Subject Identifier"),
    ]
    found += [(f"{domain}SEQ", "Sequence Number"), *named]
    numbers = (f"{domain}SEQ", "VISITNUM", f"{domain}STRESN")
    return tuple(Variable(name, label, "number" if name in numbers else "text") for name, label in found)


_EVALUATOR = (("{0}EVAL", "Evaluator"), ("{0}EVALID", "Evaluator Identifier"))
_TIMING = (("VISITNUM", "Visit Number"), ("VISIT", "Visit Name"), ("{0}DTC", "Date/Time of Assessment"))


def _of(domain: str, *named: tuple[str, str]) -> tuple[Variable, ...]:
    every = (*named, *_EVALUATOR, *_TIMING)
    return _variables(domain, *((name.format(domain), label) for name, label in every))


TU = _of(
    "TU",
    ("TULNKID", "Link ID"),
    ("TUTESTCD", "Tumor/Lesion ID Short Name"),
    ("TUTEST", "Tumor/Lesion ID Test Name"),
    ("TUORRES", "Tumor/Lesion ID Result"),
    ("TUSTRESC", "Tumor/Lesion ID Result Std. Format"),
    ("TULOC", "Location of the Tumor/Lesion"),
    ("TUMETHOD", "Method of Identification"),
)
TR = _of(
    "TR",
    ("TRGRPID", "Group ID"),
    ("TRLNKID", "Link ID"),
    ("TRLNKGRP", "Link Group ID"),
    ("TRTESTCD", "Tumor/Lesion Assessment Short Name"),
    ("TRTEST", "Tumor/Lesion Assessment Test Name"),
    ("TRORRES", "Result or Finding in Original Units"),
    ("TRORRESU", "Original Units"),
    ("TRSTRESC", "Character Result/Finding in Std Format"),
    ("TRSTRESN", "Numeric Result/Finding in Standard Units"),
    ("TRSTRESU", "Standard Units"),
    ("TRSTAT", "Completion Status"),
    ("TRREASND", "Reason Not Done"),
    ("TRMETHOD", "Method Used to Identify the Tumor/Lesion"),
    ("TRLOBXFL", "Last Observation Before Exposure Flag"),
)
RS = _of(
    "RS",
    ("RSLNKGRP", "Link Group ID"),
    ("RSTESTCD", "Assessment Short Name"),
    ("RSTEST", "Assessment Name"),
    ("RSCAT", "Category for Assessment"),
    ("RSORRES", "Result or Finding in Original Units"),
    ("RSSTRESC", "Character Result/Finding in Std Format"),
)
SUPP = tuple(
    Variable(name, label)
    for name, label in (
        ("STUDYID", "Study Identifier"),
        ("RDOMAIN", "Related Domain Abbreviation"),
        ("USUBJID", "Unique Subject Identifier"),
        ("IDVAR", "Identifying Variable"),
        ("IDVARVAL", "Identifying Variable Value"),
        ("QNAM", "Qualifier Variable Name"),
        ("QLABEL", "Qualifier Variable Label"),
        ("QVAL", "Data Value"),
        ("QORIG", "Origin"),
    )
)
