// Peers that are processes: this same program, started again.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "messaging/conformance/peer.h"

extern char** environ;

namespace marquee::messaging::conformance {
namespace {

constexpr char kPeerFlag[] = "--peer";
// argv: program, --peer, url, and the script.
constexpr int kPeerArguments = 11;
constexpr size_t kReadBytes = 64 << 10;

std::vector<std::string> ToArguments(std::string_view url, const PeerScript& script) {
  return {"/proc/self/exe",
          kPeerFlag,
          std::string(url),
          script.role == PeerScript::Role::kPublisher ? "publisher" : "member",
          script.name,
          absl::StrJoin(script.topics, ","),
          script.group,
          absl::StrCat(absl::ToInt64Milliseconds(script.session_timeout)),
          absl::StrCat(script.keys),
          absl::StrCat(script.burst_max),
          absl::StrCat(script.seed)};
}

bool FromArguments(char** argv, PeerScript* script) {
  script->role = std::strcmp(argv[3], "publisher") == 0 ? PeerScript::Role::kPublisher
                                                        : PeerScript::Role::kMember;
  script->name = argv[4];
  script->topics = absl::StrSplit(argv[5], ',');
  script->group = argv[6];
  int64_t session_timeout_ms = 0;
  bool valid =
      absl::SimpleAtoi(argv[7], &session_timeout_ms) && absl::SimpleAtoi(argv[8], &script->keys) &&
      absl::SimpleAtoi(argv[9], &script->burst_max) && absl::SimpleAtoi(argv[10], &script->seed);
  script->session_timeout = absl::Milliseconds(session_timeout_ms);
  return valid;
}

class ProcessPeer final : public Peer {
 public:
  ProcessPeer(pid_t pid, int input, int output) : pid_(pid), input_(input), output_(output) {}
  ~ProcessPeer() override {
    Kill();
    CloseInput();
    close(output_);
  }

  void Kill() override {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  void Stop() override {
    if (pid_ <= 0) return;
    kill(pid_, SIGSTOP);
    waitpid(pid_, nullptr, WUNTRACED);
  }
  void Resume() override {
    if (pid_ > 0) kill(pid_, SIGCONT);
  }
  void Finish() override { CloseInput(); }

  std::optional<PeerEvent> Next(absl::Duration wait) override {
    while (true) {
      if (size_t end = buffer_.find('\n'); end != std::string::npos) {
        std::string line = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        if (auto event = PeerEvent::FromLine(line)) return event;
        continue;  // something that is not the script's, a sanitizer's word for instance
      }
      if (!ReadMore(wait)) return std::nullopt;
    }
  }

 private:
  bool ReadMore(absl::Duration wait) {
    pollfd waiting{.fd = output_, .events = POLLIN, .revents = 0};
    if (poll(&waiting, 1, static_cast<int>(absl::ToInt64Milliseconds(wait))) <= 0) return false;
    char bytes[kReadBytes];
    ssize_t size = read(output_, bytes, sizeof bytes);
    if (size <= 0) return false;
    buffer_.append(bytes, static_cast<size_t>(size));
    return true;
  }
  void CloseInput() {
    if (input_ >= 0) close(std::exchange(input_, -1));
  }

  pid_t pid_;
  int input_;  // closed: the peer is to finish
  const int output_;
  std::string buffer_;
};

// Whether the other end still holds this process's standard input open.
bool InputIsOpen() {
  pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
  return poll(&input, 1, 0) == 0;
}

}  // namespace

std::unique_ptr<Peer> SpawnProcess(std::string_view url, const PeerScript& script) {
  std::vector<std::string> arguments = ToArguments(url, script);
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  int input[2], output[2];
  MARQUEE_CHECK(pipe2(input, O_CLOEXEC) == 0 && pipe2(output, O_CLOEXEC) == 0);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO);
  pid_t pid = -1;
  int error = posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  MARQUEE_CHECK(error == 0);
  posix_spawn_file_actions_destroy(&actions);
  close(input[0]);
  close(output[1]);
  return std::make_unique<ProcessPeer>(pid, input[1], output[0]);
}

bool IsPeer(int argc, char** argv) { return argc > 1 && std::strcmp(argv[1], kPeerFlag) == 0; }

int PeerMain(int argc, char** argv, const BrokerOpener& open) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  PeerScript script;
  if (argc != kPeerArguments || !FromArguments(argv, &script)) {
    std::fprintf(stderr, "%s: a peer is started by the conformance suite alone\n", argv[0]);
    return 2;
  }
  SystemClock clock;
  auto emit = [](const PeerEvent& event) {
    std::string line = event.ToLine() + "\n";
    // A pipe takes a line this short as a whole.
    MARQUEE_CHECK(write(STDOUT_FILENO, line.data(), line.size()) ==
                  static_cast<ssize_t>(line.size()));
  };
  auto broker = open(argv[2], BrokerOptions(), clock);
  if (!broker.ok()) {
    emit({.at = clock.Uptime(),
          .kind = PeerEvent::Kind::kFailed,
          .shard = {},
          .number = 0,
          .offset = {},
          .text = std::string(broker.status().message())});
    return 1;
  }
  RunPeer(script, **broker, clock, emit, InputIsOpen);
  return 0;
}

}  // namespace marquee::messaging::conformance
