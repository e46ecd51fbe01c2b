// The reader's rule against a model of a shard whose epochs change at every moment.
#include "messaging/rabbitmq/shard_cursor.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/random.h"
#include "messaging/pack.h"
#include "messaging/rabbitmq/snapshot.h"

namespace marquee::messaging::rabbitmq {
namespace {

const Topic kTopic = {.spec = {.name = "t", .kind = TopicKind::kEntity}, .identity = "id"};

// A shard in memory: its streams as the broker has them, and what was published.
class Model {
 public:
  explicit Model(Random& random) : random_(random) { streams_[Changes(0)] = {Anchor()}; }

  void Publish() {
    std::string key = absl::StrCat("k", random_.Below(8));
    std::string value = absl::StrCat(++sequence_);
    PackEncoder encoder;
    bool deleted = random_.OneIn(6);
    encoder.Add(key, deleted ? std::nullopt : std::optional<std::string_view>(value), {}, 1'000);
    std::string message;
    AppendHead({.kind = Kind::kPack, .nonce = 7, .sequence = sequence_}, &message);
    encoder.Finish(compressor_, &message);
    Store(message);
    // A question where the shard ends stands between records, and is none.
    if (random_.OneIn(8)) Mark(Kind::kBarrier);
    unconfirmed_.push_back(message);
    if (unconfirmed_.size() > 3) unconfirmed_.erase(unconfirmed_.begin());
    newest_[key] = deleted ? "" : value;
  }

  // As a publisher does whose connection was lost.
  void PublishAgain() {
    for (const std::string& message : unconfirmed_) Store(message);
  }

  // The next of the steps of a change of epoch; each may be where its author crashes, and the next
  // one begins again.
  void Step() {
    switch (step_) {
      case 0:
        state_.next = ShardState::Next::kOpen;
        streams_[Changes(state_.epoch + 1)] = {Anchor()};
        break;
      case 1:
        Mark(Kind::kCut);
        ended_ = true;
        // They had come too late: their publishers find that out.
        if (random_.OneIn(2)) PublishAgain();
        break;
      case 2:
        WriteSnapshot();
        break;
      default:
        ended_ = false;
        streams_.erase(Changes(state_.epoch));
        streams_.erase(Snapshot(state_.epoch));
        state_ = next_;
        unconfirmed_.clear();  // it takes no publisher that long
        step_ = -1;
        break;
    }
    // Begun again from the mark: it is there twice then.
    bool crashed = step_ > 0 && step_ < 3 && random_.OneIn(5);
    step_ = crashed ? 1 : step_ + 1;
  }

  const ShardState& state() const { return state_; }
  const std::map<std::string, std::string>& newest() const { return newest_; }
  bool Has(const std::string& stream) const { return streams_.contains(stream); }
  const std::vector<std::string>& At(const std::string& stream) const {
    return streams_.at(stream);
  }

 private:
  void Store(const std::string& message) {
    // Who does not know yet that it has ended publishes to the former epoch, in vain.
    if (!ended_ || random_.OneIn(3)) streams_[Changes(state_.epoch)].push_back(message);
    if (ended_) streams_[Changes(state_.epoch + 1)].push_back(message);
  }
  std::string Changes(uint64_t epoch) const { return EpochStreamOf("t", Shard(0), "id", epoch); }
  std::string Snapshot(uint64_t epoch) const {
    return SnapshotStreamOf("t", Shard(0), "id", epoch);
  }
  static std::string Anchor() { return MakeMessage({.kind = Kind::kAnchor}, ""); }
  void Mark(Kind kind) {
    streams_[Changes(state_.epoch)].push_back(MakeMessage({.kind = kind}, ""));
  }

  void WriteSnapshot();

  Random& random_;
  PackCompressor compressor_;
  std::map<std::string, std::vector<std::string>> streams_;
  std::map<std::string, std::string> newest_;  // empty: deleted
  std::vector<std::string> unconfirmed_;
  ShardState state_;
  ShardState next_;
  bool ended_ = false;
  int step_ = 0;
  uint64_t sequence_ = 0;
};

// A reader of the model, from one of its states on.
class Reader {
 public:
  Reader(const Model& model, Offset position)
      : model_(model),
        cursor_(ShardCursor::OfEntities(kTopic, Shard(0), model.state(), position)) {}

  // Takes up to `count` messages; to the end as it is now where it is negative.
  void Read(int count) {
    for (; count != 0; --count) {
      if (!model_.Has(cursor_.stream())) {
        cursor_ = ShardCursor::OfEntities(kTopic, Shard(0), model_.state(), cursor_.position());
        continue;
      }
      const auto& stream = model_.At(cursor_.stream());
      if (cursor_.stream_offset() >= static_cast<int64_t>(stream.size())) return;
      TakeOne(stream[static_cast<size_t>(cursor_.stream_offset())]);
    }
  }
  ShardCursor& cursor() { return cursor_; }
  // Of each key the value with the highest offset; empty: deleted.
  std::map<std::string, std::string> newest() const {
    std::map<std::string, std::string> newest;
    for (const auto& [key, record] : records_) newest[key] = record.second;
    return newest;
  }
  Newest& collected() { return collected_; }

 private:
  void TakeOne(const std::string& body) {
    absl::StatusOr<Head> head = ReadHead(body);
    ASSERT_TRUE(head.ok());
    Offset before = cursor_.position();
    absl::StatusOr<ShardCursor::Step> step = cursor_.Take(cursor_.stream_offset(), *head, body);
    ASSERT_TRUE(step.ok()) << step.status();
    EXPECT_GE(cursor_.position(), before) << "it never goes back";
    if (*step != ShardCursor::Step::kPack) return;
    PackDecoder decoder;
    ASSERT_TRUE(decoder.Add(PayloadOf(body), cursor_.pack_first()).ok());
    for (const Record& record : decoder.records()) {
      collected_.Take(record);
      auto& known = records_[std::string(record.key)];
      std::string value(record.value.value_or(""));
      auto [at, is_new] = offset_of_.emplace(value + std::string(record.key), record.offset);
      if (!value.empty()) {
        EXPECT_EQ(at->second, record.offset) << "a record has one offset";
      }
      if (record.offset >= known.first) known = {record.offset, value};
    }
    cursor_.Delivered(decoder.records().back().offset);
  }

  const Model& model_;
  ShardCursor cursor_;
  std::map<std::string, std::pair<Offset, std::string>> records_;
  std::map<std::string, Offset> offset_of_;
  Newest collected_;
};

void Model::WriteSnapshot() {
  Reader reader(*this, Offset(0));
  while (reader.cursor().epoch() == state_.epoch) reader.Read(1);
  next_ = {.epoch = state_.epoch + 1, .base = reader.cursor().base()};
  next_.keys = static_cast<int64_t>(reader.collected().size());
  streams_[Snapshot(next_.epoch)] =
      reader.collected().ToMessages(1 + random_.Below(60), reader.cursor().covered());
}

std::map<std::string, std::string> WithoutDeleted(std::map<std::string, std::string> newest) {
  std::erase_if(newest, [](const auto& entry) { return entry.second.empty(); });
  return newest;
}

TEST(ShardCursorPropertyTest, EveryReaderSeesTheNewestOfEveryKeyAtEveryMoment) {
  const char* wanted = std::getenv("MARQUEE_SEED");
  uint64_t seed =
      wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : Random::FromSystem().Next();
  std::printf("MARQUEE_SEED=%llu\n", static_cast<unsigned long long>(seed));
  for (uint64_t run = 0; run < 300; ++run) {
    SCOPED_TRACE(testing::Message() << "MARQUEE_SEED=" << seed << ", run " << run);
    Random random(seed + run);
    Model model(random);
    Reader along(model, Offset(0));  // is there from the start, and slow
    for (int i = 0; i < 120; ++i) {
      random.OneIn(4) ? model.Step() : model.Publish();
      if (random.OneIn(10)) model.PublishAgain();
      along.Read(static_cast<int>(random.Below(3)));
      if (!random.OneIn(8)) continue;
      Reader fresh(model, Offset(0));
      fresh.Read(-1);
      ASSERT_EQ(WithoutDeleted(fresh.newest()), WithoutDeleted(model.newest())) << "at step " << i;
    }
    along.Read(-1);
    ASSERT_EQ(WithoutDeleted(along.newest()), WithoutDeleted(model.newest()));
  }
}

TEST(ShardCursorTest, APositionInTheChangesNeedsNoSnapshot) {
  ShardState state{.epoch = 3, .base = 100 << kPackIndexBits};
  auto cursor = ShardCursor::OfEntities(kTopic, Shard(0), state, ToOffset(state.base, 7));
  EXPECT_FALSE(cursor.in_snapshot());
  EXPECT_EQ(cursor.stream(), "t.0@id.3");
  EXPECT_EQ(cursor.stream_offset(), 7);
  cursor = ShardCursor::OfEntities(kTopic, Shard(0), state, Offset(state.base - 1));
  EXPECT_TRUE(cursor.in_snapshot());
  EXPECT_EQ(cursor.stream(), "t.0@id.3.s");
}

TEST(ShardCursorTest, AnEventTopicsPositionIsAPlaceInItsStream) {
  ShardCursor cursor = ShardCursor::OfEvents(kTopic, Shard(2), Offset((5 << kPackIndexBits) + 3));
  EXPECT_EQ(cursor.stream(), "t.2@id");
  EXPECT_EQ(cursor.stream_offset(), 5);
  EXPECT_EQ(cursor.wanted(), Offset((5 << kPackIndexBits) + 3));
}

TEST(ShardCursorTest, AnEventTopicsShardWithoutRecordsIsReadUpToItsBeginning) {
  ShardCursor cursor = ShardCursor::OfEvents(kTopic, Shard(0), Offset(0));
  EXPECT_EQ(*cursor.Take(0, {.kind = Kind::kAnchor}, ""), ShardCursor::Step::kNothing);
  EXPECT_EQ(cursor.position(), Offset(0));
  EXPECT_EQ(cursor.stream_offset(), 1);
  EXPECT_EQ(*cursor.Take(1, {.kind = Kind::kPack, .nonce = 7, .sequence = 1}, ""),
            ShardCursor::Step::kPack);
  EXPECT_EQ(cursor.position(), ToOffset(0, 2));
}

TEST(ShardCursorTest, AMessageComesOnceUnlessItHasNoName) {
  ShardCursor cursor = ShardCursor::OfEvents(kTopic, Shard(0), Offset(0));
  Head named{.kind = Kind::kPack, .nonce = 7, .sequence = 1};
  Head nameless{.kind = Kind::kPack, .nonce = 0, .sequence = 1};
  EXPECT_EQ(*cursor.Take(1, named, ""), ShardCursor::Step::kPack);
  EXPECT_EQ(*cursor.Take(2, named, ""), ShardCursor::Step::kNothing);
  EXPECT_EQ(*cursor.Take(3, nameless, ""), ShardCursor::Step::kPack);
  EXPECT_EQ(*cursor.Take(4, nameless, ""), ShardCursor::Step::kPack);
}

TEST(SnapshotEndTest, ItComesBackAsItWas) {
  SnapshotEnd end{.records = 3, .digest = 0x8000000000000001, .covered = {{1, 2}, {~0ull, 0}}};
  absl::StatusOr<SnapshotEnd> read = SnapshotEnd::FromBytes(end.ToBytes());
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(*read, end);
  EXPECT_FALSE(SnapshotEnd::FromBytes("short").ok());
  EXPECT_FALSE(SnapshotEnd::FromBytes(end.ToBytes() + "x").ok());
}

TEST(ShardStateTest, ItComesBackAsItWas) {
  ShardState state{.epoch = 9,
                   .base = 1 << 20,
                   .begin = Offset(5),
                   .floor = Offset(7),
                   .keys = 3,
                   .end = Offset(99),
                   .next = ShardState::Next::kOpen};
  EXPECT_EQ(*ShardState::FromText(state.ToText()), state);
  EXPECT_EQ(ShardState::FromText("state\t1").status().code(), absl::StatusCode::kDataLoss);
}

// The entries of a state stream, each with what its writer had read.
class Entries {
 public:
  void Add(int64_t writer_had_read_to, const ShardState& state) {
    Head head{.kind = Kind::kEntry, .sequence = static_cast<uint64_t>(writer_had_read_to)};
    counts_.push_back(fold_.Take(static_cast<int64_t>(counts_.size()), head, state));
  }
  const std::vector<bool>& counts() const { return counts_; }
  const ShardState& newest() const { return *fold_.newest(); }

 private:
  ShardStateFold fold_;
  std::vector<bool> counts_;
};

constexpr ShardState kBegun{.next = ShardState::Next::kBegun};
constexpr ShardState kOpen{.next = ShardState::Next::kOpen};

TEST(ShardStateTest, OfTwoWhoBelieveThatTheyHaveTheLockTheFirstWins) {
  Entries entries;
  entries.Add(0, {});
  entries.Add(1, kBegun);  // one
  entries.Add(2, kBegun);  // the other
  entries.Add(2, kOpen);   // the one, that has not seen the other's
  entries.Add(3, kOpen);   // the other
  entries.Add(4, {.epoch = 1});
  EXPECT_EQ(entries.counts(), (std::vector<bool>{true, true, true, false, true, false}));
  EXPECT_EQ(entries.newest(), kOpen);
}

TEST(ShardStateTest, WhatALostWriterWritesEpochsLaterDoesNotCount) {
  Entries entries;
  entries.Add(0, {});
  for (uint64_t epoch = 1; epoch <= 3; ++epoch) {
    entries.Add(static_cast<int64_t>(entries.counts().size()), {.epoch = epoch});
  }
  entries.Add(2, {.epoch = 1, .keys = 77});
  EXPECT_FALSE(entries.counts().back());
  EXPECT_EQ(entries.newest().epoch, 3u);
}

TEST(ShardStateTest, WhoBeginsInTheMiddleTakesNoLosersEntryForTheNewest) {
  auto entry = [](uint64_t had_read_to) {
    return Head{.kind = Kind::kEntry, .sequence = had_read_to};
  };
  // Behind 100 there were `begun` and `open`; this writer had seen the former alone.
  ShardStateFold fold(101);
  EXPECT_FALSE(fold.Take(101, entry(100), kBegun));
  EXPECT_FALSE(fold.newest().has_value()) << "look further back";
  // Had the entry at 101 counted, this one would not.
  EXPECT_FALSE(fold.Take(102, entry(101), kOpen));
  EXPECT_FALSE(fold.newest().has_value());
  EXPECT_TRUE(fold.Take(105, entry(103), {.epoch = 4}));
  EXPECT_FALSE(fold.Take(106, entry(104), {.epoch = 3}));
  EXPECT_EQ(fold.newest()->epoch, 4u);
}

// Against what is known from the beginning, with losers, nudges and windows at random.
TEST(ShardStateTest, WhereverItBeginsItAgreesOrIsNotSure) {
  Random random(7);
  for (int trial = 0; trial < 2'000; ++trial) {
    struct Entry {
      int64_t offset;
      Head head;
      ShardState state;
    };
    std::vector<Entry> entries;
    ShardStateFold whole;
    for (int64_t offset = 0; offset < 40; ++offset) {
      if (offset > 0 && random.OneIn(2)) continue;  // a nudge
      // Most had read all; some had stood still.
      int64_t read = random.OneIn(3) ? 1 + static_cast<int64_t>(random.Below(40)) : offset;
      read = std::max<int64_t>(1, std::min(read, offset));
      entries.push_back({offset,
                         {.kind = Kind::kEntry, .sequence = static_cast<uint64_t>(read)},
                         {.epoch = static_cast<uint64_t>(offset)}});
      whole.Take(offset, entries.back().head, entries.back().state);
    }
    for (int64_t from = 0; from < 40; ++from) {
      ShardStateFold part(from);
      for (const Entry& entry : entries) {
        if (entry.offset >= from) part.Take(entry.offset, entry.head, entry.state);
      }
      if (!part.newest().has_value()) continue;
      ASSERT_EQ(part.newest()->epoch, whole.newest()->epoch) << trial << " from " << from;
    }
  }
}

TEST(ShardStateTest, TheFirstEntryWrittenAgainDoesNotGoBack) {
  Entries entries;
  entries.Add(1, {});
  entries.Add(1, {.epoch = 1});
  entries.Add(1, {});
  EXPECT_EQ(entries.counts(), (std::vector<bool>{true, true, false}));
  EXPECT_EQ(entries.newest().epoch, 1u);
}

TEST(ShardStateTest, EntriesThatDoNotSayWhatWasReadCount) {
  Entries entries;
  entries.Add(0, {});
  entries.Add(0, {});
  entries.Add(0, {.epoch = 1});
  EXPECT_EQ(entries.counts(), (std::vector<bool>{true, true, true}));
}

TEST(MessageTest, AHeadIsTheseBytes) {
  std::string message = MakeMessage({.kind = Kind::kCut, .nonce = 0x0102, .sequence = 3}, "x");
  EXPECT_EQ(message, std::string("MQR1\4\0\0\0\2\1\0\0\0\0\0\0\3\0\0\0\0\0\0\0x", 25));
  absl::StatusOr<Head> head = ReadHead(message);
  ASSERT_TRUE(head.ok());
  EXPECT_EQ(*head, (Head{.kind = Kind::kCut, .nonce = 0x0102, .sequence = 3}));
}

TEST(MessageTest, ForeignBytesAreDataLoss) {
  std::string other_kind = MakeMessage({.kind = Kind::kEntry}, "");
  other_kind[4] = 99;
  std::string other_version = MakeMessage({.kind = Kind::kEntry}, "");
  other_version[3] = '2';
  for (const std::string& bytes :
       {std::string(), std::string("MQR1"), std::string(24, 'x'), other_kind, other_version}) {
    EXPECT_EQ(ReadHead(bytes).status().code(), absl::StatusCode::kDataLoss);
  }
}

TEST(OffsetTest, AStreamsOffsetAndAnIndexComeApartAgain) {
  for (int64_t base : {int64_t{0}, int64_t{12345} << kPackIndexBits, kEpochGap * 1000}) {
    for (int64_t stream_offset : {int64_t{0}, int64_t{1}, int64_t{1} << 20}) {
      Offset offset = ToOffset(base, stream_offset);
      EXPECT_EQ(ToStreamOffset(base, offset), stream_offset);
      EXPECT_EQ(ToStreamOffset(base, Offset(offset.value() + kPackRecordsMax)), stream_offset);
    }
  }
}

}  // namespace
}  // namespace marquee::messaging::rabbitmq
