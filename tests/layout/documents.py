"""The pages against the code: links, metrics and settings."""

import pathlib
import re

OPERATIONS = "docs/operations.md"
SAID_BY_SQLITE = {"database or disk is full"}


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


def sayings(tree):
    """What the first cells of OPERATIONS' table of failures quote, and where."""
    inside = False
    for number, line in tree.lines(OPERATIONS) if OPERATIONS in tree.paths else []:
        if line.startswith("## "):
            inside = line == "## When something fails"
        if inside and line.startswith("| "):
            for quoted in re.findall(r'"([^"]+)"', line.split(" | ")[0]):
                yield number, quoted


def check_sayings(tree):
    """What the page of failures quotes is what the program, or SQLite below it, says."""
    code = "\n".join(re.sub(r'"\s*"', "", tree.text(path)) for path in tree.cpp() if not path.endswith("_test.cc"))
    for number, quoted in sayings(tree):
        if quoted not in code and quoted not in SAID_BY_SQLITE:
            yield f'{OPERATIONS}:{number}: quotes "{quoted}", which nothing in the code says'


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


CHECKS = [check_metrics, check_settings, check_sayings, check_page_links]
