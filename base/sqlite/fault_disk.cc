#include "base/sqlite/fault_disk.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "base/status.h"

namespace marquee::sqlite {

bool FaultFile::Read(size_t offset, std::span<char> out) const {
  size_t there = offset < live_.size() ? std::min(out.size(), live_.size() - offset) : 0;
  if (there > 0) std::memcpy(out.data(), live_.data() + offset, there);
  if (there < out.size()) std::memset(out.data() + there, 0, out.size() - there);
  return there == out.size();
}

void FaultFile::Apply(const Change& change, std::string* image) {
  if (change.truncates) {
    image->resize(change.offset);
    return;
  }
  if (image->size() < change.offset + change.bytes.size()) {
    image->resize(change.offset + change.bytes.size());
  }
  std::memcpy(image->data() + change.offset, change.bytes.data(), change.bytes.size());
}

void FaultFile::Write(size_t offset, std::string_view bytes) {
  unsynced_.push_back({.offset = offset, .bytes = std::string(bytes)});
  Apply(unsynced_.back(), &live_);
}

void FaultFile::Truncate(size_t size) {
  unsynced_.push_back({.offset = size, .bytes = "", .truncates = true});
  Apply(unsynced_.back(), &live_);
}

void FaultFile::Sync() {
  for (const Change& change : unsynced_) Apply(change, &durable_);
  unsynced_.clear();
}

void FaultFile::FailSync() { unsynced_.clear(); }

namespace {

std::string SectorOf(const std::string& image, size_t sector) {
  size_t begin = sector * kFaultSectorBytes;
  std::string bytes = begin < image.size() ? image.substr(begin, kFaultSectorBytes) : std::string();
  bytes.resize(kFaultSectorBytes);
  return bytes;
}

}  // namespace

void FaultFile::AddWrite(const Change& change, const std::string& durable, Possible* possible) {
  size_t end = change.offset + change.bytes.size();
  for (size_t sector = change.offset / kFaultSectorBytes; sector * kFaultSectorBytes < end;
       ++sector) {
    std::vector<std::string>& versions = possible->sectors[sector];
    if (versions.empty()) versions.push_back(SectorOf(durable, sector));
    std::string version = versions.back();
    size_t begin = sector * kFaultSectorBytes;
    for (size_t at = std::max(begin, change.offset); at < std::min(begin + kFaultSectorBytes, end);
         ++at) {
      version[at - begin] = change.bytes[at - change.offset];
    }
    versions.push_back(std::move(version));
  }
  possible->sizes.push_back(std::max(possible->sizes.back(), end));
}

void FaultFile::AddCut(size_t size, const std::string& durable, Possible* possible) {
  size_t end =
      std::max(durable.size(), *std::max_element(possible->sizes.begin(), possible->sizes.end()));
  for (size_t sector = size / kFaultSectorBytes; sector * kFaultSectorBytes < end; ++sector) {
    std::vector<std::string>& versions = possible->sectors[sector];
    if (versions.empty()) versions.push_back(SectorOf(durable, sector));
    size_t begin = sector * kFaultSectorBytes;
    size_t kept = size > begin ? size - begin : 0;
    for (std::string& version : versions)
      version.replace(kept, std::string::npos, kFaultSectorBytes - kept, '\0');
  }
  possible->sizes = {size};
}

FaultFile::Possible FaultFile::PossibleWith(size_t cuts) const {
  Possible possible{.sectors = {}, .sizes = {durable_.size()}};
  for (const Change& change : unsynced_) {
    if (!change.truncates) {
      AddWrite(change, durable_, &possible);
    } else if (change.offset >= possible.sizes.back()) {
      possible.sizes.push_back(change.offset);
    } else if (cuts > 0) {
      --cuts;
      AddCut(change.offset, durable_, &possible);
    }
  }
  return possible;
}

std::string FaultFile::AfterPowerLoss(Random& random, uint64_t keep_percent) const {
  auto keeps = [&random, keep_percent] { return random.Below(100) < keep_percent; };
  size_t cuts = 0;
  for (const Change& change : unsynced_) cuts += change.truncates ? 1 : 0;
  Possible possible = PossibleWith(keeps() ? cuts : random.Below(cuts + 1));
  std::string image = durable_;
  for (const auto& [sector, sector_versions] : possible.sectors) {
    const std::vector<std::string>& versions = sector_versions;  // clang 14 captures no binding
    auto draw = [&]() -> const std::string& {
      return keeps() ? versions.back() : versions[random.Below(versions.size())];
    };
    std::string bytes = draw();
    if (random.OneIn(8)) {
      size_t torn_at = random.Below(kFaultSectorBytes);
      bytes.replace(torn_at, std::string::npos, draw(), torn_at, std::string::npos);
    }
    size_t offset = sector * kFaultSectorBytes;
    if (image.size() < offset + kFaultSectorBytes) image.resize(offset + kFaultSectorBytes);
    std::memcpy(image.data() + offset, bytes.data(), kFaultSectorBytes);
  }
  image.resize(keeps() ? possible.sizes.back()
                       : possible.sizes[random.Below(possible.sizes.size())]);
  return image;
}

FaultDisk::File FaultDisk::Find(const std::string& name) const {
  auto found = names_.find(name);
  return found == names_.end() ? nullptr : found->second.back();
}

FaultDisk::File FaultDisk::Create(const std::string& name) {
  std::vector<File>& history = names_[name];
  if (history.empty()) history.push_back(nullptr);
  history.push_back(std::make_shared<FaultFile>());
  return history.back();
}

void FaultDisk::Delete(const std::string& name) {
  auto found = names_.find(name);
  if (found != names_.end() && found->second.back() != nullptr) found->second.push_back(nullptr);
}

std::string FaultDisk::DirectoryOf(const std::string& name) {
  size_t slash = name.rfind('/');
  return slash == std::string::npos ? "" : name.substr(0, slash);
}

void FaultDisk::SyncDirectory(const std::string& directory) {
  for (auto it = names_.begin(); it != names_.end();) {
    if (DirectoryOf(it->first) != directory) {
      ++it;
      continue;
    }
    it->second.erase(it->second.begin(), it->second.end() - 1);
    it = it->second.back() == nullptr ? names_.erase(it) : std::next(it);
  }
}

void FaultDisk::LosePower(uint64_t seed) {
  Random random(seed);
  constexpr uint64_t kKeepPercents[] = {0, 0, 10, 50, 90, 100};
  uint64_t keep_percent = kKeepPercents[random.Below(std::size(kKeepPercents))];
  std::map<std::string, std::vector<File>> survived;
  for (const auto& [name, history] : names_) {
    const File& file =
        random.Below(100) < keep_percent ? history.back() : history[random.Below(history.size())];
    if (file == nullptr) continue;
    survived[name] = {std::make_shared<FaultFile>(file->AfterPowerLoss(random, keep_percent))};
  }
  names_ = std::move(survived);
}

std::vector<std::string> FaultDisk::Names() const {
  std::vector<std::string> names;
  for (const auto& [name, history] : names_) {
    if (history.back() != nullptr) names.push_back(name);
  }
  return names;
}

size_t FaultDisk::TotalBytes() const {
  size_t total = 0;
  for (const auto& [name, history] : names_) {
    if (history.back() != nullptr) total += history.back()->size();
  }
  return total;
}

}  // namespace marquee::sqlite
