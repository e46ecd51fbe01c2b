// The one rule that publishes means, in a small world: a shard of `ratings`, a shard of
// `mean-ratings` that is compacted at any moment, an owner, zombies that were owners and go on for
// a while, crashes, restores from any checkpoint, and flushes that fail halfway.
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "domain/shard_state.h"
#include "domain/test_ratings.h"
#include "gtest/gtest.h"

namespace marquee::domain {
namespace {

constexpr int kWorlds = 2000;
constexpr int kSteps = 300;
constexpr uint64_t kMovies = 4;

struct Record {
  uint64_t movie = 0;
  LogOffset as_of;
  bool is_compacted = false;  // no longer to be read
};

// The newest record of each movie by offset.
std::map<uint64_t, LogOffset> NewestOf(const std::vector<Record>& means) {
  std::map<uint64_t, LogOffset> newest;
  for (const Record& record : means) newest[record.movie] = record.as_of;
  return newest;
}

class Writer {
 public:
  // Begins with a checkpoint or with nothing, and reads all means before it publishes any.
  Writer(const std::optional<std::string>& checkpoint, const std::vector<Record>& means)
      : state_(checkpoint.has_value() ? ShardState::Decode(*checkpoint, OneShard(), 0).value()
                                      : ShardState(OneShard(), 0)) {
    ReadMeans(means, means.size());
  }

  ShardState& state() { return state_; }
  bool has_read(size_t ratings) const {
    return static_cast<size_t>(state_.next().value()) >= ratings;
  }

  void ReadRatings(const std::vector<OwnedMessage>& ratings, size_t count) {
    auto next = static_cast<size_t>(state_.next().value());
    for (; count > 0 && next < ratings.size(); --count) state_.Apply(ratings[next++].Borrow());
  }

  void ReadMeans(const std::vector<Record>& means, size_t count) {
    for (; count > 0 && means_read_ < means.size(); --count, ++means_read_) {
      const Record& record = means[means_read_];
      if (!record.is_compacted) state_.ObserveMean(MovieId(record.movie), record.as_of);
    }
    state_.ObservedMeansThrough(LogOffset(static_cast<int64_t>(means_read_)));
  }

  // Takes what is due, to be sent by and by.
  void Take(size_t max, const std::vector<Record>& means) {
    for (const MeanRating& mean : state_.TakeDue(max)) {
      CheckIsNoVainRepeat(mean, means);
      unsent_.push_back({mean.movie.value(), mean.as_of});
    }
  }
  void SendOne(std::vector<Record>* means) {
    if (unsent_.empty()) return;
    const Record& record = unsent_.front();
    sent_[record.movie] = {record.as_of, means->size()};
    means->push_back(record);
    unsent_.pop_front();
  }
  void Flush(std::vector<Record>* means) {
    while (!unsent_.empty()) SendOne(means);
    state_.MeansFlushed(LogOffset(static_cast<int64_t>(means->size())));
  }
  // Any part of what was not sent yet is there.
  void FailToFlush(Random* random, std::vector<Record>* means) {
    while (!unsent_.empty()) {
      if (random->OneIn(2)) means->push_back(unsent_.front());
      unsent_.pop_front();
    }
    sent_.clear();  // after a failure equal means may come again
    state_.MeansFailed();
  }

 private:
  struct Sent {
    LogOffset as_of;
    size_t at;
  };

  // A mean that this writer has sent before is sent again only over a slower writer's record; or
  // where compaction has taken it away for another writer's that was not read yet: then what was
  // read last may be from before it, and nobody can tell.
  void CheckIsNoVainRepeat(const MeanRating& mean, const std::vector<Record>& means) {
    auto sent = sent_.find(mean.movie.value());
    if (sent == sent_.end() || sent->second.as_of != mean.as_of) return;
    bool is_mended = means[sent->second.at].is_compacted;
    for (size_t at = sent->second.at + 1; at < means.size(); ++at) {
      is_mended |= means[at].movie == mean.movie.value() && means[at].as_of < mean.as_of;
    }
    EXPECT_TRUE(is_mended) << "movie " << mean.movie << " published twice with as_of "
                           << mean.as_of;
  }

  ShardState state_;
  size_t means_read_ = 0;
  std::deque<Record> unsent_;
  std::map<uint64_t, Sent> sent_;
};

class World {
 public:
  World(uint64_t seed, bool with_zombies) : random_(seed), with_zombies_(with_zombies) {
    TakeOver();
  }

  void Step() {
    Writer& writer = *writers_[random_.Below(writers_.size())];
    switch (random_.Below(12)) {
      case 0:
      case 1:
        Rate();
        break;
      case 2:
      case 3:
        writer.ReadRatings(ratings_, 1 + random_.Below(3));
        break;
      case 4:
      case 5:
        writer.ReadMeans(means_, 1 + random_.Below(4));
        break;
      case 6:
        writer.Take(1 + random_.Below(3), means_);
        break;
      case 7:
        writer.SendOne(&means_);
        break;
      case 8:
        writer.Flush(&means_);
        break;
      case 9:
        if (random_.OneIn(4)) writer.FailToFlush(&random_, &means_);
        break;
      case 10:
        if (writer.state().MeansAreDurable()) checkpoint_ = writer.state().Encode();
        Compact();
        break;
      default:
        if (random_.OneIn(6)) ChangeOwners();
    }
  }

  // All faults are over: the last owner goes on alone.
  void Settle() {
    while (writers_.size() > 1) EndZombie();
    Writer& owner = *writers_[0];
    constexpr int kTurnsMax = 4;
    for (int turn = 0; turn < kTurnsMax; ++turn) {
      owner.ReadRatings(ratings_, ratings_.size());
      owner.ReadMeans(means_, means_.size());
      owner.Take(100, means_);
      owner.Flush(&means_);
    }
    owner.ReadMeans(means_, means_.size());
    EXPECT_EQ(owner.state().due(), 0u);
    size_t before = means_.size();
    owner.Take(100, means_);
    owner.Flush(&means_);
    EXPECT_EQ(means_.size(), before) << "published although nothing changed";
  }

  void ExpectNewestRecordsAreTheState() {
    std::map<uint64_t, LogOffset> newest = NewestOf(means_);
    std::vector<MeanRating> all = writers_[0]->state().AllMeans();
    EXPECT_EQ(newest.size(), all.size());
    for (const MeanRating& mean : all)
      EXPECT_EQ(newest[mean.movie.value()], mean.as_of) << mean.movie;
  }

 private:
  void Rate() {
    auto offset = static_cast<int64_t>(ratings_.size());
    ratings_.push_back(MessageAt(offset, RatingOf(1 + random_.Below(kMovies), 4000)));
  }

  void TakeOver() {
    bool from_checkpoint = checkpoint_.has_value() && !random_.OneIn(4);
    writers_.insert(writers_.begin(),
                    std::make_unique<Writer>(from_checkpoint ? checkpoint_ : std::nullopt, means_));
  }

  void ChangeOwners() {
    if (writers_.size() > 1 && random_.OneIn(2)) return EndZombie();
    if (!with_zombies_) return;
    TakeOver();
    if (writers_.size() > 3) EndZombie();
  }

  // It dies, with some of what it had still arriving.
  void EndZombie() {
    writers_.back()->FailToFlush(&random_, &means_);
    writers_.pop_back();
  }

  void Compact() {
    if (!random_.OneIn(2)) return;
    std::map<uint64_t, size_t> newest;
    for (size_t at = 0; at < means_.size(); ++at) newest[means_[at].movie] = at;
    for (size_t at = 0; at < means_.size(); ++at)
      means_[at].is_compacted = newest[means_[at].movie] != at;
  }

  Random random_;
  bool with_zombies_;
  std::vector<OwnedMessage> ratings_;
  std::vector<Record> means_;                     // of every offset, compacted or not
  std::vector<std::unique_ptr<Writer>> writers_;  // the owner first
  std::optional<std::string> checkpoint_;
};

void RunWorlds(bool with_zombies) {
  uint64_t seed = SeedOfRun();
  for (int i = 0; i < kWorlds; ++i) {
    SCOPED_TRACE(testing::Message() << "world " << i);
    World world(seed + static_cast<uint64_t>(i), with_zombies);
    for (int step = 0; step < kSteps; ++step) world.Step();
    world.Settle();
    world.ExpectNewestRecordsAreTheState();
    if (testing::Test::HasFailure()) return;
  }
}

TEST(MeanLedgerModel, OwnerAlonePublishesEveryChangeAndNoEqualMeanTwice) { RunWorlds(false); }

TEST(MeanLedgerModel, WhateverZombiesCrashesAndFailuresDidTheNewestRecordsBecomeTheState) {
  RunWorlds(true);
}

}  // namespace
}  // namespace marquee::domain
