// The conformance suite on `sqlite:`, in folders of the system's temporary directory.
#include "messaging/conformance/conformance.h"

#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/sqlite/database.h"
#include "base/status.h"
#include "messaging/sqlite/sqlite_broker.h"

namespace marquee::messaging {
namespace {

std::string MakeDirectory() {
  std::string path = std::filesystem::temp_directory_path() / "marquee-sqlite-XXXXXX";
  MARQUEE_CHECK(mkdtemp(path.data()) != nullptr);
  return path;
}

absl::StatusOr<std::unique_ptr<Broker>> OpenUrl(std::string_view url, const BrokerOptions& options,
                                                Clock& clock) {
  constexpr std::string_view kScheme = "sqlite:";
  MARQUEE_CHECK(url.starts_with(kScheme));
  return OpenSqliteBroker(std::string(url.substr(kScheme.size())), options, clock);
}

class SqliteBackend final : public conformance::Backend {
 public:
  SqliteBackend() : directory_(MakeDirectory()) {}
  ~SqliteBackend() override { std::filesystem::remove_all(directory_); }

  absl::StatusOr<std::unique_ptr<Broker>> Open(const BrokerOptions& options,
                                               Clock& clock) override {
    return OpenSqliteBroker(directory_, options, clock);
  }

  // The library is all the server there is; nothing of it is left in this process.
  void RestartServer() override {}

  // Another process that writes for ever, as far as its locks go.
  void SetReachable(bool reachable) override {
    for (sqlite::Database& database : locks_) MARQUEE_CHECK(database.Execute("ROLLBACK").ok());
    locks_.clear();
    if (reachable) return;
    for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
      std::string name = entry.path().filename();
      if (entry.path().extension() != ".db" || name == "topics.db" || name == "groups.db") continue;
      absl::StatusOr<sqlite::Database> database = sqlite::Database::Open(entry.path(), {});
      MARQUEE_CHECK(database.ok());
      MARQUEE_CHECK(database->Execute("BEGIN IMMEDIATE").ok());
      locks_.push_back(*std::move(database));
    }
  }

  std::unique_ptr<conformance::Peer> SpawnPeer(const conformance::PeerScript& script) override {
    return conformance::SpawnProcess("sqlite:" + directory_, script);
  }

 private:
  const std::string directory_;
  std::vector<sqlite::Database> locks_;
};

}  // namespace
}  // namespace marquee::messaging

int main(int argc, char** argv) {
  using marquee::messaging::OpenUrl;
  using marquee::messaging::SqliteBackend;
  namespace conformance = marquee::messaging::conformance;
  conformance::Suite suite;
  suite.make_backend = [] { return std::make_unique<SqliteBackend>(); };
  suite.open = OpenUrl;
  return conformance::ConformanceMain(argc, argv, suite);
}
