#include "sources/output_file.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/status.h"

namespace marquee::sources {

absl::StatusOr<std::unique_ptr<OutputFile>> OutputFile::Open(const std::string& path) {
  std::unique_ptr<OutputFile> file(new OutputFile(path));
  file->fd_ = open(file->temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file->fd_ < 0) return file->Error();
  return file;
}

OutputFile::~OutputFile() {
  if (fd_ < 0) return;
  close(fd_);
  std::remove(temporary_.c_str());
}

absl::Status OutputFile::Error() const {
  int code = errno;
  std::string text = fmt::format("{}: cannot be written: {}", path_, std::strerror(code));
  switch (code) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return absl::ResourceExhaustedError(text + "; make room, or choose another folder");
    case EIO:
      return absl::UnavailableError(text);
    default:
      return absl::InvalidArgumentError(text + "; choose another folder");
  }
}

absl::Status OutputFile::Write() {
  std::string_view rest = text_;
  while (!rest.empty()) {
    ssize_t written = write(fd_, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Error();
    rest.remove_prefix(static_cast<size_t>(written));
  }
  text_.clear();
  return absl::OkStatus();
}

absl::Status OutputFile::Finish() {
  MARQUEE_RETURN_IF_ERROR(Write());
  bool whole = fsync(fd_) == 0;
  if (whole) whole = close(std::exchange(fd_, -1)) == 0;
  if (whole) whole = std::rename(temporary_.c_str(), path_.c_str()) == 0;
  if (whole) return absl::OkStatus();
  absl::Status status = Error();
  std::remove(temporary_.c_str());
  return status;
}

}  // namespace marquee::sources
