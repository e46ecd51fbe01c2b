#include "messaging/conformance/peer.h"

#include <map>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/random.h"
#include "base/status.h"

namespace marquee::messaging::conformance {
namespace {

constexpr absl::Duration kPollWait = absl::Milliseconds(20);

// One step after the other, so that RunPeer can be stopped between them.
class PeerRun {
 public:
  PeerRun(const PeerScript& script, Broker& broker, Clock& clock,
          const std::function<void(const PeerEvent&)>& emit, const std::function<bool()>& go_on)
      : script_(script), broker_(broker), clock_(clock), emit_(emit), go_on_(go_on) {}

  absl::Status Publish();
  absl::Status Share();

 private:
  void Emit(PeerEvent::Kind kind, uint64_t number) {
    emit_({.at = clock_.Uptime(),
           .kind = kind,
           .shard = {},
           .number = number,
           .offset = {},
           .text = {}});
  }
  absl::Status PublishBurst(Publisher& publisher, uint64_t records);
  absl::Status Answer(Subscription& subscription, const OwnershipEvent& event);

  const PeerScript& script_;
  Broker& broker_;
  Clock& clock_;
  const std::function<void(const PeerEvent&)>& emit_;
  const std::function<bool()>& go_on_;
  uint64_t sequence_ = 0;
  std::map<TopicShard, uint64_t> owned_;
};

absl::Status PeerRun::Publish() {
  MARQUEE_ASSIGN_OR_RETURN(auto publisher, broker_.OpenPublisher(script_.topics.at(0)));
  Random random(script_.seed);
  Emit(PeerEvent::Kind::kReady, 0);
  while (go_on_()) {
    MARQUEE_RETURN_IF_ERROR(PublishBurst(*publisher, 1 + random.Below(script_.burst_max)));
    MARQUEE_RETURN_IF_ERROR(publisher->Flush().status());
    Emit(PeerEvent::Kind::kFlushed, sequence_);
  }
  return absl::OkStatus();
}

absl::Status PeerRun::PublishBurst(Publisher& publisher, uint64_t records) {
  for (uint64_t i = 0; i < records; ++i) {
    ++sequence_;
    std::string key = absl::StrCat("k", sequence_ % script_.keys);
    std::string value = absl::StrCat(script_.name, ":", sequence_);
    NewRecord record{.key = key, .value = value};
    MARQUEE_RETURN_IF_ERROR(publisher.Publish({&record, 1}));
  }
  return absl::OkStatus();
}

absl::Status PeerRun::Share() {
  MARQUEE_ASSIGN_OR_RETURN(
      auto subscription,
      broker_.JoinGroup(script_.topics, {.group = script_.group,
                                         .member = script_.name,
                                         .session_timeout = script_.session_timeout}));
  Emit(PeerEvent::Kind::kReady, 0);
  while (go_on_()) {
    absl::Duration begin = clock_.Uptime();
    MARQUEE_ASSIGN_OR_RETURN(Delivery delivery, subscription->Poll(kPollWait));
    for (const OwnershipEvent& event : delivery.events) {
      MARQUEE_RETURN_IF_ERROR(Answer(*subscription, event));
    }
    if (!delivery.batch || delivery.batch->records.empty()) continue;
    const Batch& batch = *delivery.batch;
    emit_({.at = begin,
           .kind = PeerEvent::Kind::kRead,
           .shard = batch.shard,
           .number = owned_[batch.shard],
           .offset = batch.records.back().offset,
           .text = {}});
  }
  return absl::OkStatus();
}

absl::Status PeerRun::Answer(Subscription& subscription, const OwnershipEvent& event) {
  auto tell = [&](PeerEvent::Kind kind) {
    emit_({.at = clock_.Uptime(),
           .kind = kind,
           .shard = event.shard,
           .number = event.generation,
           .offset = {},
           .text = {}});
  };
  switch (event.kind) {
    case OwnershipEvent::Kind::kGained: {
      tell(PeerEvent::Kind::kGained);
      owned_[event.shard] = event.generation;
      absl::Status started = subscription.Start(event.shard, StartPosition::AtEarliest());
      // Aborted: it was lost again, as the next Poll will say.
      return absl::IsAborted(started) ? absl::OkStatus() : started;
    }
    case OwnershipEvent::Kind::kRevoked:
      tell(PeerEvent::Kind::kRevoked);
      MARQUEE_RETURN_IF_ERROR(subscription.Release(event.shard));
      tell(PeerEvent::Kind::kReleased);
      return absl::OkStatus();
    case OwnershipEvent::Kind::kLost:
      tell(PeerEvent::Kind::kLost);
      return absl::OkStatus();
  }
  return absl::InternalError("an ownership event of no known kind");
}

}  // namespace

std::string PeerEvent::ToLine() const {
  return absl::StrCat(absl::ToInt64Nanoseconds(at), "\t", static_cast<int>(kind), "\t", shard.topic,
                      "\t", shard.shard.value(), "\t", number, "\t", offset.value(), "\t", text);
}

std::optional<PeerEvent> PeerEvent::FromLine(std::string_view line) {
  std::vector<std::string> parts =
      absl::StrSplit(absl::string_view(line.data(), line.size()), absl::MaxSplits('\t', 6));
  int64_t at = 0, offset = 0;
  int kind = 0;
  uint32_t shard = 0;
  PeerEvent event{};
  if (parts.size() != 7 || !absl::SimpleAtoi(parts[0], &at) || !absl::SimpleAtoi(parts[1], &kind) ||
      !absl::SimpleAtoi(parts[3], &shard) || !absl::SimpleAtoi(parts[4], &event.number) ||
      !absl::SimpleAtoi(parts[5], &offset)) {
    return std::nullopt;
  }
  event.at = absl::Nanoseconds(at);
  event.kind = static_cast<Kind>(kind);
  event.shard = {parts[2], Shard(shard)};
  event.offset = Offset(offset);
  event.text = parts[6];
  return event;
}

void RunPeer(const PeerScript& script, Broker& broker, Clock& clock,
             const std::function<void(const PeerEvent&)>& emit,
             const std::function<bool()>& go_on) {
  PeerRun run(script, broker, clock, emit, go_on);
  absl::Status status = script.role == PeerScript::Role::kPublisher ? run.Publish() : run.Share();
  emit({.at = clock.Uptime(),
        .kind = status.ok() ? PeerEvent::Kind::kFinished : PeerEvent::Kind::kFailed,
        .shard = {},
        .number = 0,
        .offset = {},
        .text = std::string(status.message())});
}

}  // namespace marquee::messaging::conformance
