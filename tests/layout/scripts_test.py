#!/usr/bin/env python3
"""What script/run, script/test, script/fuzz-one and script/setup do, with the slow things that they call replaced by
stubs in a copy of the folder."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECONDS_MAX = 30


def brokers(backend, variable):
    """On which the tests of a backend run: what the loop over `variable` in its CMakeLists.txt goes through."""
    text = (ROOT / "messaging" / backend / "CMakeLists.txt").read_text()
    found = re.findall(rf"foreach\({variable} ([\w. -]+)\)", text)
    assert found, f"expected a loop over brokers of {backend}, found none"
    return sorted(set(" ".join(found).split()))


class ScriptTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name).resolve() / "tree"
        shutil.copytree(ROOT / "script", self.root / "script")
        (self.root / "bin").mkdir()
        self.stub("script/setup", "exit 0")
        self.stub("script/build", "exit 0")

    def stub(self, path, body):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!/usr/bin/env bash\n{body}\n")
        file.chmod(0o755)
        return file

    def run_script(self, *command, folder=None, **environment):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MARQUEE_")}
        clean["PATH"] = f"{self.root}/bin:{clean['PATH']}"
        return subprocess.run([str(part) for part in command], cwd=folder or self.root, env=clean | environment,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)


class RunTest(ScriptTest):
    GENERATE = "generate --ratings 1000000 --movies 20000 --seed 1 --out ./data/generated/movielens"

    def setUp(self):
        super().setUp()
        # Prints how it was called, and makes what `generate` makes.
        self.stub("build/release/cli/marquee", """echo "$*"
if [[ $1 == generate ]]; then mkdir -p "${@: -1}"; touch "${@: -1}"/{ratings,movies}.csv; fi""")

    def calls(self, *arguments, **options):
        result = self.run_script(self.root / "script/run", *arguments, **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout.splitlines()

    def test_TheFirstRunMakesTheDataAndTheSecondDoesNot(self):
        run = "run --movielens ./data/generated/movielens --data ./data/generated --listen 127.0.0.1:8080"
        self.assertEqual(self.calls(), [self.GENERATE, run])
        self.assertEqual(self.calls(), [run])

    def test_DataThatIsHalfThereIsMadeAnew(self):
        self.calls()
        (self.root / "data/generated/movielens/movies.csv").unlink()
        self.assertEqual(self.calls()[0], self.GENERATE)

    def test_AMovieLensFolderHasADataFolderOfItsOwn(self):
        folders = set()
        for parent in ("a", "b"):
            (self.root / parent / "ml").mkdir(parents=True)
            [call] = self.calls("--movielens", f"{parent}/ml")
            self.assertRegex(call, rf"^run --data \./data/ml-[0-9a-f]{{8}} --listen \S+ --movielens {parent}/ml$")
            folders.add(call.split()[2])
        self.assertEqual(len(folders), 2)
        [same] = self.calls(f"--movielens={self.root}/a/../a/ml/")
        self.assertIn(same.split()[2], folders)

    def test_ArgumentsAndTheEnvironmentWinOverTheDefaults(self):
        self.calls()
        [call] = self.calls("--data", "x", "--listen=:9", "--once")
        self.assertEqual(call, "run --movielens ./data/generated/movielens --data x --listen=:9 --once")
        [call] = self.calls(MARQUEE_DATA="x", MARQUEE_LISTEN=":9")
        self.assertEqual(call, "run --movielens ./data/generated/movielens")
        self.assertEqual(self.calls("--config", "x.toml"), ["run --config x.toml"])

    def test_FromAnotherFolderItUsesTheSameData(self):
        calls = self.calls(folder="/")
        self.assertEqual(calls[1], f"run --movielens {self.root}/data/generated/movielens --data {self.root}/data/generated "
                                   "--listen 127.0.0.1:8080")

    def test_ItsExitCodeIsTheProgrammes(self):
        self.stub("build/release/cli/marquee", "exit 3")
        self.assertEqual(self.run_script(self.root / "script/run", "--config", "x").returncode, 3)

    def test_ABuildThatFailsEndsIt(self):
        self.stub("script/build", "exit 1")
        result = self.run_script(self.root / "script/run")
        self.assertEqual((result.returncode, result.stdout), (1, ""))


class TestTest(ScriptTest):
    def setUp(self):
        super().setUp()
        self.stub("bin/ctest", "echo '100% tests passed, 0 tests failed out of 25'")
        self.stub("tests/layout/cmake_targets.py", "echo base_test")
        self.stub("script/lint", "echo 'lint: 4 passed, 0 failed'")
        self.stub("script/model", "echo model")
        for name in ("kafka", "rabbitmq"):
            self.stub(f"script/{name}", f'echo "$*" >> "$(dirname "$0")/../{name}"')

    def closing(self, *arguments, **environment):
        result = self.run_script(self.root / "script/test", *arguments, **environment)
        return result.stdout.splitlines()[-1], result.returncode

    def test_TheLastLineSumsAllStages(self):
        self.assertEqual(self.closing(), ("130 passed, 0 failed", 0))
        self.assertEqual(self.closing("--quick"), ("29 passed, 0 failed", 0))

    def test_AStageThatFailsIsCountedAndTheOthersRun(self):
        self.stub("bin/ctest", "echo '92% tests passed, 2 tests failed out of 25'; exit 8")
        self.assertEqual(self.closing("--quick"), ("27 passed, 2 failed", 1))

    def test_AFailureThatNobodyCountedIsOne(self):
        self.stub("script/model", "exit 1")
        self.assertEqual(self.closing(), ("129 passed, 1 failed", 1))
        self.stub("bin/ctest", "echo 'No tests were found!!!'; exit 8")
        self.assertEqual(self.closing("--quick"), ("4 passed, 1 failed", 1))

    def test_ABuildThatFailsIsAFailureAlthoughTheTestsPass(self):
        self.stub("script/build", "exit 1")
        self.assertEqual(self.closing("--quick"), ("29 passed, 1 failed", 1))

    def test_TheTsanStageBuildsWhatItsTestsRun(self):
        self.stub("script/build", 'echo "$*" >> "$(dirname "$0")/../built"')
        self.closing()
        self.assertIn("tsan base_test", (self.root / "built").read_text().splitlines())

    def test_TheClustersOfTheTestsAreEndedWhateverHappened(self):
        ended = [f"wipe --name test{nodes}" for nodes in brokers("kafka", "nodes")]
        ended_rabbitmq = [f"wipe --name test-{broker}" for broker in brokers("rabbitmq", "broker")]
        self.closing()
        self.assertEqual((self.root / "rabbitmq").read_text().splitlines(), ended_rabbitmq)
        self.assertEqual((self.root / "kafka").read_text().splitlines(), ["fetch", *ended])
        (self.root / "kafka").unlink()
        self.stub("bin/ctest", "kill $PPID; exit 1")
        self.closing("--quick")
        self.assertEqual((self.root / "kafka").read_text().splitlines(), ended)

    def test_ItRefusesWhatItDoesNotKnow(self):
        self.assertEqual(self.run_script(self.root / "script/test", "--sok").returncode, 2)
        self.assertEqual(self.run_script(self.root / "script/test", "--soak", "0").returncode, 2)


class FuzzTest(ScriptTest):
    def fuzz(self, body, seconds="1"):
        corpus = self.root / "corpus"
        corpus.mkdir(exist_ok=True)
        (corpus / "seed").write_text("seed")
        target = self.stub("bin/x_fuzz", body)
        result = self.run_script(self.root / "script/fuzz-one", target, corpus, MARQUEE_FUZZ_SECONDS=seconds)
        return result.returncode, sorted(path.name for path in corpus.iterdir())

    def test_ATargetThatCrashesFails(self):
        self.assertEqual(self.fuzz('[[ $* != *max_total_time* ]] || kill -ABRT $$')[0] != 0, True)

    def test_ACorpusThatCrashesFails(self):
        self.assertEqual(self.fuzz('[[ $* != *corpus/seed* ]]')[0] != 0, True)

    def test_TheCorpusStaysAsItIs(self):
        self.assertEqual(self.fuzz('touch "${@: -1}/found" 2>/dev/null; exit 0'), (0, ["seed"]))

    def test_NoTargetAndNoCorpusAreWrongUsage(self):
        self.assertEqual(self.run_script(self.root / "script/fuzz-one", "nothing", self.root).returncode, 2)
        self.assertEqual(self.run_script(self.root / "script/fuzz-one", "/bin/true", "nothing").returncode, 2)


class SetupTest(ScriptTest):
    def setUp(self):
        super().setUp()
        shutil.copyfile(ROOT / "script/setup", self.root / "script/setup")
        self.stub("bin/id", "echo 0")
        self.stub("bin/mkdir", "exit 0")
        self.stub("bin/apt-get", 'echo "apt-get $*"')
        self.stub("bin/dpkg-query", '[[ "${@: -1}" == ninja-build ]] || printf installed')

    def setup(self, *groups):
        result = self.run_script(self.root / "script/setup", *groups)
        return result.returncode, [line for line in result.stderr.splitlines() if line.startswith("apt-get")]

    def test_OnlyWhatIsMissingIsInstalled(self):
        code, calls = self.setup()
        self.assertEqual((code, len(calls)), (0, 2))
        self.assertTrue(calls[0].endswith(" update"))
        self.assertTrue(calls[1].endswith(" ninja-build"), calls[1])

    def test_NothingIsDoneWhereNothingIsMissing(self):
        self.stub("bin/dpkg-query", "printf installed")
        self.assertEqual(self.setup("test", "bench"), (0, []))

    def test_WithoutRootItUsesSudoAndSaysWhatIsMissingWithoutIt(self):
        self.stub("bin/id", "echo 1000")
        self.stub("bin/sudo", '[[ $1 != apt-get ]] || echo "apt-get with sudo"')
        self.assertEqual(self.setup()[1], ["apt-get with sudo"])
        # Where there is none: nothing but these is on the path.
        (self.root / "bin/sudo").unlink()
        for tool in ("awk", "bash", "dirname", "env"):
            (self.root / "bin" / tool).symlink_to(shutil.which(tool))
        result = self.run_script(self.root / "script/setup", PATH=str(self.root / "bin"))
        self.assertEqual(result.returncode, 1)
        self.assertIn("apt-get install ninja-build", result.stderr)

    def test_APackageThatCannotBeHadIsAnError(self):
        self.stub("bin/apt-get", '[[ $* != *install* ]]')
        self.assertEqual(self.setup()[0], 1)


class KafkaTest(ScriptTest):
    def setUp(self):
        super().setUp()
        # What a node needs to be formatted and to answer; java itself stays until it is ended.
        shutil.copytree(ROOT / "tests/kafka", self.root / "tests/kafka")
        self.stub("script/jars", "exit 0")
        self.stub("bin/java", """case "$*" in
  *StorageTool*) echo formatted ;;
  *kafka.Kafka*) exec sleep 60 ;;
  *) echo "tool ${*: -2}" ;;
esac""")
        self.stub("bin/kcat", "echo ' 1 brokers:'")
        self.addCleanup(lambda: self.kafka("wipe", "--nodes", "3"))
        self.addCleanup(lambda: self.kafka("wipe"))

    def kafka(self, *arguments):
        result = self.run_script(self.root / "script/kafka", *arguments)
        return result.returncode, result.stdout.strip(), result.stderr.strip()

    def test_EveryVerbIsInTheHelp(self):
        verbs = re.findall(r"^  ([a-z]+)(?: \| [a-z]+)*\)", (ROOT / "script/kafka").read_text(), re.M)
        code, words, _ = self.kafka("--help")
        self.assertEqual(code, 0)
        self.assertGreater(len(verbs), 7)
        for verb in verbs:
            self.assertIn(f"script/kafka {verb}", words)

    def test_WhatItDoesNotKnowIsWrongUsage(self):
        for call in ([], ["begin"], ["start", "--nodes", "2"], ["start", "--node", "1"], ["url", "--name"],
                     ["start", "--name", "../x"]):
            self.assertEqual(self.kafka(*call)[0], 2, call)

    def test_AClusterThatDoesNotRunHasNoAddress(self):
        code, words, error = self.kafka("url")
        self.assertEqual((code, words), (1, ""))
        self.assertIn("nodes1 does not run; script/kafka start --name nodes1", error)

    def test_ItStartsOnceAndStopsWhatItStarted(self):
        code, started, error = self.kafka("start")
        self.assertEqual(code, 0, error)
        url = started.split()[-1]
        self.assertRegex(url, r"^kafka://127\.0\.0\.1:\d+$")
        self.assertEqual(self.kafka("start")[1], f"script/kafka: nodes1 runs already: {url}")
        self.assertEqual(self.kafka("url")[1], url)
        pid = re.search(r"process (\d+)$", self.kafka("status")[1]).group(1)
        self.kafka("stop")
        self.assertEqual(self.kafka("status")[0], 1)
        self.assertFalse(pathlib.Path("/proc", pid).exists() and "Z" not in pathlib.Path("/proc", pid, "stat").read_text())

    def test_AProcessThatOnlyHasTheIdOfANodeIsNotEnded(self):
        self.kafka("start")
        record = self.root / "build/kafka/nodes1/1/pid"
        node = record.read_text().split()[0]
        other = subprocess.Popen(["sleep", "60"])
        self.addCleanup(other.wait)
        self.addCleanup(other.kill)
        self.addCleanup(lambda: os.kill(int(node), signal.SIGKILL))
        record.write_text(f"{other.pid} 1\n")
        self.assertEqual(self.kafka("status")[0], 1)
        self.kafka("stop")
        self.assertIsNone(other.poll())

    def test_AToolGetsTheAddressAndItsOwnOptions(self):
        self.kafka("start")
        self.assertEqual(self.kafka("tool", "TopicCommand", "--list", "--nodes"), (0, "tool --list --nodes", ""))


class RabbitmqTest(ScriptTest):
    """Without a broker: the suite of messaging/rabbitmq starts, kills and ends real ones."""

    def rabbitmq(self, *arguments):
        return self.run_script(self.root / "script/rabbitmq", *arguments)

    def test_EveryVerbIsInTheHelp(self):
        result = self.rabbitmq("--help")
        self.assertEqual(result.returncode, 0)
        for word in ("start", "stop", "wipe", "url", "status", "kill", "restart", "ctl", "--nodes", "--release", "--name",
                     "--node"):
            self.assertIn(word, result.stdout)

    def test_WhatItDoesNotKnowIsWrongUsage(self):
        for arguments in ([], ["begin"], ["start", "--nodes", "2"], ["start", "--release", "3.9"], ["start", "--nodes"],
                          ["start", "--name", "../x"], ["kill", "--node", "2"], ["stop", "now"]):
            result = self.rabbitmq(*arguments)
            self.assertEqual(result.returncode, 2, arguments)
            self.assertNotEqual(result.stderr, "", arguments)

    def test_ABrokerThatWasNeverStartedHasNoUrl(self):
        for verb in ("url", "status", "ctl", "kill", "restart"):
            result = self.rabbitmq(verb)
            self.assertEqual(result.returncode, 1, verb)
            self.assertIn("script/rabbitmq start makes one", result.stderr)

    def test_WhatDoesNotRunCanBeStoppedAndWiped(self):
        for verb in ("stop", "wipe"):
            self.assertEqual(self.rabbitmq(verb).returncode, 0, verb)

    def test_AProcessThatOnlyHasTheIdOfANodeIsNotEnded(self):
        folder = self.root / "build/rabbitmq/3.10-1"
        (folder / "node-1").mkdir(parents=True)
        (folder / "kind").write_text("3.10 1\n")
        (folder / "ports").write_text("20001 20002 20003\n")
        stranger = subprocess.Popen(["sleep", "60"])
        self.addCleanup(stranger.wait)
        self.addCleanup(stranger.kill)
        (folder / "node-1/pid").write_text(f"{stranger.pid} 1\n")
        self.assertEqual(self.rabbitmq("stop").returncode, 0)
        self.assertIsNone(stranger.poll())
        self.assertEqual(self.rabbitmq("wipe").returncode, 0)
        self.assertFalse(folder.exists())


if __name__ == "__main__":
    unittest.main()
