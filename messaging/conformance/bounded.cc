// 7. Bounded: queues have limits; a publisher ahead of its broker waits; nothing is dropped
// silently; a message over the limit is refused.
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "messaging/conformance/trial.h"

namespace marquee::messaging::conformance {
namespace {

// Publishes `refused` amid others, which must all be refused; then one that is taken.
void ExpectRefused(Trial& trial, const NewRecord& refused, std::string_view limit) {
  std::string topic = trial.Declare(1);
  auto publisher = MUST(trial.broker().OpenPublisher(topic));
  Put(*publisher, "before", "1");
  NewRecord records[] = {{.key = "beside", .value = "2"}, refused, {.key = "beside", .value = "3"}};
  absl::Status status = publisher->Publish(records);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(status.message(), absl::string_view(limit.data(), limit.size())))
      << "names the limit " << std::string(limit) << ": " << status;
  Put(*publisher, "after", "4");
  MUST(publisher->Flush());
  std::vector<Got> got = ReadTopic(trial, trial.broker(), topic).Records();
  ASSERT_EQ(got.size(), 2u) << "nothing of the refused call, all of the others";
  EXPECT_EQ(got[0].key, "before");
  EXPECT_EQ(got[1].key, "after");
}

void AMessageOverTheLimitIsRefused(Trial& trial) {
  std::string value(kMessageBytesMax, 'x');
  ExpectRefused(trial, {.key = "k", .value = value}, absl::StrCat(kMessageBytesMax));
  std::string half(kMessageBytesMax / 2, 'x');
  Header header{"h", half};
  ExpectRefused(trial, {.key = "", .value = half, .headers = {&header, 1}},
                absl::StrCat(kMessageBytesMax));
}

void AKeyOverTheLimitIsRefused(Trial& trial) {
  std::string key(kKeyBytesMax + 1, 'k');
  ExpectRefused(trial, {.key = key, .value = "v"}, absl::StrCat(kKeyBytesMax));
}

void TooManyHeadersAreRefused(Trial& trial) {
  std::vector<Header> headers(kHeadersMax + 1, Header{"h", "v"});
  ExpectRefused(trial, {.key = "k", .value = "v", .headers = headers}, absl::StrCat(kHeadersMax));
}

void WhatIsJustWithinTheLimitsIsTaken(Trial& trial) {
  std::string topic = trial.Declare(1);
  std::string key(kKeyBytesMax, 'k');
  std::string value(kMessageBytesMax - kKeyBytesMax - 2 * kHeadersMax, 'v');
  std::vector<Header> headers(kHeadersMax, Header{"h", "v"});
  NewRecord record{.key = key, .value = value, .headers = headers};
  auto publisher = MUST(trial.broker().OpenPublisher(topic));
  for (int i = 0; i < 5; ++i) MUST(publisher->Publish({&record, 1}));
  MUST(publisher->Flush());
  std::vector<Got> got = ReadTopic(trial, trial.broker(), topic).Records();
  ASSERT_EQ(got.size(), 5u);
  EXPECT_EQ(got[4].key, key);
  EXPECT_EQ(got[4].value, value);
  EXPECT_EQ(got[4].headers.size(), kHeadersMax);
}

void APublisherFarAheadOfItsReadersLosesNothing(Trial& trial) {
  constexpr int kRecords = 120'000, kSpan = 1'000;
  std::string topic = trial.Declare(4);
  auto publisher = MUST(trial.broker().OpenPublisher(topic));
  std::string filler(100, 'x');
  for (int done = 0; done < kRecords; done += kSpan) {
    std::vector<std::string> values;
    values.reserve(kSpan);
    for (int i = 0; i < kSpan; ++i) values.push_back(absl::StrCat(done + i, filler));
    std::vector<NewRecord> records;
    records.reserve(kSpan);
    for (int i = 0; i < kSpan; ++i) {
      records.push_back({.key = std::string_view(values[i]).substr(0, 3), .value = values[i]});
    }
    MUST(publisher->Publish(records));
  }
  MUST(publisher->Flush());
  EXPECT_EQ(ReadTopic(trial, trial.broker(), topic).size(), size_t{kRecords});
}

void APublisherAheadOfItsBrokerWaitsUntilItsDeadline(Trial& trial) {
  std::string topic = trial.Declare(2);
  PutMany(trial.broker(), topic, 1, 100, 10);
  BrokerOptions options;
  options.deadline = trial.timings().short_deadline;
  auto broker = trial.Open(trial.clock(), options);
  auto publisher = MUST(broker->OpenPublisher(topic));
  trial.backend().SetReachable(false);
  std::string value(kMessageBytesMax / 2, 'x');
  absl::Status status;
  size_t taken = 0;
  for (; status.ok() && taken <= trial.timings().queue_bytes_max; taken += value.size()) {
    NewRecord record{.key = "k", .value = value};
    status = publisher->Publish({&record, 1});
  }
  EXPECT_FALSE(status.ok()) << "took " << taken << " bytes and waits for nothing";
  EXPECT_TRUE(absl::IsDeadlineExceeded(status) || absl::IsUnavailable(status)) << status;
  trial.backend().SetReachable(true);
  // As after a failed Flush: none of it is sent any more, and the publisher may be used again.
  EXPECT_TRUE(trial.SoonSeen([&] { return publisher->Flush().ok(); }));
  size_t settled = ReadTopic(trial, trial.broker(), topic).size();
  Put(*publisher, "k", "again");
  MUST(publisher->Flush());
  EXPECT_EQ(ReadTopic(trial, trial.broker(), topic).size(), settled + 1);
}

}  // namespace

std::vector<Fact> BoundedFacts() {
  return {MARQUEE_FACT(AMessageOverTheLimitIsRefused),
          MARQUEE_FACT(AKeyOverTheLimitIsRefused),
          MARQUEE_FACT(TooManyHeadersAreRefused),
          MARQUEE_FACT(WhatIsJustWithinTheLimitsIsTaken),
          MARQUEE_FACT(APublisherFarAheadOfItsReadersLosesNothing),
          MARQUEE_FACT(APublisherAheadOfItsBrokerWaitsUntilItsDeadline)};
}

}  // namespace marquee::messaging::conformance
