"""The pages against the code: links, metrics and settings."""

import pathlib
import re

OPERATIONS = "docs/operations.md"


def table_names(tree, heading):
    """What stands in backquotes in the first cell of the tables below a heading of OPERATIONS."""
    names, inside = {}, False
    for number, line in tree.lines(OPERATIONS) if OPERATIONS in tree.paths else []:
        if line.startswith("## "):
            inside = line == f"## {heading}"
        match = re.match(r"\| `([^`]+)` \|", line)
        if inside and match:
            names[match.group(1)] = number
    return names


def compare(documented, coded, what):
    for name in sorted(set(coded) - set(documented)):
        yield f"{coded[name]}: {what} {name} is not in {OPERATIONS}"
    for name in sorted(set(documented) - set(coded)):
        yield f"{OPERATIONS}:{documented[name]}: {what} {name} is nowhere in the code"


def strings_in(tree, pattern, folders):
    found = {}
    for path in tree.cpp():
        if path.split("/")[0] in folders and not path.endswith(("_test.cc", "_test.h")):
            for match in re.finditer(pattern, tree.text(path)):
                found.setdefault(match.group(1), f"{path}:{tree.text(path).count(chr(10), 0, match.start()) + 1}")
    return found


def check_metrics(tree):
    """Every metric is described, and only what is there."""
    coded = strings_in(tree, r'"(marquee_[a-z0-9_]+)"', {"services", "http", "cli"})
    yield from compare(table_names(tree, "Metrics"), coded, "the metric")


def check_settings(tree):
    """Every setting of the program and of its brokers is described, and only what is there."""
    coded = strings_in(tree, r'(?:\.|->)Add(?:Flag)?\(\s*"([a-z-]+)"', {"cli"})
    coded |= strings_in(tree, r'"(sqlite\.[a-z_]+)"', {"messaging"})
    yield from compare(table_names(tree, "Settings"), coded, "the setting")


def check_page_links(tree):
    """A link to a file of the tree leads to one."""
    folders = {str(parent) for path in tree.paths for parent in pathlib.PurePath(path).parents}
    for path in tree.paths:
        if not path.endswith(".md"):
            continue
        for number, line in tree.lines(path):
            for target in re.findall(r"\]\(([^)#\s:]+)(?:#[^)]*)?\)", line):
                parts = []
                for part in (pathlib.PurePath(path).parent / target).parts:
                    parts = parts[:-1] if part == ".." else parts + [part]
                name = "/".join(parts)
                if name not in tree.paths and name not in folders:
                    yield f"{path}:{number}: links to {target}, which is not there"


CHECKS = [check_metrics, check_settings, check_page_links]
