#!/usr/bin/env python3
"""What the CMakeLists.txt files say: targets, their sources, what they are linked with, and their tests' labels.

    cmake_targets.py LABEL      prints the targets whose tests have the label
"""

import functools
import pathlib
import re
import sys

TEST_VERBS = ("marquee_test", "marquee_conformance_test", "marquee_fuzzer")
VERBS = TEST_VERBS + ("marquee_library", "add_library", "add_executable")
KEYWORDS = {"SOURCES", "DEPS", "LABELS", "ARGS", "TIMEOUT", "CORPUS", "BACKEND", "PROPERTIES"}


class Target:
    def __init__(self, verb, name, folder, sources, deps, labels):
        self.verb = verb
        self.name = name
        self.folder = folder
        self.sources = sources  # paths from the root
        self.deps = deps
        self.labels = labels


@functools.lru_cache(maxsize=None)
def calls_of(text):
    """(command, [arguments]) of every call in a CMake file, in order."""
    text = re.sub(r"#[^\n]*", "", text)
    return [(match.group(1), re.findall(r"\"[^\"]*\"|\S+", match.group(2)))
            for match in re.finditer(r"(\w+)\s*\(((?:[^()\"]|\"[^\"]*\")*)\)", text)]


def lists_of(arguments):
    """{keyword: values}; what comes before the first keyword is under ''."""
    lists, current = {"": []}, ""
    for argument in arguments:
        if argument in KEYWORDS:
            current = argument
            lists.setdefault(current, [])
        else:
            lists[current].append(argument)
    return lists


@functools.lru_cache(maxsize=None)
def targets_of(tree):
    targets = {}
    for path in tree.paths:
        if pathlib.PurePath(path).name != "CMakeLists.txt":
            continue
        folder = str(pathlib.PurePath(path).parent)
        for command, arguments in calls_of(tree.text(path)):
            if command in VERBS and arguments:
                lists = lists_of(arguments[1:])
                sources = lists.get("SOURCES", []) + [value for value in lists[""] if value.endswith((".cc", ".h"))]
                targets[arguments[0]] = Target(
                    command, arguments[0], folder,
                    [str(pathlib.PurePath(folder) / source) if folder != "." else source for source in sources],
                    [dep for dep in lists.get("DEPS", []) if dep.startswith("marquee_")], lists.get("LABELS", []))
            elif command == "gtest_discover_tests" and arguments and arguments[0] in targets:
                targets[arguments[0]].labels += lists_of(arguments[1:]).get("LABELS", [])
            elif command == "target_link_libraries" and arguments and arguments[0] in targets:
                targets[arguments[0]].deps += [dep for dep in arguments[1:] if
                                               dep.startswith("marquee_") and dep != "marquee_options"]
    return targets


def is_test_name(path):
    return bool(re.search(r"_(test|fuzz|bench)\.(cc|h)$|^test_", pathlib.PurePath(path).name))


def is_testing(target):
    return target.name.endswith("_testing")


def test_only_files(tree):
    """Sources and headers of tests, and of the libraries that are there for tests (marquee_..._testing)."""
    files = set()
    for target in targets_of(tree).values():
        if is_testing(target) or target.verb in TEST_VERBS:
            files |= {path for source in target.sources for path in (source, header_of(source))}
    return files


def named_sources(tree):
    """Every .cc file that a call in a CMakeLists.txt names, whatever the call."""
    named = set()
    for path in tree.paths:
        if pathlib.PurePath(path).name == "CMakeLists.txt":
            for _, arguments in calls_of(tree.text(path)):
                named |= {str(pathlib.PurePath(path).parent / value) for value in arguments
                          if value.endswith(".cc") and not value.startswith(("$", '"'))}
    return named


def check_sources(tree):
    """Every .cc file belongs to a target, and no target names a file that is not there."""
    named = named_sources(tree)
    for path in tree.paths:
        if path.endswith(".cc") and path not in named:
            yield f"{path}: in no CMakeLists.txt, so it is neither built nor tested"
    for source in sorted(named - set(tree.paths)):
        yield f"{source}: named in a CMakeLists.txt, and not there"


def header_of(source):
    return re.sub(r"\.cc$", ".h", source)


def libraries_of(targets):
    """{folder: the name of its library}, without those that are there for tests."""
    folders = {}
    for target in targets.values():
        if target.verb in ("marquee_library", "add_library") and not is_testing(target):
            folders.setdefault(target.folder, target.name)
    return folders


def files_of(tree, target, targets):
    """The sources of a library with their headers; a folder's main library has the headers without a source, too."""
    files = {path for source in target.sources for path in (source, header_of(source))}
    if libraries_of(targets).get(target.folder) == target.name:
        claimed = {header_of(source) for other in targets.values() for source in other.sources}
        files |= {path for path in tree.paths if path.endswith(".h") and path not in claimed and
                  str(pathlib.PurePath(path).parent) == target.folder and not is_test_name(path)}
    return sorted(files & set(tree.paths))


def check_links(tree):
    """A library is linked with just the libraries of ours whose headers it includes."""
    targets = targets_of(tree)
    folders = libraries_of(targets)
    home = {header_of(source): target.name for target in targets.values() for source in target.sources
            if target.verb in ("marquee_library", "add_library")}
    for target in targets.values():
        if target.verb != "marquee_library":
            continue
        used = {}
        for path in files_of(tree, target, targets):
            for header in re.findall(r'^\s*#\s*include\s+"([^"]+)"', tree.text(path), re.M):
                library = home.get(header) or folders.get(str(pathlib.PurePath(header).parent))
                if library and library != target.name:
                    used[library] = f"{path} includes {header}"
        beside = {other.name for other in targets.values() if other.folder == target.folder}
        for library in sorted(set(target.deps) - set(used) - beside - {"marquee_proto"}):
            yield f"{target.folder}/CMakeLists.txt: {target.name} is linked with {library}, and includes nothing of it"
        for library in sorted(set(used) - closure(targets, target.name)):
            yield f"{target.folder}/CMakeLists.txt: {target.name} needs {library} in its DEPS: {used[library]}"


def closure(targets, name):
    seen, todo = set(), [name]
    while todo:
        current = todo.pop()
        if current not in seen:
            seen.add(current)
            todo += targets[current].deps if current in targets else []
    return seen


CHECKS = [check_sources, check_links]


def main(label):
    import check_tree  # which imports this module
    tree = check_tree.Tree(pathlib.Path(__file__).resolve().parents[2])
    for target in sorted(targets_of(tree).values(), key=lambda target: target.name):
        if label in target.labels:
            print(target.name)


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main(sys.argv[1])
