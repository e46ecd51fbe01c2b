#include "messaging/conformance/herd.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace marquee::messaging::conformance {
namespace {

constexpr absl::Duration kPollWait = absl::Milliseconds(1);

}  // namespace

bool Member::Heard(OwnershipEvent::Kind kind, const TopicShard& shard) const {
  return std::any_of(events_.begin(), events_.end(), [&](const OwnershipEvent& event) {
    return event.kind == kind && event.shard == shard;
  });
}

Herd::Herd(Trial& trial, std::string group, std::vector<std::string> topics)
    : trial_(trial), group_(std::move(group)), topics_(std::move(topics)) {
  for (const std::string& topic : topics_) {
    for (const TopicShard& shard : ShardsOf(trial_.broker(), topic)) shards_.push_back(shard);
  }
}

Member& Herd::Join() {
  Member& member = members_.emplace_back();
  member.name_ = trial_.Name("member");
  member.broker_ = trial_.Open();
  member.subscription_ = MUST(
      member.broker_->JoinGroup(topics_, {.group = group_,
                                          .member = member.name_,
                                          .session_timeout = trial_.timings().session_timeout}));
  return member;
}

void Herd::Leave(Member& member) {
  for (auto& [shard, owner] : owner_) {
    if (owner == &member) owner = nullptr;
  }
  members_.remove_if([&](const Member& other) { return &other == &member; });
}

Member& Herd::at(size_t index) { return *std::next(members_.begin(), index); }

bool Herd::PollAll() {
  bool any = false;
  for (Member& member : members_) {
    if (member.polling_ && Poll(member)) any = true;
  }
  return any;
}

bool Herd::Poll(Member& member) {
  Delivery delivery = MUST(member.subscription_->Poll(kPollWait));
  for (const OwnershipEvent& event : delivery.events) Take(member, event);
  if (delivery.batch) {
    const TopicShard& shard = delivery.batch->shard;
    EXPECT_TRUE(member.owned_.contains(shard))
        << member.name_ << " was handed records of " << shard
        << ", which it does not own, or no more after the events of the same delivery";
    EXPECT_EQ(owner_[shard], &member)
        << member.name_ << " was handed records of " << shard << ", which "
        << (owner_[shard] ? owner_[shard]->name_ : "nobody") << " has gained since";
    collector_.Add(*delivery.batch);
    next_[shard] = delivery.batch->next;
  }
  return delivery.batch.has_value() || !delivery.events.empty();
}

void Herd::Take(Member& member, const OwnershipEvent& event) {
  member.events_.push_back(event);
  if (event.kind == OwnershipEvent::Kind::kGained) return TakeGained(member, event);
  auto owned = member.owned_.find(event.shard);
  bool had = owned != member.owned_.end() && owned->second == event.generation;
  EXPECT_TRUE(had) << member.name_ << " was told of " << event.shard << " with generation "
                   << event.generation << ", which it does not have";
  if (!had) return;
  if (event.kind == OwnershipEvent::Kind::kLost) {
    member.owned_.erase(owned);
  } else if (member.releasing_) {
    MUST(member.subscription_->Release(event.shard));
    member.owned_.erase(owned);
  }
}

void Herd::TakeGained(Member& member, const OwnershipEvent& event) {
  EXPECT_FALSE(member.owned_.contains(event.shard))
      << member.name_ << " gained " << event.shard << ", which it has already";
  EXPECT_GT(event.generation, generation_[event.shard])
      << member.name_ << " gained " << event.shard << " with a generation that was there before";
  generation_[event.shard] = event.generation;
  owner_[event.shard] = &member;
  member.owned_[event.shard] = event.generation;
  StartPosition start = StartPosition::AtEarliest();
  if (auto at = next_.find(event.shard); at != next_.end()) {
    start = AtOffset(trial_.broker(), event.shard.topic, at->second);
  }
  absl::Status started = member.subscription_->Start(event.shard, start);
  // Aborted: it was lost again, as the next poll will say.
  if (!absl::IsAborted(started)) MUST(started);
}

bool Herd::Eventually(const std::function<bool()>& done) {
  absl::Duration within = trial_.timings().settle + trial_.timings().session_timeout;
  return trial_.Eventually(within, [&] {
    PollAll();
    return done();
  });
}

bool Herd::Settled() {
  std::map<TopicShard, int> owners;
  for (const std::string& topic : topics_) {
    size_t least = shards_.size(), most = 0;
    for (const Member& member : members_) {
      if (!member.polling_) continue;
      size_t count = 0;
      for (const auto& [shard, generation] : member.owned_) {
        if (shard.topic != topic) continue;
        ++count;
        ++owners[shard];
      }
      least = std::min(least, count);
      most = std::max(most, count);
    }
    if (most > least + 1) return false;
  }
  return owners.size() == shards_.size() &&
         std::all_of(owners.begin(), owners.end(),
                     [](const auto& entry) { return entry.second == 1; });
}

bool Herd::EventuallyReadAll() {
  std::map<TopicShard, Offset> ends;
  for (const TopicShard& shard : shards_) {
    ends[shard] = MUST(trial_.broker().DescribeShard(shard)).end;
  }
  return trial_.Soon([&] {
    PollAll();
    return std::all_of(ends.begin(), ends.end(),
                       [&](const auto& entry) { return next_[entry.first] >= entry.second; });
  });
}

}  // namespace marquee::messaging::conformance
