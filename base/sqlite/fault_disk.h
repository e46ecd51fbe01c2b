// A disk for tests that forgets what was not synced. Files are names of bytes in memory; each
// remembers the image that is durable and every write since, so that a power loss can keep, lose or
// tear each of them.
//
// What a power loss does, drawn from a seed:
//   - each 512-byte sector becomes any of the versions it has had since the last sync of its file,
//     in any order among sectors, or the first bytes of one version and the rest of another (bytes
//     outside a write never change);
//   - a cut of a file's size is there for all of its sectors or for none, and only after those
//     before it;
//   - a file's size becomes any it has had since the last cut that is there;
//   - a name points to any file it has pointed to since the last sync of its directory (or to
//     none).
// A sync that failed makes nothing durable, then or later: what was written before it stays
// readable until the power is lost, as on Linux, where a failed fsync marks the pages clean.
//
// Ownership: files are shared; a file that has lost its name lives as long as somebody holds it.
// Threads: one at a time (FaultVfs locks).
#ifndef MARQUEE_BASE_SQLITE_FAULT_DISK_H_
#define MARQUEE_BASE_SQLITE_FAULT_DISK_H_

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"

namespace marquee::sqlite {

inline constexpr size_t kFaultSectorBytes = 512;

class FaultFile {
 public:
  FaultFile() = default;
  // A file whose content is durable.
  explicit FaultFile(std::string durable) : live_(durable), durable_(std::move(durable)) {}

  size_t size() const { return live_.size(); }
  const std::string& live() const { return live_; }
  // Fills `out` from `offset`, with zeros beyond the end. False where the file was too short.
  bool Read(size_t offset, std::span<char> out) const;
  void Write(size_t offset, std::string_view bytes);
  void Truncate(size_t size);

  void Sync();
  void FailSync();
  // What a power loss leaves; `keep_percent` of the sectors get their newest version.
  std::string AfterPowerLoss(Random& random, uint64_t keep_percent) const;

 private:
  struct Change {
    size_t offset = 0;
    std::string bytes;
    bool truncates = false;  // then `offset` is the new size
  };
  // What each sector, and the size, may be after a power loss.
  struct Possible {
    std::map<size_t, std::vector<std::string>> sectors;
    std::vector<size_t> sizes;
  };

  static void Apply(const Change& change, std::string* image);
  // With the first `cuts` cuts of the size there, and no later one.
  Possible PossibleWith(size_t cuts) const;
  static void AddWrite(const Change& change, const std::string& durable, Possible* possible);
  static void AddCut(size_t size, const std::string& durable, Possible* possible);

  std::string live_;
  std::string durable_;
  std::vector<Change> unsynced_;
};

class FaultDisk {
 public:
  using File = std::shared_ptr<FaultFile>;

  // Null where there is none.
  File Find(const std::string& name) const;
  File Create(const std::string& name);
  void Delete(const std::string& name);
  // Makes the names of `directory` durable as they are.
  void SyncDirectory(const std::string& directory);
  // Replaces every file by what survived; files that are held go on as they were, but are no longer
  // the disk's.
  void LosePower(uint64_t seed);

  std::vector<std::string> Names() const;
  size_t TotalBytes() const;

  static std::string DirectoryOf(const std::string& name);

 private:
  // What a name has pointed to since its directory was synced: the first is durable, the last is
  // seen.
  std::map<std::string, std::vector<File>> names_;
};

}  // namespace marquee::sqlite

#endif  // MARQUEE_BASE_SQLITE_FAULT_DISK_H_
