"""Keeps Python's None alive under Qt.

On Python before 3.12 None is counted like any object, and Qt's bindings (seen with PySide6 6.12.0) give it back more
often than they took it: after enough events the program ends with "none_dealloc". Later Pythons never free None.
"""

from __future__ import annotations

import ctypes
import sys

__all__ = ["keep_none"]

#: Far more than a day of events can take.
_HOLDS = 1 << 40
_held = False


def keep_none() -> None:
    """Hold None so often that it cannot run out; once a process, and only where it is counted."""
    global _held
    if _held or sys.version_info >= (3, 12) or sys.implementation.name != "cpython":
        return
    _held = True
    # the count is an object's first field; raising it once is Py_IncRef so many times
    count = ctypes.c_ssize_t.from_address(id(None))
    count.value += _HOLDS
