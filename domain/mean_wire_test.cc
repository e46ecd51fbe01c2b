// Against libprotobuf, on means of every size, and on bytes that were changed.
#include "domain/mean_wire.h"

#include <string>

#include "base/random.h"
#include "gtest/gtest.h"
#include "marquee/v1/movie.pb.h"

namespace marquee::domain {
namespace {

constexpr int kRounds = 50'000;

uint64_t AnyNumber(Random& random) { return random.Next() >> random.Below(64); }

v1::MeanRating AnyMessage(Random& random) {
  v1::MeanRating message;
  message.set_movie_id(AnyNumber(random));
  message.set_count(AnyNumber(random));
  message.set_sum_thousandths(static_cast<int64_t>(AnyNumber(random)));
  if (!random.OneIn(4)) {
    for (int i = 0; i < kHistogramBinsMax; ++i) message.add_histogram(AnyNumber(random));
  }
  message.set_shard(static_cast<uint32_t>(AnyNumber(random)));
  message.set_as_of(static_cast<int64_t>(AnyNumber(random)));
  message.set_mean_micros(static_cast<int64_t>(AnyNumber(random)));
  if (random.OneIn(8)) message.clear_count();
  if (random.OneIn(8)) message.clear_shard();
  return message;
}

void ExpectSame(const MeanRating& mean, const v1::MeanRating& message) {
  EXPECT_EQ(mean.movie.value(), message.movie_id());
  EXPECT_EQ(mean.aggregate.count, message.count());
  EXPECT_EQ(mean.aggregate.sum_thousandths, message.sum_thousandths());
  EXPECT_EQ(mean.shard, message.shard());
  EXPECT_EQ(mean.as_of.value(), message.as_of());
  for (int i = 0; i < kHistogramBinsMax; ++i) {
    EXPECT_EQ(mean.aggregate.histogram[static_cast<size_t>(i)],
              message.histogram().empty() ? 0 : message.histogram(i));
  }
  EXPECT_TRUE(message.histogram().empty() || message.histogram_size() == kHistogramBinsMax);
}

TEST(MeanWire, WritesWhatLibprotobufWritesAndReadsIt) {
  Random random(1);
  for (int round = 0; round < kRounds; ++round) {
    v1::MeanRating message = AnyMessage(random);
    std::string bytes = message.SerializeAsString();
    MeanRating mean;
    ASSERT_TRUE(ReadUsualMean(bytes, &mean)) << message.DebugString();
    ExpectSame(mean, message);
    char buffer[kMeanBytesMax];
    char* end = WriteMean(mean, message.mean_micros(), buffer);
    ASSERT_EQ(std::string_view(buffer, static_cast<size_t>(end - buffer)), bytes)
        << message.DebugString();
    if (HasFailure()) return;
  }
}

// What it takes is what libprotobuf finds there.
TEST(MeanWire, TakesNothingThatLibprotobufReadsAnotherWay) {
  Random random(2);
  int taken = 0;
  for (int round = 0; round < kRounds; ++round) {
    std::string bytes = AnyMessage(random).SerializeAsString();
    for (uint64_t changes = 1 + random.Below(3); changes > 0 && !bytes.empty(); --changes) {
      size_t at = random.Below(bytes.size());
      switch (random.Below(4)) {
        case 0:
          bytes[at] = static_cast<char>(random.Next());
          break;
        case 1:
          bytes.erase(at, 1 + random.Below(3));
          break;
        case 2:
          bytes.insert(at, 1, static_cast<char>(random.Next()));
          break;
        default:
          bytes.resize(at);
      }
    }
    MeanRating mean;
    if (!ReadUsualMean(bytes, &mean)) continue;
    ++taken;
    v1::MeanRating message;
    ASSERT_TRUE(message.ParseFromString(bytes));
    ExpectSame(mean, message);
    if (HasFailure()) return;
  }
  EXPECT_GT(taken, kRounds / 50);
}

}  // namespace
}  // namespace marquee::domain
