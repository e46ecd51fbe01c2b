// 9. Honest: an unreachable backend is retried until a deadline; what a caller may have to handle
// is a status whose code says what to do.
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "messaging/conformance/threads.h"
#include "messaging/conformance/trial.h"

namespace marquee::messaging::conformance {
namespace {

// What a slow machine may add to a deadline.
constexpr absl::Duration kSlack = absl::Seconds(5);

void AnUnknownTopicIsNotFound(Trial& trial) {
  std::string name = trial.Name("unknown");
  Broker& broker = trial.broker();
  EXPECT_EQ(CodeOf(broker.DescribeTopic(name)), absl::StatusCode::kNotFound);
  EXPECT_TRUE(absl::StrContains(broker.DescribeTopic(name).status().message(), name));
  EXPECT_EQ(broker.DeleteTopic(name).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(CodeOf(broker.DescribeShard(At(name, 0))), absl::StatusCode::kNotFound);
  EXPECT_EQ(CodeOf(broker.OpenPublisher(name)), absl::StatusCode::kNotFound);
  std::vector<std::string> topics = {name};
  EXPECT_EQ(CodeOf(broker.JoinGroup(topics, {.group = trial.Name("group")})),
            absl::StatusCode::kNotFound);
  auto reader = MUST(broker.OpenReader({}));
  EXPECT_EQ(reader->Start(At(name, 0), StartPosition::AtEarliest()).code(),
            absl::StatusCode::kNotFound);
}

void AnUnknownSettingIsRefused(Trial& trial) {
  BrokerOptions options;
  options.settings["no.such.setting"] = "1";
  absl::Status status = trial.backend().Open(options, trial.clock()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(status.message(), "no.such.setting")) << status;
}

void APollWithNothingToReadEndsInTime(Trial& trial) {
  std::string topic = trial.Declare(1);
  auto reader = MUST(trial.broker().OpenReader({}));
  absl::Duration begin = trial.clock().Uptime();
  EXPECT_FALSE(MUST(reader->Poll(absl::Milliseconds(50))).batch) << "nothing started";
  MUST(reader->Start(At(topic, 0), StartPosition::AtEarliest()));
  EXPECT_FALSE(MUST(reader->Poll(absl::Milliseconds(50))).batch) << "nothing published";
  EXPECT_FALSE(MUST(reader->Poll(absl::ZeroDuration())).batch);
  EXPECT_LT(trial.clock().Uptime() - begin, kSlack);
}

void APollEndsWhenARecordComes(Trial& trial) {
  std::string topic = trial.Declare(1);
  auto reader = MUST(trial.broker().OpenReader({}));
  MUST(reader->Start(At(topic, 0), StartPosition::AtEarliest()));
  auto elsewhere = trial.Open();
  auto publisher = MUST(elsewhere->OpenPublisher(topic));
  constexpr absl::Duration kFarTooLong = absl::Seconds(60);
  absl::Duration begin = trial.clock().Uptime();
  SideThread publishing([&] {
    trial.clock().SleepFor(absl::Milliseconds(100));  // so that the poll waits already
    Put(*publisher, "k", "v");
    MUST(publisher->Flush());
  });
  EXPECT_TRUE(trial.Soon([&] { return MUST(reader->Poll(kFarTooLong)).batch.has_value(); }));
  EXPECT_LT(trial.clock().Uptime() - begin, kSlack);
  publishing.Join();
}

void CallsEndByTheirDeadlineWhileTheBackendIsAway(Trial& trial) {
  std::string topic = trial.Declare(2);
  BrokerOptions options;
  options.deadline = trial.timings().short_deadline;
  auto broker = trial.Open(trial.clock(), options);
  auto publisher = MUST(broker->OpenPublisher(topic));
  Put(*publisher, "k", "before");
  MUST(publisher->Flush());
  trial.backend().SetReachable(false);
  absl::Duration begin = trial.clock().Uptime();
  NewRecord record{.key = "k", .value = "meanwhile"};
  absl::Status status = publisher->Publish({&record, 1});
  if (status.ok()) status = publisher->Flush().status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status) || absl::IsUnavailable(status)) << status;
  EXPECT_FALSE(status.message().empty());
  absl::Duration took = trial.clock().Uptime() - begin;
  EXPECT_LT(took, 2 * options.deadline + kSlack);
  EXPECT_GT(took, options.deadline / 2) << "it was tried until the deadline";
  trial.backend().SetReachable(true);
  EXPECT_TRUE(trial.SoonSeen([&] {
    return publisher->Publish({&record, 1}).ok() && publisher->Flush().ok();
  })) << "and goes on when it is back";
  std::vector<Got> got = ReadTopic(trial, trial.broker(), topic).Records();
  EXPECT_GE(got.size(), 2u);
  EXPECT_EQ(got[0].value, "before");
}

void ABackendThatComesBackInTimeIsWaitedFor(Trial& trial) {
  std::string topic = trial.Declare(1);
  auto broker = trial.Open();
  auto publisher = MUST(broker->OpenPublisher(topic));
  trial.backend().SetReachable(false);
  Put(*publisher, "k", "v");
  SideThread healing([&] {
    trial.clock().SleepFor(absl::Milliseconds(500));
    trial.backend().SetReachable(true);
  });
  absl::Status status = publisher->Flush().status();
  healing.Join();
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(ReadTopic(trial, trial.broker(), topic).size(), 1u);
}

}  // namespace

std::vector<Fact> HonestFacts() {
  return {MARQUEE_FACT(AnUnknownTopicIsNotFound),
          MARQUEE_FACT(AnUnknownSettingIsRefused),
          MARQUEE_FACT(APollWithNothingToReadEndsInTime),
          MARQUEE_FACT(APollEndsWhenARecordComes),
          MARQUEE_FACT(CallsEndByTheirDeadlineWhileTheBackendIsAway),
          MARQUEE_FACT(ABackendThatComesBackInTimeIsWaitedFor)};
}

}  // namespace marquee::messaging::conformance
