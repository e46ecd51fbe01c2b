// A folder for a test's files, gone with it.
#ifndef MARQUEE_SOURCES_TESTING_TEMPORARY_FOLDER_H_
#define MARQUEE_SOURCES_TESTING_TEMPORARY_FOLDER_H_

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "base/random.h"

namespace marquee::sources::testing {

class TemporaryFolder {
 public:
  TemporaryFolder()
      : path_(std::filesystem::temp_directory_path() /
              ("marquee-sources-" + std::to_string(Random::FromSystem().Next()))) {
    std::filesystem::create_directories(path_);
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  std::string At(const std::string& name) const { return path_ / name; }
  std::string path() const { return path_; }
  void Write(const std::string& name, std::string_view text) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
  }
  void Append(const std::string& name, std::string_view text) const {
    std::ofstream(path_ / name, std::ios::binary | std::ios::app) << text;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace marquee::sources::testing

#endif  // MARQUEE_SOURCES_TESTING_TEMPORARY_FOLDER_H_
