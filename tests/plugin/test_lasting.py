from __future__ import annotations

import subprocess
import sys


def test_none_survives_being_given_back_too_often():
    """A million releases that nobody had taken, as a long reading brings, then an orderly end."""
    program = """
import ctypes, sys
from napari_livervol.lasting import keep_none
keep_none()
keep_none()
none = ctypes.py_object(None)
for _ in range(1_000_000):
    ctypes.pythonapi.Py_DecRef(none)
assert sys.version_info >= (3, 12) or sys.getrefcount(None) > 1 << 39
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
