#!/usr/bin/env python3
"""Checks that the tree keeps to rules.py, and prints each place where it does not.

    tests/layout/check_tree.py [ROOT]

Exit code: 0 all well, 1 not. layout_test.py shows that every check can fail.
"""

import copy
import functools
import pathlib
import re
import subprocess
import sys

sys.dont_write_bytecode = True

import cmake_targets
import dependencies
import documents
import rules

SKIPPED = {".git", "build", "data", "__pycache__", ".library"}
# Input made for programs, hostile on purpose.
BYTES_FOLDERS = {"corpus", "testdata", "golden"}


class Tree:
    """The files of a tree, as git knows them (all of them where it is not a repository), each read once. A value."""

    def __init__(self, root):
        self.root = pathlib.Path(root).resolve()
        self.paths = sorted(self._list())
        self._texts = {}

    def replaced(self, path, text):
        """The same tree, but for one file that is added or has another text. Nothing is written."""
        other = copy.copy(self)
        other.paths = sorted({*self.paths, path})
        other._texts = self._texts | {path: text}
        return other

    def _list(self):
        listed = None
        if (self.root / ".git").exists():
            git = subprocess.run(["git", "-C", str(self.root), "-c", f"safe.directory={self.root}", "ls-files", "-z",
                                  "--cached", "--others", "--exclude-standard", "--deduplicate"],
                                 capture_output=True, check=True)
            listed = [name for name in git.stdout.decode().split("\0") if name]
        else:
            listed = [str(path.relative_to(self.root)) for path in self.root.rglob("*")]
        return [name for name in listed
                if (self.root / name).is_file() and not SKIPPED & set(pathlib.PurePath(name).parts)]

    def text(self, path):
        """The text of a file; bytes that are not UTF-8 are replaced."""
        if path not in self._texts:
            self._texts[path] = (self.root / path).read_bytes().decode("utf-8", errors="replace")
        return self._texts[path]

    def lines(self, path):
        return enumerate(self.text(path).split("\n"), start=1)

    def cpp(self):
        return [path for path in self.paths if path.endswith((".cc", ".h"))]


@functools.lru_cache(maxsize=None)
def folder_of(path):
    """The folder of rules.LAYERS (or rules.TOP) to which a file belongs; None for one that is nowhere."""
    parts = pathlib.PurePath(path).parts[:-1]
    for end in range(len(parts), 0, -1):
        folder = "/".join(parts[:end])
        if folder in rules.LAYERS or folder in rules.TOP:
            return folder
    return None


def is_test(path, test_only):
    return folder_of(path) in rules.TEST_FOLDERS or path in test_only or cmake_targets.is_test_name(path)


@functools.lru_cache(maxsize=None)
def includes_in(text):
    return [(text.count("\n", 0, match.start(1)) + 1, match.group(1))
            for match in re.finditer(r'^[ \t]*#[ \t]*include\s+["<]([^">]+)[">]', text, re.M)]


def includes_of(tree, path):
    return includes_in(tree.text(path))


def check_folders(tree):
    for path in tree.cpp():
        if folder_of(path) is None:
            yield f"{path}: expected C++ only in the folders of tests/layout/rules.py; name this one there"


def check_layers(tree):
    """No include points the wrong way."""
    test_only = cmake_targets.test_only_files(tree)
    ours = {name.split("/")[0] for name in set(rules.LAYERS) | rules.TOP}
    for path in tree.cpp():
        folder = folder_of(path)
        if folder is None or folder in rules.TOP:
            continue
        testing = is_test(path, test_only)
        allowed = rules.LAYERS[folder] | {folder}
        if testing:
            allowed = allowed | rules.TEST_LAYERS.get(folder, set())
        for number, header in includes_of(tree, path):
            if header.split("/")[0] not in ours or "/" not in header:
                continue
            target = folder_of(header)
            if target not in allowed:
                yield (f"{path}:{number}: {folder} may include {', '.join(sorted(allowed))}; found {header} of "
                       f"{target}")
            elif header in test_only and not testing:
                yield f"{path}:{number}: {header} is for tests alone"


@functools.lru_cache(maxsize=None)
def library_of(header):
    return next((library for pattern, library in rules.LIBRARIES.items() if re.match(pattern, header)), None)


def check_libraries(tree):
    """Each library is used where the rules have it, and nowhere else."""
    test_only = cmake_targets.test_only_files(tree)
    for path in tree.cpp():
        folder = folder_of(path)
        for number, header in includes_of(tree, path):
            library = library_of(header)
            if library is not None and folder not in library.folders:
                reason = library.reason or f"used in {', '.join(sorted(library.folders))} alone"
                yield f"{path}:{number}: found {header}: {reason}"
            elif folder in rules.FORBIDDEN and not is_test(path, test_only) and re.match(rules.FORBIDDEN[folder], header):
                yield f"{path}:{number}: found {header}: {folder} has no I/O, no clock and no threads"
            elif re.match(rules.TEST_LIBRARIES, header) and not is_test(path, test_only):
                yield f"{path}:{number}: {header} is for tests alone"


def check_heavy(tree):
    """A header that needs a heavy library, itself or through another, is not included outside its folder."""
    includes = {path: list(includes_of(tree, path)) for path in tree.cpp()}
    heavy = {}  # header: the library's header that makes it heavy
    for path, lines in includes.items():
        for _, header in lines:
            library = library_of(header)
            if path.endswith(".h") and library is not None and library.heavy:
                heavy[path] = header
    found = True
    while found:
        found = {path: heavy[header] for path, lines in includes.items() if path.endswith(".h") and path not in heavy
                 for _, header in lines if header in heavy}
        heavy |= found
    for path, lines in includes.items():
        for number, header in lines:
            if header in heavy and folder_of(header) != folder_of(path):
                yield f"{path}:{number}: {header} brings {heavy[header]} with it: keep that in {folder_of(header)}/*.cc"


def check_guards(tree):
    """Every header begins with a comment and has the guard of its path."""
    for path in tree.cpp():
        if not path.endswith(".h"):
            continue
        guard = "MARQUEE_" + re.sub(r"[^A-Za-z0-9]", "_", path).upper() + "_"
        text = tree.text(path)
        if not text.startswith("//"):
            yield f"{path}:1: expected a comment that says what it is, who owns, which threads, how it fails"
        if f"#ifndef {guard}\n#define {guard}\n" not in text:
            yield f"{path}: expected the guard {guard}"
        elif not text.rstrip().endswith(f"#endif  // {guard}"):
            yield f"{path}: expected `#endif  // {guard}` at its end"


@functools.lru_cache(maxsize=None)
def sleeps_in(text):
    return [number for number, line in enumerate(text.split("\n"), start=1) if rules.SLEEP.search(line.split("//")[0])]


def check_sleeps(tree):
    for path in tree.cpp():
        if path.endswith("_test.cc") or folder_of(path) == "messaging/conformance":
            for number in sleeps_in(tree.text(path)):
                yield f"{path}:{number}: a test waits for an event or moves a ManualClock; it never sleeps"


@functools.lru_cache(maxsize=None)
def outside_in(text, made):
    """(line, what is wrong) of what leaves the tree; `made` input names hosts and paths as it likes, but no registry."""
    found = []
    for number, line in enumerate(text.split("\n"), start=1):
        if rules.REGISTRIES.search(line):
            found.append((number, f"names the host of a registry: {line.strip()[:100]}"))
        if not made and rules.OUTSIDE.search(line):
            found.append((number, f"names a path outside the tree: {line.strip()[:100]}"))
        for host in [] if made else rules.URL.findall(line):
            if "." in host and host not in rules.HOSTS:
                found.append((number, f"names the host {host}, which tests/layout/rules.py does not know"))
    return found


def check_outside(tree):
    """No file names a registry, an unknown host, or a path outside the tree."""
    for path in tree.paths:
        made = bool(BYTES_FOLDERS & set(pathlib.PurePath(path).parts)) or path == "tests/layout/rules.py"
        for number, problem in outside_in(tree.text(path), made):
            yield f"{path}:{number}: {problem}"


CHECKS = [check_folders, check_layers, check_libraries, check_heavy, check_guards, check_sleeps, check_outside,
          *cmake_targets.CHECKS, *dependencies.CHECKS, *documents.CHECKS]


def violations(tree):
    return [violation for check in CHECKS for violation in check(tree)]


def main(arguments):
    root = arguments[0] if arguments else pathlib.Path(__file__).resolve().parents[2]
    found = violations(Tree(root))
    for violation in found:
        print(violation)
    print(f"layout: {len(found)} violations", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
