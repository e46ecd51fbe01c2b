"""The table: rows, figures as text, and the machine that they were measured on."""

import contextlib
import os
import pathlib
import re
from typing import NamedTuple


class NoResult(Exception):
    """Why a row has no figures."""


class Row(NamedTuple):
    name: str
    reached: str
    compared: str = ""
    ratio: str = ""
    asked: str = ""
    ok: str = ""  # "yes", "NO"; empty: nothing was asked


def verdict(*conditions):
    return "yes" if all(conditions) else "NO"


def millions(count):
    return f"{count / 1e6:.2f} M"


def check_count(who, found, expected):
    if found != expected:
        raise NoResult(f"{who}: counted {found:,} ratings, expected {expected:,}")


def machine():
    model = "unknown CPU"
    with contextlib.suppress(OSError):
        found = re.search(r"model name\s*:\s*(.+)", pathlib.Path("/proc/cpuinfo").read_text())
        model = found[1] if found else model
    load = os.getloadavg()[0]
    busy = f"; BUSY with other things (load {load:.1f}): measure again" if load > 0.7 else ""
    return f"{os.cpu_count()} cores, {model}, Linux {os.uname().release}{busy}"


def table(rows):
    lines = [Row("row", "reached", "compared with (same run)", "ratio", "asked", "ok?"), *rows]
    # The text of "no result" may be long; it does not widen the column.
    widths = [max(len(line[i]) for line in lines if not line[1].startswith("no result"))
              for i in range(len(Row._fields))]
    widths[0] = max(len(line.name) for line in lines)
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip()
                     for line in lines)
