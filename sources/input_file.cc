#include "sources/input_file.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/status.h"

namespace marquee::sources {

absl::StatusOr<std::unique_ptr<InputFile>> InputFile::Open(const std::string& path,
                                                           std::string_view expected) {
  // O_NONBLOCK: a named pipe is refused below instead of waiting for its writer.
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    int code = errno;
    std::string text = fmt::format("{}: expected {}: {}", path, expected, std::strerror(code));
    bool missing = code == ENOENT || code == ENOTDIR;
    return missing ? absl::NotFoundError(text) : absl::InvalidArgumentError(text);
  }
  std::unique_ptr<InputFile> file(new InputFile(path, fd));
  struct stat info {};
  if (fstat(fd, &info) != 0) return file->Error("cannot be looked at");
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(
        fmt::format("{}: expected {}, found {}", path, expected,
                    S_ISDIR(info.st_mode) ? "a folder" : "a pipe or a device"));
  }
  return file;
}

InputFile::~InputFile() { close(fd_); }

absl::Status InputFile::Error(const char* what) const {
  return absl::UnavailableError(fmt::format("{}: {}: {}", path_, what, std::strerror(errno)));
}

absl::StatusOr<uint64_t> InputFile::Size() {
  struct stat info {};
  if (fstat(fd_, &info) != 0) return Error("cannot be looked at");
  auto size = static_cast<uint64_t>(info.st_size);
  if (size < bytes_seen_) {
    return absl::DataLossError(
        fmt::format("{}: expected at least {} bytes, which it had, found {}; the file was cut. "
                    "Give the whole file",
                    path_, bytes_seen_, size));
  }
  bytes_seen_ = size;
  return size;
}

absl::StatusOr<size_t> InputFile::ReadAt(uint64_t byte, std::span<char> to) {
  size_t done = 0;
  while (done < to.size()) {
    ssize_t got = pread(fd_, to.data() + done, to.size() - done, static_cast<off_t>(byte + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error("cannot be read");
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  if (done > 0) bytes_seen_ = std::max(bytes_seen_, byte + done);
  if (done < to.size()) MARQUEE_RETURN_IF_ERROR(Size().status());
  return done;
}

absl::StatusOr<std::optional<size_t>> MissingLineEnd(InputFile& file, uint64_t byte) {
  if (byte == 0) return 0;
  std::array<char, 3> around{};
  MARQUEE_ASSIGN_OR_RETURN(size_t got, file.ReadAt(byte - 1, around));
  if (got == 0) {
    MARQUEE_ASSIGN_OR_RETURN(uint64_t size, file.Size());
    return absl::DataLossError(fmt::format(
        "{}: expected at least {} bytes, found {}; the file was cut. Give the whole file",
        file.path(), byte, size));
  }
  std::string_view found(around.data(), got);
  if (found[0] == '\n') return 0;
  found.remove_prefix(1);
  if (found.starts_with('\n')) return 1;
  if (found == "\r\n") return 2;
  if (found.empty() || found == "\r") return std::nullopt;
  return absl::FailedPreconditionError(fmt::format(
      "{}: its last line ended at byte {} without a newline when it was read, and goes on now; "
      "expected a newline there. Append whole lines",
      file.path(), byte));
}

}  // namespace marquee::sources
