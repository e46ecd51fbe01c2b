#include "base/sqlite/fault_vfs.h"

#include <sqlite3.h>

#include <array>
#include <atomic>
#include <cstring>
#include <map>
#include <new>
#include <optional>
#include <utility>

#include "base/mutex.h"
#include "base/sqlite/fault_disk.h"
#include "base/status.h"

namespace marquee::sqlite {
namespace {

class Handle;

// What all handles of one file share: its bytes, its locks, and the shared memory of its WAL index.
struct Node {
  struct ShmSlot {
    int shared = 0;
    Handle* exclusive = nullptr;
  };

  FaultDisk::File file;
  int shared = 0;
  Handle* reserved = nullptr;
  Handle* pending = nullptr;
  Handle* exclusive = nullptr;

  std::array<ShmSlot, SQLITE_SHM_NLOCK> shm_slots;
  std::vector<std::unique_ptr<char[]>> shm_regions;
  int shm_users = 0;
};

struct Countdown {
  uint64_t left = 0;
  bool until_healed = false;
  // Whether the fault hits this time.
  bool Hits() {
    if (left > 0) {
      --left;
      return false;
    }
    return true;
  }
};

}  // namespace

struct FaultVfs::State {
  sqlite3_vfs vfs{};
  std::string name;

  Mutex mutex;
  FaultDisk disk ABSL_GUARDED_BY(mutex);
  std::map<FaultFile*, std::weak_ptr<Node>> nodes ABSL_GUARDED_BY(mutex);
  std::array<std::optional<Countdown>, 3> faults ABSL_GUARDED_BY(mutex);
  std::optional<uint64_t> cut_after ABSL_GUARDED_BY(mutex);
  bool power_is_off ABSL_GUARDED_BY(mutex) = false;
  uint64_t epoch ABSL_GUARDED_BY(mutex) = 0;
  uint64_t operations ABSL_GUARDED_BY(mutex) = 0;
  uint64_t writes ABSL_GUARDED_BY(mutex) = 0;
  uint64_t syncs ABSL_GUARDED_BY(mutex) = 0;
  int open_handles ABSL_GUARDED_BY(mutex) = 0;

  // Counts an operation that the power may be cut at; false where it is off.
  bool CountOperation() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    if (cut_after.has_value() && (*cut_after)-- == 0) {
      cut_after.reset();
      power_is_off = true;
    }
    if (!power_is_off) ++operations;
    return !power_is_off;
  }
  bool FaultHits(Fault fault) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    std::optional<Countdown>& countdown = faults[static_cast<size_t>(fault)];
    if (!countdown.has_value() || !countdown->Hits()) return false;
    if (!countdown->until_healed) countdown.reset();
    return true;
  }
  // Locks and shared memory go with their handles.
  void ForgetHandles() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    nodes.clear();
    faults = {};
    cut_after.reset();
    power_is_off = false;
    ++epoch;
  }
  std::shared_ptr<Node> NodeOf(const FaultDisk::File& file) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    std::weak_ptr<Node>& known = nodes[file.get()];
    std::shared_ptr<Node> node = known.lock();
    if (node == nullptr) {
      node = std::make_shared<Node>();
      node->file = file;
      known = node;
    }
    return node;
  }
};

namespace {

// One open file, behind a sqlite3_file.
class Handle {
 public:
  Handle(FaultVfs::State& state, std::shared_ptr<Node> node, std::string name, int flags)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(state.mutex)
      : state_(state),
        node_(std::move(node)),
        name_(std::move(name)),
        flags_(flags),
        epoch_(state.epoch) {
    constexpr int kJournals =
        SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_WAL;
    sync_directory_ = (flags & SQLITE_OPEN_CREATE) != 0 && (flags & kJournals) != 0;
    ++state_.open_handles;
  }

  void Close() {
    MutexLock lock(state_.mutex);
    Unlock(SQLITE_LOCK_NONE);
    LeaveShm();
    if ((flags_ & SQLITE_OPEN_DELETEONCLOSE) != 0 && Works()) state_.disk.Delete(name_);
    --state_.open_handles;
  }

  int Read(void* out, int count, sqlite3_int64 offset) {
    MutexLock lock(state_.mutex);
    if (!Works()) return SQLITE_IOERR_READ;
    bool whole = node_->file->Read(static_cast<size_t>(offset),
                                   {static_cast<char*>(out), static_cast<size_t>(count)});
    return whole ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
  }

  int Write(const void* bytes, int count, sqlite3_int64 offset) {
    MutexLock lock(state_.mutex);
    if (!Works() || !state_.CountOperation()) return SQLITE_IOERR_WRITE;
    ++state_.writes;
    if (state_.FaultHits(Fault::kWriteError)) return SQLITE_IOERR_WRITE;
    size_t end = static_cast<size_t>(offset) + static_cast<size_t>(count);
    if (end > node_->file->size() && state_.FaultHits(Fault::kDiskFull)) return SQLITE_FULL;
    node_->file->Write(static_cast<size_t>(offset),
                       {static_cast<const char*>(bytes), static_cast<size_t>(count)});
    return SQLITE_OK;
  }

  int Truncate(sqlite3_int64 size) {
    MutexLock lock(state_.mutex);
    if (!Works() || !state_.CountOperation()) return SQLITE_IOERR_TRUNCATE;
    node_->file->Truncate(static_cast<size_t>(size));
    return SQLITE_OK;
  }

  int Sync() {
    MutexLock lock(state_.mutex);
    if (!Works() || !state_.CountOperation()) return SQLITE_IOERR_FSYNC;
    ++state_.syncs;
    if (state_.FaultHits(Fault::kSyncError)) {
      node_->file->FailSync();
      return SQLITE_IOERR_FSYNC;
    }
    node_->file->Sync();
    if (std::exchange(sync_directory_, false)) {
      state_.disk.SyncDirectory(FaultDisk::DirectoryOf(name_));
    }
    return SQLITE_OK;
  }

  int Size(sqlite3_int64* size) {
    MutexLock lock(state_.mutex);
    if (!Works()) return SQLITE_IOERR_FSTAT;
    *size = static_cast<sqlite3_int64>(node_->file->size());
    return SQLITE_OK;
  }

  int Lock(int level) {
    MutexLock lock(state_.mutex);
    if (!Works()) return SQLITE_IOERR_LOCK;
    while (level_ < level) {
      int next = level_ == SQLITE_LOCK_NONE ? SQLITE_LOCK_SHARED : level;
      if (!Raise(next)) return SQLITE_BUSY;
      level_ = next;
    }
    return SQLITE_OK;
  }

  int UnlockTo(int level) {
    MutexLock lock(state_.mutex);
    Unlock(level);
    return SQLITE_OK;
  }

  int CheckReserved(int* reserved) {
    MutexLock lock(state_.mutex);
    if (!Works()) return SQLITE_IOERR_CHECKRESERVEDLOCK;
    *reserved =
        node_->reserved != nullptr || node_->pending != nullptr || node_->exclusive != nullptr;
    return SQLITE_OK;
  }

  int MapShm(int region, int size, int extend, void volatile** out) {
    MutexLock lock(state_.mutex);
    *out = nullptr;
    if (!Works()) return SQLITE_IOERR_SHMMAP;
    if (!uses_shm_) {
      uses_shm_ = true;
      ++node_->shm_users;
    }
    auto index = static_cast<size_t>(region);
    if (index >= node_->shm_regions.size()) {
      if (extend == 0) return SQLITE_OK;
      while (index >= node_->shm_regions.size()) {
        node_->shm_regions.push_back(std::make_unique<char[]>(static_cast<size_t>(size)));
      }
    }
    *out = node_->shm_regions[index].get();
    return SQLITE_OK;
  }

  int LockShm(int first, int count, int flags) {
    MutexLock lock(state_.mutex);
    auto mask = static_cast<uint32_t>(((1 << count) - 1) << first);
    if ((flags & SQLITE_SHM_UNLOCK) != 0) {
      UnlockShm(mask);
      return SQLITE_OK;
    }
    if (!Works()) return SQLITE_IOERR_SHMLOCK;
    bool exclusive = (flags & SQLITE_SHM_EXCLUSIVE) != 0;
    for (int i = first; i < first + count; ++i) {
      const Node::ShmSlot& slot = node_->shm_slots[static_cast<size_t>(i)];
      int shared_by_others = slot.shared - ((shm_shared_ >> i & 1) != 0 ? 1 : 0);
      bool taken = slot.exclusive != nullptr && slot.exclusive != this;
      if (taken || (exclusive && shared_by_others > 0)) return SQLITE_BUSY;
    }
    for (int i = first; i < first + count; ++i) {
      Node::ShmSlot& slot = node_->shm_slots[static_cast<size_t>(i)];
      if (exclusive) {
        slot.exclusive = this;
        shm_exclusive_ |= 1u << i;
      } else if ((shm_shared_ >> i & 1) == 0) {
        ++slot.shared;
        shm_shared_ |= 1u << i;
      }
    }
    return SQLITE_OK;
  }

  int UnmapShm() {
    MutexLock lock(state_.mutex);
    LeaveShm();
    return SQLITE_OK;
  }

 private:
  bool Works() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(state_.mutex) {
    return !state_.power_is_off && epoch_ == state_.epoch;
  }

  bool Raise(int level) {
    Node& node = *node_;
    auto mine = [this](const Handle* owner) { return owner == nullptr || owner == this; };
    switch (level) {
      case SQLITE_LOCK_SHARED:
        if (node.pending != nullptr || node.exclusive != nullptr) return false;
        ++node.shared;
        return true;
      case SQLITE_LOCK_RESERVED:
        if (!mine(node.reserved) || !mine(node.pending)) return false;
        node.reserved = this;
        return true;
      default:
        if (!mine(node.reserved) || !mine(node.pending)) return false;
        node.pending = this;
        if (node.shared > 1) return false;
        node.exclusive = this;
        return true;
    }
  }

  void Unlock(int level) {
    Node& node = *node_;
    if (level <= SQLITE_LOCK_SHARED) {
      for (Handle** owner : {&node.reserved, &node.pending, &node.exclusive}) {
        if (*owner == this) *owner = nullptr;
      }
    }
    if (level == SQLITE_LOCK_NONE && level_ >= SQLITE_LOCK_SHARED) --node.shared;
    if (level < level_) level_ = level;
  }

  void UnlockShm(uint32_t mask) {
    for (size_t i = 0; i < SQLITE_SHM_NLOCK; ++i) {
      uint32_t bit = 1u << i;
      if ((mask & bit) == 0) continue;
      Node::ShmSlot& slot = node_->shm_slots[i];
      if ((shm_shared_ & bit) != 0) --slot.shared;
      if (slot.exclusive == this) slot.exclusive = nullptr;
    }
    shm_shared_ &= ~mask;
    shm_exclusive_ &= ~mask;
  }

  void LeaveShm() {
    UnlockShm((1u << SQLITE_SHM_NLOCK) - 1);
    // The index is rebuilt from the WAL by whoever comes next, as after the last process has gone.
    if (std::exchange(uses_shm_, false) && --node_->shm_users == 0) node_->shm_regions.clear();
  }

  FaultVfs::State& state_;
  const std::shared_ptr<Node> node_;
  const std::string name_;
  const int flags_;
  const uint64_t epoch_;
  bool sync_directory_ = false;
  int level_ = SQLITE_LOCK_NONE;
  bool uses_shm_ = false;
  uint32_t shm_shared_ = 0;
  uint32_t shm_exclusive_ = 0;
};

struct SqliteFile {
  sqlite3_file base;
  Handle* handle;
};

Handle& Of(sqlite3_file* file) { return *reinterpret_cast<SqliteFile*>(file)->handle; }

FaultVfs::State& Of(sqlite3_vfs* vfs) { return *static_cast<FaultVfs::State*>(vfs->pAppData); }

int CloseFile(sqlite3_file* file) {
  Handle* handle = &Of(file);
  handle->Close();
  delete handle;
  return SQLITE_OK;
}

const sqlite3_io_methods kMethods = {
    .iVersion = 2,
    .xClose = CloseFile,
    .xRead = [](sqlite3_file* f, void* out, int n,
                sqlite3_int64 at) { return Of(f).Read(out, n, at); },
    .xWrite = [](sqlite3_file* f, const void* in, int n,
                 sqlite3_int64 at) { return Of(f).Write(in, n, at); },
    .xTruncate = [](sqlite3_file* f, sqlite3_int64 size) { return Of(f).Truncate(size); },
    .xSync = [](sqlite3_file* f, int) { return Of(f).Sync(); },
    .xFileSize = [](sqlite3_file* f, sqlite3_int64* size) { return Of(f).Size(size); },
    .xLock = [](sqlite3_file* f, int level) { return Of(f).Lock(level); },
    .xUnlock = [](sqlite3_file* f, int level) { return Of(f).UnlockTo(level); },
    .xCheckReservedLock = [](sqlite3_file* f, int* out) { return Of(f).CheckReserved(out); },
    .xFileControl = [](sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; },
    .xSectorSize = [](sqlite3_file*) { return 4096; },
    .xDeviceCharacteristics = [](sqlite3_file*) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; },
    .xShmMap = [](sqlite3_file* f, int region, int size, int extend,
                  void volatile** out) { return Of(f).MapShm(region, size, extend, out); },
    .xShmLock = [](sqlite3_file* f, int first, int n,
                   int flags) { return Of(f).LockShm(first, n, flags); },
    .xShmBarrier = [](sqlite3_file*) { std::atomic_thread_fence(std::memory_order_seq_cst); },
    .xShmUnmap = [](sqlite3_file* f, int) { return Of(f).UnmapShm(); },
    .xFetch = nullptr,
    .xUnfetch = nullptr,
};

int OpenFile(sqlite3_vfs* vfs, const char* path, sqlite3_file* out, int flags, int* out_flags) {
  FaultVfs::State& state = Of(vfs);
  out->pMethods = nullptr;
  MutexLock lock(state.mutex);
  if (state.power_is_off) return SQLITE_IOERR;
  std::string name = path != nullptr ? path : "";
  FaultDisk::File file = path != nullptr ? state.disk.Find(name) : std::make_shared<FaultFile>();
  if (file != nullptr && path != nullptr && (flags & SQLITE_OPEN_EXCLUSIVE) != 0)
    return SQLITE_CANTOPEN;
  if (file == nullptr) {
    if ((flags & SQLITE_OPEN_CREATE) == 0) return SQLITE_CANTOPEN;
    if (!state.CountOperation()) return SQLITE_IOERR;
    file = state.disk.Create(name);
  }
  auto* opened = reinterpret_cast<SqliteFile*>(out);
  opened->handle = new Handle(state, state.NodeOf(file), std::move(name), flags);
  opened->base.pMethods = &kMethods;
  if (out_flags != nullptr) *out_flags = flags;
  return SQLITE_OK;
}

int DeleteFile(sqlite3_vfs* vfs, const char* path, int sync_directory) {
  FaultVfs::State& state = Of(vfs);
  MutexLock lock(state.mutex);
  if (state.power_is_off) return SQLITE_IOERR_DELETE;
  if (state.disk.Find(path) == nullptr) return SQLITE_IOERR_DELETE_NOENT;
  if (!state.CountOperation()) return SQLITE_IOERR_DELETE;
  state.disk.Delete(path);
  if (sync_directory != 0) state.disk.SyncDirectory(FaultDisk::DirectoryOf(path));
  return SQLITE_OK;
}

int AccessFile(sqlite3_vfs* vfs, const char* path, int, int* out) {
  FaultVfs::State& state = Of(vfs);
  MutexLock lock(state.mutex);
  if (state.power_is_off) return SQLITE_IOERR_ACCESS;
  *out = state.disk.Find(path) != nullptr;
  return SQLITE_OK;
}

int CopyPath(sqlite3_vfs*, const char* path, int size, char* out) {
  sqlite3_snprintf(size, out, "%s", path);
  return std::strlen(path) < static_cast<size_t>(size) ? SQLITE_OK : SQLITE_CANTOPEN;
}

// Time, randomness and sleep are the system's.
sqlite3_vfs* System() { return sqlite3_vfs_find(nullptr); }

void FillIn(FaultVfs::State* state) {
  sqlite3_vfs& vfs = state->vfs;
  vfs.iVersion = 2;
  vfs.szOsFile = sizeof(SqliteFile);
  vfs.mxPathname = 1024;
  vfs.zName = state->name.c_str();
  vfs.pAppData = state;
  vfs.xOpen = OpenFile;
  vfs.xDelete = DeleteFile;
  vfs.xAccess = AccessFile;
  vfs.xFullPathname = CopyPath;
  vfs.xRandomness = [](sqlite3_vfs*, int n, char* out) {
    return System()->xRandomness(System(), n, out);
  };
  vfs.xSleep = [](sqlite3_vfs*, int us) { return System()->xSleep(System(), us); };
  vfs.xCurrentTime = [](sqlite3_vfs*, double* out) {
    return System()->xCurrentTime(System(), out);
  };
  vfs.xGetLastError = [](sqlite3_vfs*, int, char*) { return 0; };
  vfs.xCurrentTimeInt64 = [](sqlite3_vfs*, sqlite3_int64* out) {
    return System()->xCurrentTimeInt64(System(), out);
  };
}

}  // namespace

FaultVfs::FaultVfs(std::string name) : state_(std::make_unique<State>()) {
  state_->name = std::move(name);
  MARQUEE_CHECK(sqlite3_vfs_find(state_->name.c_str()) == nullptr);
  FillIn(state_.get());
  MARQUEE_CHECK(sqlite3_vfs_register(&state_->vfs, 0) == SQLITE_OK);
}

FaultVfs::~FaultVfs() {
  {
    MutexLock lock(state_->mutex);
    MARQUEE_CHECK(state_->open_handles == 0);
  }
  sqlite3_vfs_unregister(&state_->vfs);
}

const std::string& FaultVfs::name() const { return state_->name; }

void FaultVfs::FailAfter(Fault fault, uint64_t nth, bool until_healed) {
  MutexLock lock(state_->mutex);
  state_->faults[static_cast<size_t>(fault)] = Countdown{nth, until_healed};
}

void FaultVfs::Heal() {
  MutexLock lock(state_->mutex);
  state_->faults = {};
}

void FaultVfs::CutPowerAfter(uint64_t operations) {
  MutexLock lock(state_->mutex);
  state_->cut_after = operations;
}

void FaultVfs::PowerLoss(uint64_t seed) {
  MutexLock lock(state_->mutex);
  state_->disk.LosePower(seed);
  state_->ForgetHandles();
}

void FaultVfs::ProcessDeath() {
  MutexLock lock(state_->mutex);
  state_->ForgetHandles();
}

uint64_t FaultVfs::operations() const {
  MutexLock lock(state_->mutex);
  return state_->operations;
}

uint64_t FaultVfs::writes() const {
  MutexLock lock(state_->mutex);
  return state_->writes;
}

uint64_t FaultVfs::syncs() const {
  MutexLock lock(state_->mutex);
  return state_->syncs;
}

uint64_t FaultVfs::bytes() const {
  MutexLock lock(state_->mutex);
  return state_->disk.TotalBytes();
}

std::vector<std::string> FaultVfs::FileNames() const {
  MutexLock lock(state_->mutex);
  return state_->disk.Names();
}

std::string FaultVfs::Contents(const std::string& name) const {
  MutexLock lock(state_->mutex);
  FaultDisk::File file = state_->disk.Find(name);
  return file == nullptr ? "" : file->live();
}

void FaultVfs::Overwrite(const std::string& name, size_t offset, std::string_view bytes) {
  MutexLock lock(state_->mutex);
  FaultDisk::File file = state_->disk.Find(name);
  MARQUEE_CHECK(file != nullptr && offset + bytes.size() <= file->size());
  file->Write(offset, bytes);
  file->Sync();
}

}  // namespace marquee::sqlite
