"""Where things are, and limits that several rows share."""

import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "bench"
MARQUEE = BUILD / "cli" / "marquee"
PROGRAMS = BUILD / "bench"

COMMAND_S_MAX = 1800
READY_S_MAX = 60
MIB = 1 << 20
