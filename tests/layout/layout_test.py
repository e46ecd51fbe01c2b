#!/usr/bin/env python3
"""Shows that check_tree.py finds what it says it finds: plants one violation after the other in the tree,
in memory.

That the tree itself is in order is the ctest `layout`, which runs check_tree.py.
"""

import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True

import check_tree

ROOT = pathlib.Path(__file__).resolve().parents[2]


def header(path, *lines):
    guard = "MARQUEE_" + re.sub(r"[^A-Za-z0-9]", "_", path).upper() + "_"
    return "\n".join(["// Planted.", f"#ifndef {guard}", f"#define {guard}", *lines, f"#endif  // {guard}", ""])


class LayoutTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tree = check_tree.Tree(ROOT)
        cls.before = set(check_tree.violations(cls.tree))

    def expect(self, path, text, expected):
        """With `text` in `path` (a function changes what is there), expects a violation that matches."""
        changed = text(self.tree.text(path)) if callable(text) else text
        found = set(check_tree.violations(self.tree.replaced(path, changed))) - self.before
        self.assertTrue(any(re.search(expected, violation) for violation in found),
                        f"expected {expected!r}, found {sorted(found)}")

    def expect_header(self, path, line, expected):
        self.expect(path, header(path, line), expected)

    def test_TheProgramFailsOnATreeWithAViolation(self):
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "domain").mkdir()
            file = pathlib.Path(folder) / "domain/planted.h"
            for line, code in (("#include <string>", 0), ('#include "services/service.h"', 1)):
                file.write_text(header("domain/planted.h", line))
                result = subprocess.run([sys.executable, ROOT / "tests/layout/check_tree.py", folder], capture_output=True,
                                        text=True, check=False)
                self.assertEqual(result.returncode, code, result.stdout + result.stderr)

    def test_AnIncludeThatPointsUpwardsIsFound(self):
        self.expect_header("domain/planted.h", '#include "services/service.h"', r"planted\.h:4: domain may include")
        self.expect_header("base/planted.h", '#include "domain/ids.h"', r"planted\.h:4: base may include")
        self.expect_header("http/planted.h", '#include "messaging/broker.h"', r"planted\.h:4: http may include")
        self.expect_header("services/planted.h", '#include "cli/output.h"', r"planted\.h:4: services may include")

    def test_TheSeamKnowsNothingOfRatings(self):
        self.expect_header("messaging/planted.h", '#include "domain/rating.h"', "messaging may include base, messaging;")

    def test_NobodyIncludesABackend(self):
        self.expect_header("services/planted.h", '#include "messaging/sqlite/sqlite_broker.h"', "of messaging/sqlite")
        self.expect_header("cli/planted.h", '#include "messaging/memory/memory_broker.h"', "of messaging/memory")
        self.expect_header("messaging/sqlite/planted.h", '#include "messaging/memory/memory_broker.h"',
                           "of messaging/memory")

    def test_WhatIsForTestsStaysInTests(self):
        self.expect_header("catalogue/sqlite/planted.h", '#include "base/sqlite/fault_vfs.h"', "is for tests alone")
        self.expect_header("services/planted.h", '#include "gtest/gtest.h"', "is for tests alone")
        self.expect_header("services/planted_test.h", '#include "messaging/conformance/suite.h"', "services may include")

    def test_ALibraryStaysWhereItBelongs(self):
        self.expect_header("services/planted.h", "#include <sqlite3.h>", "base/sqlite, catalogue/sqlite")
        self.expect("services/planted.cc", '#include "boost/asio.hpp"\n', "used in bench, http, tests alone")
        self.expect("http/server.h", lambda was: "#include <boost/beast/http.hpp>\n" + was, "brings boost/beast/http.hpp")
        self.expect_header("messaging/planted.h", "#include <librdkafka/rdkafka.h>", "not a dependency")
        self.expect("domain/rating.h", lambda was: '#include "marquee/v1/rating.pb.h"\n' + was, "brings marquee/v1")
        self.expect_header("sources/planted.h", '#include "spdlog/spdlog.h"', "used in")

    def test_LocksAndTimeComeFromBase(self):
        self.expect_header("services/planted.h", "#include <mutex>", "base/mutex.h")
        self.expect_header("services/planted.h", '#include "absl/synchronization/mutex.h"', "base/mutex.h")
        self.expect("services/planted.cc", '#include "absl/time/clock.h"\n', "time comes from a Clock")

    def test_TheDomainHasNoInputNoClockNoThreads(self):
        for name in ("<thread>", "<fstream>", "<unistd.h>", '"base/clock.h"'):
            self.expect_header("domain/planted.h", f"#include {name}", "no I/O, no clock and no threads")

    def test_AHeaderNeedsItsGuardAndACommentAtItsTop(self):
        good = header("base/planted.h")
        self.expect("base/planted.h", good.replace("PLANTED", "OTHER"), "expected the guard MARQUEE_BASE_PLANTED_H_")
        self.expect("base/planted.h", good.replace("// Planted.\n", ""), "expected a comment")
        self.expect("base/planted.h", good.replace("#endif  //", "#endif //"), "at its end")

    def test_ATestThatSleepsIsFound(self):
        for line in ("std::this_thread::sleep_for(1s);", "sleep(1);", "usleep(10);", "absl::SleepFor(x);"):
            self.expect("base/planted_test.cc", f"void F() {{ {line} }}\n", "never sleeps")

    def test_AFolderThatIsNotNamedIsFound(self):
        self.expect_header("elsewhere/planted.h", "", "only in the folders")

    def test_ARegistryAStrangeHostAndAPathOutsideAreFound(self):
        self.expect("docs/planted.md", "see https://" + "pypi." + "org/x\n", "host of a registry")
        self.expect("script/planted", "fetch https://" + "example.net/x\n", "names the host")
        self.expect("docs/planted.md", "in /" + "work/main/x\n", "a path outside")
        self.expect("tests/planted_test.cc", 'Open("../' + 'shared/data");\n', "a path outside")

    def test_ASourceThatNobodyBuildsIsFound(self):
        self.expect("base/planted_test.cc", "\n", "in no CMakeLists.txt")
        self.expect("base/CMakeLists.txt", lambda was: was + "marquee_test(planted SOURCES ghost_test.cc)\n",
                    "ghost_test.cc: named in a CMakeLists.txt, and not there")

    def test_ALinkThatIsNotNeededOrMissingIsFound(self):
        cmake = "messaging/CMakeLists.txt"
        self.expect(cmake, lambda was: was.replace("DEPS marquee_base", "DEPS marquee_base marquee_planted", 1),
                    "is linked with marquee_planted, and includes nothing of it")
        self.expect(cmake, lambda was: was.replace("DEPS marquee_base", "DEPS", 1), "needs marquee_base in its DEPS")

    def test_TheDependencyPageIsComparedWithThePackagesAndWithCMake(self):
        page = "docs/dependencies.md"
        self.expect("script/packages.txt", lambda was: was + "libplanted-dev\n", "libplanted-dev .* is missing from docs")
        self.expect("script/packages.txt", lambda was: was.replace("libabsl-dev\n", ""), "libabsl-dev .* is missing from")
        self.expect("cmake/Marquee.cmake", lambda was: was + "find_package(Planted REQUIRED)\n", "looks for Planted")
        self.expect(page, lambda was: was.replace("`spdlog`", "`planted`"), "no CMake file looks for planted")
        self.expect(page, lambda was: was.replace("| 1.10.0 |", "| 1.9.9 |"), "says libspdlog-dev 1.9.9")
        self.expect(page, lambda was: was.replace("| MIT |", "| |", 1), "needs a version, a licence and a purpose")

    def test_ThePagesAreComparedWithTheCode(self):
        page = "docs/operations.md"
        self.expect("services/planted.cc", 'auto x = "marquee_planted_total";\n', "metric marquee_planted_total is not in")
        self.expect("cli/planted.cc", 'settings.Add("planted", x, "");\n', "setting planted is not in")
        self.expect(page, lambda was: was.replace("`marquee_unstamped_total`", "`marquee_planted`"), "nowhere in the code")
        self.expect(page, lambda was: was.replace("| `strict` |", "| `planted` |"), "nowhere in the code")
        self.expect(page, lambda was: was.replace('"the port is in use"', '"the port is planted"'), "nothing in the code says")
        self.expect("README.md", lambda was: was + "[x](docs/planted.md)\n", "links to docs/planted.md")


if __name__ == "__main__":
    unittest.main()
