"""docs/dependencies.md against script/packages.txt, the CMake files and what is installed."""

import functools
import re
import shutil
import subprocess

PAGE = "docs/dependencies.md"
PACKAGES = "script/packages.txt"
# Parts of CMake itself.
CMAKE_MODULES = {"Threads", "PkgConfig"}
# Built from a source package by script/librdkafka; the page says so in words.
BUILT = {"RdKafka", "rdkafka"}


class Row:
    def __init__(self, line, group, cells):
        self.line = line
        self.group = group
        self.package, self.version, self.licence, self.found_by, self.purpose = cells


def rows_of(tree):
    """The rows of the page's tables; the heading above a table ends with its group in backquotes."""
    rows, group = [], ""
    if PAGE not in tree.paths:
        return rows
    for number, line in tree.lines(PAGE):
        heading = re.match(r"##.*`(\w+)`", line)
        if heading:
            group = heading.group(1)
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and len(cells) == 5 and re.fullmatch(r"`[a-z0-9.+-]+`", cells[0]):
            rows.append(Row(number, group, [cells[0].strip("`")] + cells[1:]))
    return rows


def packages_of(tree):
    packages, group = set(), ""
    for line in tree.text(PACKAGES).split("\n") if PACKAGES in tree.paths else []:
        if line.startswith("["):
            group = line.strip("[]")
        elif re.match(r"[a-z0-9]", line):
            packages.add((group, line.strip()))
    return packages


def check_packages(tree):
    """The page lists what script/setup installs, group by group, each with licence and purpose."""
    rows = rows_of(tree)
    listed = {(row.group, row.package) for row in rows}
    installed = packages_of(tree)
    for group, package in sorted(installed - listed):
        yield f"{PACKAGES}: {package} of [{group}] is missing from {PAGE}"
    for group, package in sorted(listed - installed):
        yield f"{PAGE}: {package} of `{group}` is missing from {PACKAGES}"
    for row in rows:
        if not (row.version and row.licence and row.purpose):
            yield f"{PAGE}:{row.line}: {row.package} needs a version, a licence and a purpose"


def found_by_cmake(tree):
    """What the CMake files look for: names of find_package, and modules of pkg_check_modules."""
    found = {}
    for path in tree.paths:
        if not (path.endswith("CMakeLists.txt") or path.endswith(".cmake")):
            continue
        for number, line in tree.lines(path):
            line = line.split("#")[0]
            for name in re.findall(r"\bfind_package\(\s*(\w[\w+-]*)", line):
                if name not in CMAKE_MODULES | BUILT:
                    found[name] = f"{path}:{number}"
            modules = re.search(r"\bpkg_check_modules\(([^)]*)\)", line)
            for name in modules.group(1).split()[1:] if modules else []:
                name = re.split(r"[<>=]", name)[0]
                if not name.isupper() and name not in BUILT:
                    found[name] = f"{path}:{number}"
    return found


def check_found(tree):
    """Every library that CMake looks for is on the page, and nothing else is."""
    found = found_by_cmake(tree)
    listed = {}
    for row in rows_of(tree):
        for name in re.findall(r"`([^`]+)`", row.found_by):
            listed[name] = row
    for name in sorted(set(found) - set(listed)):
        yield f"{found[name]}: looks for {name}, which {PAGE} does not list"
    for name in sorted(set(listed) - set(found)):
        yield f"{PAGE}:{listed[name].line}: no CMake file looks for {name}"


@functools.lru_cache(maxsize=None)
def installed_version(package):
    """The upstream part of its version; empty where it is not installed, or this is not Debian."""
    if shutil.which("dpkg-query") is None:
        return ""
    query = subprocess.run(["dpkg-query", "--show", "--showformat=${Version}", package], capture_output=True, text=True,
                           check=False)
    return re.sub(r"^\d+:|[+~-].*$", "", query.stdout) if query.returncode == 0 else ""


def check_versions(tree):
    """The versions of what CMake looks for are those of the packages installed here."""
    for row in rows_of(tree):
        version = installed_version(row.package) if "`" in row.found_by else ""
        if version and version != row.version:
            yield f"{PAGE}:{row.line}: says {row.package} {row.version}, and {version} is installed"


CHECKS = [check_packages, check_found, check_versions]
