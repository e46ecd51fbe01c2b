// A catalogue in one SQLite file: WAL, synchronous=FULL.
#ifndef MARQUEE_CATALOGUE_SQLITE_SQLITE_CATALOGUE_H_
#define MARQUEE_CATALOGUE_SQLITE_SQLITE_CATALOGUE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "catalogue/catalogue.h"

namespace marquee::catalogue {

struct SqliteCatalogueOptions {
  std::string path;
  bool create = true;     // otherwise kNotFound where the file is not there, or nothing is in it
  std::string vfs;        // of SQLite; empty: the default. Tests put a faulty one below.
  std::string lock_path;  // of the writer's lock; empty: the path with ".lock" behind it
  // Of a new file: a power of two, 512 to 65536. The smaller, the fewer bytes a commit of scattered
  // means writes; the more pages a commit of nearly all of them, and a restart.
  int page_bytes = 1024;
  // The database's log is copied into the file when its pages hold more than this: one commit in
  // some tens takes longer.
  int64_t log_bytes_max = 32'768'000;
};

// Reads the whole file once and verifies it (0.6 µs a row), so that damage done while nobody looked
// is found here. kFailedPrecondition: a database of something else, or of another schema version,
// with what to do; kDataLoss: damaged.
absl::StatusOr<std::unique_ptr<Catalogue>> OpenSqliteCatalogue(
    const SqliteCatalogueOptions& options);

}  // namespace marquee::catalogue

#endif  // MARQUEE_CATALOGUE_SQLITE_SQLITE_CATALOGUE_H_
