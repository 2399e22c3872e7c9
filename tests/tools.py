"""Independent programs that tests compare with: a test that needs one skips where it is absent, in CI it fails."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

__all__ = ["INSTALL", "need_tool", "run_tool"]

#: Where each program comes from; CI installs them all.
INSTALL = {
    "dciodvfy": "apt install dicom3tools",
    "dcentvfy": "apt install dicom3tools",
    "dcmdump": "apt install dcmtk",
    "plastimatch": "apt install plastimatch",
    "segimage2itkimage": "pip install dcmqi",
    "itkimage2segimage": "pip install dcmqi",
    "tid1500reader": "pip install dcmqi",
    "tid1500writer": "pip install dcmqi",
    "Orthanc": "apt install orthanc orthanc-dicomweb",
    "sbatch": "apt install slurm-wlm",
    "chromium": "apt install chromium",
    "openssl": "apt install openssl",
}

#: Set by the checks every change must pass: there a missing program is a failure, never a skip.
_CI = "LIVERVOL_CI"


def need_tool(name: str) -> Path:
    """The program's path: beside this interpreter or on PATH (``/usr/sbin`` too).

    Absent, the test skips with what to install; with ``LIVERVOL_CI=1`` it fails instead.
    """
    beside = Path(sys.executable).parent
    found = shutil.which(name, path=os.pathsep.join([str(beside), os.environ.get("PATH", ""), "/usr/sbin"]))
    if found is not None:
        return Path(found)
    reason = f"{name} is not installed ({INSTALL.get(name, 'see its own documentation')})"
    if os.environ.get(_CI, "") not in ("", "0"):
        pytest.fail(reason)
    pytest.skip(reason)


def run_tool(name: str, *words: object, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a program found by :func:`need_tool` and return what it said; its exit code is the caller's to judge."""
    command = [str(need_tool(name)), *(str(word) for word in words)]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False)
