// Golden bytes of every message, kept in testdata/*.hex: a change of a format is seen here, and in
// docs/formats.md, which shows the same bytes.
//
// For a new message, MARQUEE_NEW_GOLDEN=1 writes the file that is missing; one that is there is
// never written.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "domain/checkpoint.h"
#include "domain/dead_letter.h"
#include "domain/movie.h"
#include "domain/rules.h"
#include "domain/shard_state.h"
#include "domain/source_progress.h"
#include "domain/test_ratings.h"
#include "gtest/gtest.h"
#include "marquee/v1/checkpoint.pb.h"
#include "marquee/v1/dead_letter.pb.h"
#include "marquee/v1/movie.pb.h"
#include "marquee/v1/rating.pb.h"
#include "marquee/v1/service_report.pb.h"
#include "marquee/v1/settings.pb.h"
#include "marquee/v1/source_progress.pb.h"

namespace marquee::domain {
namespace {

namespace fs = std::filesystem;

const fs::path kRoot = MARQUEE_SOURCE_DIR;

std::string ReadFile(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << path;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// Pairs of hexadecimal digits, 16 in a line.
std::string ToHex(const std::string& bytes) {
  std::string hex;
  for (size_t i = 0; i < bytes.size(); ++i) {
    char digits[4];
    snprintf(digits, sizeof digits, "%02x",
             static_cast<unsigned>(static_cast<unsigned char>(bytes[i])));
    hex += digits;
    hex += i % 16 == 15 || i + 1 == bytes.size() ? '\n' : ' ';
  }
  return hex;
}

std::string FromHex(const std::string& hex) {
  std::istringstream words(hex);
  std::string bytes;
  for (std::string word; words >> word;)
    bytes.push_back(static_cast<char>(std::stoi(word, nullptr, 16)));
  return bytes;
}

Rating GoldenRating() {
  Rating rating;
  rating.user = UserId(610);
  rating.movie = MovieId(318);
  rating.value = Thousandths(4500);
  rating.time_seconds = 1'479'544'219;
  rating.stamp = Stamp{.source = "movielens",
                       .incarnation = MakeIncarnation(1, 0x2a),
                       .sequence = Sequence(9001),
                       .flushed_through = Sequence(9000)};
  return rating;
}

Rating GoldenIdempotentRating() {
  Rating rating = GoldenRating();
  rating.stamp->source = "http";
  rating.idempotency =
      Idempotency{.key = "7c9e6679", .index = 2, .body_digest = 0x0123456789abcdef};
  return rating;
}

Movie GoldenMovie() {
  return {.id = MovieId(4973),
          .title = "Amelie (Fabuleux destin d'Amélie Poulain, Le)",
          .year = 2001,
          .genres = {"Comedy", "Romance"},
          .source = "movielens"};
}

MeanRating GoldenMean() {
  MeanRating mean;
  mean.movie = MovieId(318);
  mean.aggregate.count = 317;
  mean.aggregate.sum_thousandths = 1'404'000;
  mean.aggregate.histogram = {0, 1, 2, 1, 5, 4, 33, 23, 95, 153};
  mean.shard = 3;
  mean.as_of = LogOffset(81'234);
  return mean;
}

Watermark GoldenWatermark() {
  return {.shard = 3,
          .ratings_through = LogOffset(81'236),
          .ratings_identity = "b6a7f3f0a1d24c5e",
          .last_published_ms = 1'700'000'000'123};
}

SourceProgress GoldenProgress() {
  SourceProgress progress;
  progress.source = "movielens";
  progress.incarnation = MakeIncarnation(1, 0x2a);
  progress.writer = 0x5eed5eed5eed5eed;
  progress.repeatable = true;
  progress.claim = LogOffset(12);
  progress.done = {.byte = 1'048'590,
                   .line = 42'000,
                   .digest = {.high = 0x1111222233334444, .low = 0x5555666677778888}};
  progress.intended = {.byte = 2'097'166,
                       .line = 84'100,
                       .digest = {.high = 0x9999aaaabbbbcccc, .low = 0xddddeeeeffff0000}};
  progress.next_sequence = {3501, 3499, 1};
  progress.rejected = 2;
  return progress;
}

DeadLetter GoldenDeadMessage() {
  DeadLetter letter;
  letter.message = {.topic = "ratings",
                    .topic_identity = "b6a7f3f0a1d24c5e",
                    .shard = 3,
                    .offset = LogOffset(81'235)};
  letter.key = "318";
  letter.value = std::string("\x18\xbe\x02\x28\xc4\x2c", 6);
  letter.error = "the value is 5.7; expected 0.5 to 5 in steps of 0.5";
  letter.first_seen = absl::FromUnixMillis(1'700'000'000'123);
  letter.last_seen = absl::FromUnixMillis(1'700'000'000'456);
  letter.service = "meanratingproducer";
  letter.version = "0.1.0";
  return letter;
}

DeadLetter GoldenDeadRow() {
  DeadLetter letter = GoldenDeadMessage();
  letter.message.reset();
  letter.row = {.source = "movielens", .incarnation = MakeIncarnation(1, 0x2a), .row = 17};
  letter.key.clear();
  letter.value = "1,318,5.7,964982703";
  letter.service = "ratingproducer";
  return letter;
}

Rules GoldenRules() { return OneShard(); }

// Three ratings of two movies, the second number missing; one of them of a request.
ShardState GoldenState() {
  ShardState state(GoldenRules(), 0);
  Rating first = GoldenRating();
  first.stamp->sequence = Sequence(1);
  first.stamp->flushed_through = Sequence(0);
  Rating third = first;
  third.movie = MovieId(1);
  third.value = Thousandths(4000);
  third.stamp->sequence = Sequence(3);
  Rating request = GoldenIdempotentRating();
  request.stamp->sequence = Sequence(1);
  request.stamp->flushed_through = Sequence(0);
  int64_t offset = 0;
  for (const Rating& rating : {first, third, request, third}) {
    OwnedMessage message = MessageAt(offset++, rating);
    state.Apply(message.Borrow());
  }
  return state;
}

Checkpoint GoldenCheckpoint() {
  Checkpoint checkpoint;
  checkpoint.shard = 0;
  checkpoint.ratings_identity = "b6a7f3f0a1d24c5e";
  checkpoint.next = LogOffset(4);
  checkpoint.last_record = {.offset = LogOffset(3),
                            .digest = {.high = 0x0102030405060708, .low = 0x090a0b0c0d0e0f10}};
  checkpoint.state = "(bytes of a Checkpoint)";
  return checkpoint;
}

constexpr uint64_t kGoldenNonce = 0xfeedfacecafebeef;

v1::ServiceReport GoldenReport() {
  v1::ServiceReport report;
  report.set_service("meanratingproducer");
  report.set_instance("meanratingproducer-7f3a");
  report.set_version("0.1.0");
  report.set_time_ms(1'700'000'000'123);
  auto* published = report.add_published();
  published->set_topic("mean-ratings");
  published->set_messages(87'585);
  auto* consumed = report.add_consumed();
  consumed->set_topic("ratings");
  consumed->set_messages(32'000'000);
  auto* lag = report.add_lag();
  lag->set_topic("ratings");
  lag->set_shard(3);
  lag->set_records(42);
  report.set_published_total(87'585);
  report.set_consumed_total(32'000'000);
  return report;
}

std::string Encode(const Rating& rating) {
  std::string bytes;
  AppendRating(rating, &bytes);
  return bytes;
}

bool ReadsAs(const std::string& bytes, const Rating& expected) {
  Rating rating;
  return ParseRating(bytes, &rating).ok() && rating == expected;
}

bool CollectsAs(const std::string& bytes, const Checkpoint& expected) {
  CheckpointCollector collector(expected.shard);
  return collector.Add(SplitCheckpoint(expected, kGoldenNonce)[0].key, bytes).ok() &&
         collector.Best() == expected;
}

bool RestoresTo(const std::string& bytes, const ShardState& expected) {
  absl::StatusOr<ShardState> state = ShardState::Decode(bytes, GoldenRules(), 0);
  return state.ok() && state->AllMeans() == expected.AllMeans() &&
         state->next() == expected.next() && state->counters() == expected.counters();
}

bool IsReport(const std::string& bytes) {
  v1::ServiceReport report;
  return report.ParseFromString(bytes) &&
         report.SerializeAsString() == GoldenReport().SerializeAsString() &&
         report.lag(0).records() == 42;
}

struct Golden {
  std::string encoded;
  std::function<bool(const std::string&)> reads;
};

std::map<std::string, Golden> Goldens() {
  std::map<std::string, Golden> goldens;
  goldens["rating"] = {Encode(GoldenRating()),
                       [](auto& bytes) { return ReadsAs(bytes, GoldenRating()); }};
  goldens["rating_of_request"] = {Encode(GoldenIdempotentRating()), [](auto& bytes) {
                                    return ReadsAs(bytes, GoldenIdempotentRating());
                                  }};
  goldens["movie"] = {EncodeMovie(GoldenMovie()),
                      [](auto& bytes) { return DecodeMovie(bytes).value() == GoldenMovie(); }};
  goldens["mean_rating"] = {EncodeMean(GoldenMean()),
                            [](auto& bytes) { return DecodeMean(bytes).value() == GoldenMean(); }};
  goldens["watermark"] = {EncodeWatermark(GoldenWatermark()), [](auto& bytes) {
                            return DecodeWatermark(bytes).value() == GoldenWatermark();
                          }};
  goldens["settings"] = {EncodeRules(Rules()),
                         [](auto& bytes) { return DecodeRules(bytes).value() == Rules(); }};
  goldens["source_progress"] = {EncodeSourceProgress(GoldenProgress()), [](auto& bytes) {
                                  return DecodeSourceProgress(bytes).value() == GoldenProgress();
                                }};
  goldens["dead_letter_of_message"] = {
      EncodeDeadLetter(GoldenDeadMessage()),
      [](auto& bytes) { return DecodeDeadLetter(bytes).value() == GoldenDeadMessage(); }};
  goldens["dead_letter_of_row"] = {EncodeDeadLetter(GoldenDeadRow()), [](auto& bytes) {
                                     return DecodeDeadLetter(bytes).value() == GoldenDeadRow();
                                   }};
  goldens["checkpoint"] = {GoldenState().Encode(),
                           [](auto& bytes) { return RestoresTo(bytes, GoldenState()); }};
  goldens["checkpoint_part"] = {SplitCheckpoint(GoldenCheckpoint(), kGoldenNonce)[0].value,
                                [](auto& bytes) { return CollectsAs(bytes, GoldenCheckpoint()); }};
  goldens["service_report"] = {GoldenReport().SerializeAsString(), IsReport};
  return goldens;
}

fs::path HexFile(const std::string& name) { return kRoot / "domain/testdata" / (name + ".hex"); }

TEST(GoldenBytes, OfEveryMessageAreWrittenAsTheyAlwaysWere) {
  for (const auto& [name, golden] : Goldens()) {
    if (std::getenv("MARQUEE_NEW_GOLDEN") != nullptr && !fs::exists(HexFile(name))) {
      std::ofstream(HexFile(name)) << ToHex(golden.encoded);
    }
    EXPECT_EQ(ToHex(golden.encoded), ReadFile(HexFile(name))) << name;
  }
}

TEST(GoldenBytes, OfEveryMessageAreRead) {
  for (const auto& [name, golden] : Goldens()) {
    EXPECT_TRUE(golden.reads(FromHex(ReadFile(HexFile(name))))) << name;
  }
}

TEST(GoldenBytes, AreOfNothingElse) {
  std::map<std::string, Golden> goldens = Goldens();
  for (const auto& file : fs::directory_iterator(kRoot / "domain/testdata")) {
    EXPECT_TRUE(goldens.contains(file.path().stem().string())) << file.path();
  }
}

// In the page a line "<!-- golden: NAME -->" stands before each block of hexadecimal digits.
std::map<std::string, std::string> HexOfPage(const std::string& page) {
  std::map<std::string, std::string> blocks;
  std::istringstream lines(page);
  std::string name;
  bool is_inside = false;
  for (std::string line; std::getline(lines, line);) {
    constexpr std::string_view kMark = "<!-- golden: ";
    if (line.starts_with(kMark)) {
      name = line.substr(kMark.size(), line.find(" -->") - kMark.size());
    } else if (!name.empty() && line == "```") {
      is_inside = !is_inside;
      if (!is_inside) name.clear();
    } else if (is_inside) {
      blocks[name] += line + "\n";
    }
  }
  return blocks;
}

TEST(FormatsPage, ShowsTheGoldenBytesOfEveryMessage) {
  std::map<std::string, std::string> shown = HexOfPage(ReadFile(kRoot / "docs/formats.md"));
  for (const auto& [name, golden] : Goldens())
    EXPECT_EQ(shown[name], ReadFile(HexFile(name))) << name;
}

TEST(FormatsPage, ShowsTheKeysAsTheyAre) {
  std::string page = ReadFile(kRoot / "docs/formats.md");
  for (const std::string& key :
       {MovieKey(GoldenRating().movie), WatermarkKey(3), SourceProgressKey(GoldenProgress()),
        DeadLetterKey(GoldenDeadMessage()), DeadLetterKey(GoldenDeadRow()),
        SplitCheckpoint(GoldenCheckpoint(), kGoldenNonce)[0].key}) {
    EXPECT_NE(page.find("`" + key + "`"), std::string::npos) << key;
  }
}

TEST(FormatsPage, NamesEveryFieldOfEveryMessage) {
  std::string page = ReadFile(kRoot / "docs/formats.md");
  const google::protobuf::Descriptor* const kMessages[] = {
      v1::Rating::descriptor(),       v1::Stamp::descriptor(),
      v1::Idempotency::descriptor(),  v1::Movie::descriptor(),
      v1::MeanRating::descriptor(),   v1::Watermark::descriptor(),
      v1::Settings::descriptor(),     v1::SourceProgress::descriptor(),
      v1::InputMark::descriptor(),    v1::DeadLetter::descriptor(),
      v1::Checkpoint::descriptor(),   v1::CheckpointPart::descriptor(),
      v1::ServiceReport::descriptor()};
  for (const auto* message : kMessages) {
    EXPECT_NE(page.find("`" + message->name() + "`"), std::string::npos) << message->name();
    for (int i = 0; i < message->field_count(); ++i) {
      EXPECT_NE(page.find("`" + message->field(i)->name() + "`"), std::string::npos)
          << message->field(i)->full_name();
    }
  }
}

}  // namespace
}  // namespace marquee::domain
