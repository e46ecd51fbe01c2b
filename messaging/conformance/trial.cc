#include "messaging/conformance/trial.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace marquee::messaging::conformance {
namespace {

constexpr absl::Duration kBetweenLooks = absl::Milliseconds(5);
constexpr absl::Duration kPollWait = absl::Milliseconds(20);

}  // namespace

void Fail(const absl::Status& status, const char* expression, const char* file, int line) {
  ADD_FAILURE_AT(file, line) << expression << ": " << status;
  throw TrialFailed();
}

Trial::Trial(Backend& backend, uint64_t seed)
    : backend_(backend),
      timings_(backend.timings()),
      random_(seed),
      // Not from the seed: a server may remember earlier runs.
      suffix_(absl::StrFormat("%016x", Random::FromSystem().Next())) {}

std::string Trial::Name(std::string_view what) {
  return absl::StrCat(std::string(what), "-", suffix_, "-", ++names_);
}

std::unique_ptr<Broker> Trial::Open(Clock& clock, const BrokerOptions& options) {
  return MUST(backend_.Open(options, clock));
}

Broker& Trial::broker() {
  if (broker_ == nullptr) broker_ = Open();
  return *broker_;
}

void Trial::Restart() {
  broker_.reset();
  backend_.RestartServer();
}

std::string Trial::Declare(uint32_t shards, TopicKind kind, absl::Duration retention) {
  TopicSpec spec{.name = Name("topic"), .kind = kind, .shards = shards, .retention = retention};
  MUST(broker().DeclareTopic(spec));
  return spec.name;
}

bool Trial::Eventually(absl::Duration within, const std::function<bool()>& done) {
  absl::Duration deadline = clock_.Uptime() + within;
  while (!done()) {
    if (clock_.Uptime() > deadline) return false;
  }
  return true;
}

bool Trial::SoonSeen(const std::function<bool()>& done) {
  return Soon([&] {
    if (done()) return true;
    clock_.SleepFor(kBetweenLooks);
    return false;
  });
}

void Put(Publisher& publisher, std::string_view key, std::optional<std::string_view> value,
         std::optional<Shard> shard) {
  NewRecord record{.key = key, .value = value, .headers = {}, .shard = shard};
  MUST(publisher.Publish({&record, 1}));
}

FlushedThrough PutMany(Broker& broker, const std::string& topic, int first, int last, int keys,
                       std::string_view prefix) {
  auto publisher = MUST(broker.OpenPublisher(topic));
  for (int i = first; i <= last; ++i) {
    Put(*publisher, absl::StrCat("k", i % keys), absl::StrCat(std::string(prefix), i));
  }
  return MUST(publisher->Flush());
}

TopicShard At(const std::string& topic, uint32_t shard) { return {topic, Shard(shard)}; }

std::vector<TopicShard> ShardsOf(Broker& broker, const std::string& topic) {
  return messaging::ShardsOf(topic, MUST(broker.DescribeTopic(topic)).spec.shards);
}

StartPosition AtOffset(Broker& broker, const std::string& topic, Offset offset) {
  return StartPosition::At({MUST(broker.DescribeTopic(topic)).identity, offset});
}

void ReadUntil(Trial& trial, Subscription& subscription,
               const std::vector<std::pair<TopicShard, Offset>>& ends, Collector* collector) {
  bool all = trial.Soon([&] {
    bool arrived = true;
    for (const auto& [shard, end] : ends) {
      if (MUST(subscription.Next(shard)) < end) arrived = false;
    }
    if (arrived) return true;
    Delivery delivery = MUST(subscription.Poll(kPollWait));
    if (delivery.batch) {
      collector->Add(*delivery.batch);
      EXPECT_EQ(delivery.batch->next, MUST(subscription.Next(delivery.batch->shard)));
    }
    return false;
  });
  MUST_TRUE(all);
}

void ReadToEnd(Trial& trial, Broker& broker, Subscription& subscription,
               const std::vector<TopicShard>& shards, Collector* collector) {
  std::vector<std::pair<TopicShard, Offset>> ends;
  ends.reserve(shards.size());
  for (const TopicShard& shard : shards) {
    ends.emplace_back(shard, MUST(broker.DescribeShard(shard)).end);
  }
  ReadUntil(trial, subscription, ends, collector);
}

namespace {

Collector Read(Trial& trial, Broker& broker, const std::vector<TopicShard>& shards,
               const StartPosition& start) {
  Collector collector;
  auto reader = MUST(broker.OpenReader({}));
  for (const TopicShard& shard : shards) MUST(reader->Start(shard, start));
  ReadToEnd(trial, broker, *reader, shards, &collector);
  return collector;
}

}  // namespace

Collector ReadTopic(Trial& trial, Broker& broker, const std::string& topic,
                    const StartPosition& start) {
  return Read(trial, broker, ShardsOf(broker, topic), start);
}

Collector ReadShard(Trial& trial, Broker& broker, const TopicShard& shard,
                    const StartPosition& start) {
  return Read(trial, broker, {shard}, start);
}

}  // namespace marquee::messaging::conformance
