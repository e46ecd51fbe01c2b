#include "base/sqlite/fault_disk.h"

#include <gtest/gtest.h>

#include <set>

namespace marquee::sqlite {
namespace {

constexpr uint64_t kSeeds = 200;

// What file "d/x" holds after a power loss, over many seeds; "(none)" where its name is gone.
template <typename MakeDisk>
std::set<std::string> Survivors(MakeDisk make) {
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    FaultDisk disk;
    make(disk);
    disk.LosePower(seed);
    FaultDisk::File file = disk.Find("d/x");
    seen.insert(file == nullptr ? "(none)" : file->live());
  }
  return seen;
}

TEST(FaultDiskTest, SyncedBytesAndNamesSurvive) {
  auto seen = Survivors([](FaultDisk& disk) {
    FaultDisk::File file = disk.Create("d/x");
    file->Write(0, "synced");
    file->Sync();
    disk.SyncDirectory("d");
  });
  EXPECT_EQ(seen, std::set<std::string>{"synced"});
}

TEST(FaultDiskTest, ANameIsLostOrKeptUntilItsDirectoryIsSynced) {
  auto seen = Survivors([](FaultDisk& disk) {
    FaultDisk::File file = disk.Create("d/x");
    file->Write(0, "synced");
    file->Sync();
  });
  EXPECT_EQ(seen, (std::set<std::string>{"(none)", "synced"}));
}

TEST(FaultDiskTest, ADeletedNameMayComeBackUntilItsDirectoryIsSynced) {
  auto make = [](FaultDisk& disk) {
    disk.Create("d/x")->Write(0, "old");
    disk.Find("d/x")->Sync();
    disk.SyncDirectory("d");
    disk.Delete("d/x");
    EXPECT_EQ(disk.Find("d/x"), nullptr);
  };
  EXPECT_EQ(Survivors(make), (std::set<std::string>{"(none)", "old"}));
  EXPECT_EQ(Survivors([&](FaultDisk& disk) {
              make(disk);
              disk.SyncDirectory("d");
            }),
            std::set<std::string>{"(none)"});
}

TEST(FaultDiskTest, UnsyncedSectorsAreKeptLostAndReordered) {
  auto make = [](FaultDisk& disk) {
    FaultDisk::File file = disk.Create("d/x");
    file->Write(0, std::string(2 * kFaultSectorBytes, 'a'));
    file->Sync();
    disk.SyncDirectory("d");
    file->Write(0, std::string(kFaultSectorBytes, 'b'));
    file->Write(kFaultSectorBytes, std::string(kFaultSectorBytes, 'c'));
  };
  std::set<std::string> whole;
  bool torn = false;
  for (const std::string& image : Survivors(make)) {
    ASSERT_EQ(image.size(), 2 * kFaultSectorBytes);
    std::string first = image.substr(0, kFaultSectorBytes);
    std::string second = image.substr(kFaultSectorBytes);
    bool is_whole = first.find_first_not_of(first[0]) == std::string::npos &&
                    second.find_first_not_of(second[0]) == std::string::npos;
    torn |= !is_whole;
    if (is_whole) whole.insert({first[0], second[0]});
  }
  // "ac": the second write survived the first.
  EXPECT_EQ(whole, (std::set<std::string>{"aa", "ac", "ba", "bc"}));
  EXPECT_TRUE(torn);
}

TEST(FaultDiskTest, BytesOutsideAWriteNeverChange) {
  auto seen = Survivors([](FaultDisk& disk) {
    FaultDisk::File file = disk.Create("d/x");
    file->Write(0, "0123456789");
    file->Sync();
    disk.SyncDirectory("d");
    file->Write(4, "xy");
  });
  for (const std::string& image : seen) {
    ASSERT_EQ(image.size(), 10u);
    EXPECT_EQ(image.substr(0, 4), "0123");
    EXPECT_EQ(image.substr(6), "6789");
  }
  EXPECT_GE(seen.size(), 2u);
}

TEST(FaultDiskTest, AnUnsyncedSizeIsAnyThatTheFileHad) {
  auto seen = Survivors([](FaultDisk& disk) {
    FaultDisk::File file = disk.Create("d/x");
    file->Write(0, "abc");
    file->Sync();
    disk.SyncDirectory("d");
    file->Truncate(1);
    file->Write(1, "BCDE");
  });
  std::set<size_t> sizes;
  for (const std::string& image : seen) sizes.insert(image.size());
  EXPECT_EQ(sizes, (std::set<size_t>{1, 3, 5}));
}

TEST(FaultDiskTest, ACutIsThereForAllSectorsOrForNone) {
  auto seen = Survivors([](FaultDisk& disk) {
    FaultDisk::File file = disk.Create("d/x");
    file->Write(0, std::string(3 * kFaultSectorBytes, 'a'));
    file->Sync();
    disk.SyncDirectory("d");
    file->Truncate(0);
    file->Write(2 * kFaultSectorBytes, "b");
  });
  bool cut = false;
  bool whole = false;
  for (const std::string& image : seen) {
    std::string before = image.substr(0, 2 * kFaultSectorBytes);
    EXPECT_EQ(before.find_first_not_of(image.empty() ? '\0' : image[0]), std::string::npos);
    cut |= before.find('a') == std::string::npos;
    whole |= before.find('a') != std::string::npos;
  }
  EXPECT_TRUE(cut && whole);
}

TEST(FaultDiskTest, WhatAFailedSyncCoveredIsNeverMadeDurableByALaterOne) {
  auto seen = Survivors([](FaultDisk& disk) {
    FaultDisk::File file = disk.Create("d/x");
    file->Write(0, "old");
    file->Sync();
    disk.SyncDirectory("d");
    file->Write(0, "new");
    file->FailSync();
    file->Sync();
    EXPECT_EQ(file->live(), "new");
  });
  EXPECT_EQ(seen, std::set<std::string>{"old"});
}

}  // namespace
}  // namespace marquee::sqlite
