// A SQLite VFS for tests: databases on a simulated disk (fault_disk.h) that forgets unsynced
// writes, tears them, and fails at a drawn moment. Supports WAL and any number of connections and
// threads of one process.
//
//   FaultVfs vfs("fault");                                  // registered with SQLite under this
//   name Database::Open("/d/x.db", {.vfs = vfs.name()});         // paths are names; no directory
//   has to be there vfs.CutPowerAfter(random.Below(200));                   // from then on
//   everything fails … work until it fails … vfs.PowerLoss(seed); // the disk is what survived;
//   open again, look
//
// Ownership: registered while it lives. REQUIRES: every connection on it is closed before it is
// destroyed. Threads: every method from any thread.
#ifndef MARQUEE_BASE_SQLITE_FAULT_VFS_H_
#define MARQUEE_BASE_SQLITE_FAULT_VFS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace marquee::sqlite {

enum class Fault {
  kWriteError,  // SQLITE_IOERR_WRITE; nothing is written
  kSyncError,   // SQLITE_IOERR_FSYNC; what was unsynced stays readable, and is lost with the power
                // whatever follows
  kDiskFull,    // SQLITE_FULL for a write that would make a file longer; others succeed
};

class FaultVfs {
 public:
  explicit FaultVfs(std::string name);
  ~FaultVfs();
  FaultVfs(const FaultVfs&) = delete;
  FaultVfs& operator=(const FaultVfs&) = delete;

  const std::string& name() const;

  // The `nth` (0: the next) write or sync that the fault could hit from now on fails; with
  // `until_healed` all that follow as well.
  void FailAfter(Fault fault, uint64_t nth, bool until_healed);
  // Ends every fault that was asked for and has not come, or goes on. A cut of the power stays.
  void Heal();

  // After `operations` more writes, syncs, size changes, creations and deletions every call on
  // every file fails, until PowerLoss.
  void CutPowerAfter(uint64_t operations);
  // Forgets, as drawn from `seed`, what was not synced. Handles that are open return errors for
  // ever; what is opened from now on sees what survived. Faults and cuts that were asked for are
  // off.
  void PowerLoss(uint64_t seed);

  // As if the process had died and the machine had not: open handles return errors for ever, and
  // what was not synced is still there, and still not durable. Faults and cuts that were asked for
  // are off.
  void ProcessDeath();

  // How much has been done so far: for tests that count syncs, or draw a moment.
  uint64_t operations() const;
  uint64_t writes() const;
  uint64_t syncs() const;
  uint64_t bytes() const;  // of all files, now

  std::vector<std::string> FileNames() const;
  // What a file holds now; empty where there is none.
  std::string Contents(const std::string& name) const;
  // Damages a file in place, durably: for bit rot. REQUIRES: it is there and long enough.
  void Overwrite(const std::string& name, size_t offset, std::string_view bytes);

  struct State;  // of the implementation

 private:
  std::unique_ptr<State> state_;
};

}  // namespace marquee::sqlite

#endif  // MARQUEE_BASE_SQLITE_FAULT_VFS_H_
