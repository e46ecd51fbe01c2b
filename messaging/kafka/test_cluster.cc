#include "messaging/kafka/test_cluster.h"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/status.h"

namespace marquee::messaging::kafka {
namespace {

constexpr int kStopMsMax = 10'000;

std::string Quoted(const std::string& word) {
  std::string quoted = "'";
  for (char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

// Where script/kafka keeps its clusters.
std::string Home() {
  const char* home = std::getenv("MARQUEE_KAFKA_HOME");
  return home != nullptr ? home : MARQUEE_KAFKA_BUILD;
}

std::string ForeignUrl() {
  const char* url = std::getenv("MARQUEE_TEST_KAFKA");
  return url != nullptr ? url : "";
}

// Whether every thread of the process is stopped. The others go on until the one that takes the
// signal has had its turn.
bool StandsStill(pid_t pid) {
  for (const auto& task : std::filesystem::directory_iterator(fmt::format("/proc/{}/task", pid))) {
    std::ifstream file(task.path() / "stat");
    std::string line;
    std::getline(file, line);
    size_t name_ends = line.rfind(')');
    if (name_ends != std::string::npos && line.substr(name_ends + 2, 1) != "T") return false;
  }
  return true;
}

}  // namespace

int TestCluster::NodesWanted() {
  const char* text = std::getenv("MARQUEE_TEST_KAFKA_NODES");
  return text != nullptr && std::string(text) == "3" ? 3 : 1;
}

TestCluster::TestCluster(int nodes) : nodes_(nodes), foreign_(!ForeignUrl().empty()) {
  if (foreign_) {
    url_ = ForeignUrl();
  } else {
    Start();
  }
}

std::string TestCluster::Script(const std::vector<std::string>& arguments, bool may_fail) {
  // A tool takes all that stands behind its name.
  std::string command = fmt::format("{} {} --nodes {} --name test{}", Quoted(MARQUEE_KAFKA_SCRIPT),
                                    Quoted(arguments.at(0)), nodes_, nodes_);
  for (size_t i = 1; i < arguments.size(); ++i) command += " " + Quoted(arguments[i]);
  command += " 2>&1";
  FILE* pipe = popen(command.c_str(), "re");
  MARQUEE_CHECK(pipe != nullptr);
  std::string output;
  char bytes[4096];
  while (size_t size = fread(bytes, 1, sizeof bytes, pipe)) output.append(bytes, size);
  int status = pclose(pipe);
  bool ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  if (!ok && !may_fail) std::fprintf(stderr, "%s\n%s\n", command.c_str(), output.c_str());
  MARQUEE_CHECK(ok || may_fail);
  while (!output.empty() && output.back() == '\n') output.pop_back();
  return output;
}

void TestCluster::Start() {
  if (foreign_) return;
  url_ = Script({"url"}, /*may_fail=*/true);
  if (url_.starts_with("kafka://")) return;
  (void)Script({"start"});
  url_ = Script({"url"});
}

void TestCluster::Kill(int node) {
  if (!foreign_) (void)Script({"kill", fmt::format("{}", node)});
}

void TestCluster::Restart() {
  if (foreign_) return;
  doomed_ = doomed_ % nodes_ + 1;
  Kill(doomed_);
  // On its ports, which clients know.
  (void)Script({"restart", fmt::format("{}", doomed_)});
}

std::vector<pid_t> TestCluster::Signal(int signal) {
  std::vector<pid_t> signalled;
  for (int node = 1; node <= nodes_ && !foreign_; ++node) {
    std::ifstream file(fmt::format("{}/test{}/{}/pid", Home(), nodes_, node));
    pid_t pid = 0;
    MARQUEE_CHECK(file >> pid);
    MARQUEE_CHECK(pid > 1 && kill(pid, signal) == 0);
    signalled.push_back(pid);
  }
  return signalled;
}

void TestCluster::Freeze() {
  for (pid_t pid : Signal(SIGSTOP)) {
    for (int waited_ms = 0; !StandsStill(pid); ++waited_ms) {
      MARQUEE_CHECK(waited_ms < kStopMsMax);
      usleep(1000);
    }
  }
}

void TestCluster::Resume() {
  Signal(SIGCONT);
  if (!foreign_ && nodes_ > 1) (void)Script({"wait"});
}

std::string TestCluster::Tool(const std::vector<std::string>& arguments) {
  std::vector<std::string> words = {"tool"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return Script(words);
}

}  // namespace marquee::messaging::kafka
