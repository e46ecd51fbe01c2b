#include "messaging/rabbitmq/group_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace marquee::messaging::rabbitmq {
namespace {

std::vector<std::string> Words(std::string_view text, char between) {
  return absl::StrSplit(absl::string_view(text.data(), text.size()), between);
}

// Words of an entry hold no tab and no line feed.
std::string Escape(std::string_view text) { return absl::CHexEscape(std::string(text)); }
std::string Unescape(const std::string& word) {
  std::string text;
  return absl::CUnescape(word, &text) ? text : word;
}

template <typename T>
bool Number(const std::string& word, T* value) {
  return absl::SimpleAtoi(word, value);
}

// "ratings=12,movies=12"
std::string TopicsText(const std::map<std::string, uint32_t>& topics) {
  std::string text;
  for (const auto& [topic, shards] : topics) {
    text += fmt::format("{}{}={}", text.empty() ? "" : ",", topic, shards);
  }
  return text;
}

std::map<std::string, uint32_t> TopicsOf(const std::string& text) {
  std::map<std::string, uint32_t> topics;
  for (const std::string& word : Words(text, ',')) {
    std::vector<std::string> pair = Words(word, '=');
    uint32_t shards = 0;
    if (pair.size() == 2 && Number(pair[1], &shards)) topics[pair[0]] = shards;
  }
  return topics;
}

}  // namespace

std::string JoinEntry(std::string_view id, std::string_view name, int64_t session_timeout_ms,
                      const std::map<std::string, uint32_t>& topics) {
  return fmt::format("join\t{}\t{}\t{}\t{}", id, Escape(name), session_timeout_ms,
                     TopicsText(topics));
}
std::string BeatEntry(std::string_view id, int64_t read_to) {
  return fmt::format("beat\t{}\t{}", id, read_to);
}
std::string LeaveEntry(std::string_view id) { return fmt::format("leave\t{}", id); }
std::string ExpelEntry(std::string_view id, int64_t beat_at) {
  return fmt::format("expel\t{}\t{}", id, beat_at);
}
std::string ReleaseEntry(std::string_view id, const SlotId& slot, uint64_t generation) {
  return fmt::format("release\t{}\t{}\t{}\t{}", id, slot.shards, slot.shard, generation);
}
std::string ForceEntry(const SlotId& slot, uint64_t generation) {
  return fmt::format("force\t{}\t{}\t{}", slot.shards, slot.shard, generation);
}
std::string ReportEntry(const TopicShard& shard, std::string_view topic_identity, Offset next) {
  return fmt::format("report\t{}\t{}\t{}\t{}", shard.topic, shard.shard.value(), topic_identity,
                     next.value());
}

void GroupState::Take(int64_t offset, std::string_view entry) {
  next_offset_ = offset + 1;
  std::vector<std::string> words = Words(entry, '\t');
  const std::string& verb = words[0];
  if (verb == "join" && words.size() == 5) {
    Join(offset, words);
  } else if (verb == "beat" && words.size() == 3) {
    Beat(offset, words);
  } else if (verb == "leave" && words.size() == 2) {
    Remove(words[1]);
  } else if (verb == "expel" && words.size() == 3) {
    auto member = members_.find(words[1]);
    int64_t beat_at = 0;
    if (member == members_.end() || !Number(words[2], &beat_at)) return;
    // It has been heard of since.
    if (member->second.beat_at != beat_at) return;
    Remove(words[1]);
  } else if (verb == "release" && words.size() == 5) {
    Slot* slot = Find(words[2], words[3], words[4]);
    if (slot == nullptr || slot->owner != words[1]) return;
    *slot = {.owner = {}, .generation = slot->generation};
  } else if (verb == "force" && words.size() == 4) {
    Slot* slot = Find(words[1], words[2], words[3]);
    if (slot == nullptr || slot->revoked_at < 0 || slot->forced_at >= 0) return;
    slot->forced_at = offset;
    return;
  } else if (verb == "report" && words.size() == 5) {
    uint32_t shard = 0;
    int64_t next = 0;
    if (Number(words[2], &shard) && Number(words[4], &next)) {
      reports_[{words[1], Shard(shard)}] = {words[3], next};
    }
    return;
  } else {
    return;  // of a later version
  }
  Balance(offset);
}

void GroupState::Join(int64_t offset, const std::vector<std::string>& words) {
  std::map<std::string, uint32_t> topics = TopicsOf(words[4]);
  if (members_.contains(words[1]) || topics.empty()) return;
  // All members share the same topics; whoever asks for others does not become one.
  if (!members_.empty() && topics != topics_) return;
  GroupMemberState member{.name = Unescape(words[2]), .joined_at = offset, .beat_at = offset};
  if (!Number(words[3], &member.session_timeout_ms)) return;
  if (topics != topics_) {
    topics_ = std::move(topics);
    std::map<SlotId, Slot> slots;
    for (const auto& [topic, shards] : topics_) {
      for (uint32_t i = 0; i < shards; ++i) slots[{shards, i}] = Slot();
    }
    slots_ = std::move(slots);
  }
  members_[words[1]] = std::move(member);
}

void GroupState::Beat(int64_t offset, const std::vector<std::string>& words) {
  auto member = members_.find(words[1]);
  int64_t read_to = 0;
  if (member == members_.end() || !Number(words[2], &read_to)) return;
  member->second.beat_at = offset;
  for (auto& [id, slot] : slots_) {
    // Its owner has read that it is taken away, and stopped.
    if (slot.owner != words[1] || slot.forced_at < 0 || read_to <= slot.forced_at) continue;
    slot = {.owner = {}, .generation = slot.generation};
  }
}

void GroupState::Remove(const std::string& id) {
  if (members_.erase(id) == 0) return;
  for (auto& [slot_id, slot] : slots_) {
    if (slot.owner == id) slot = {.owner = {}, .generation = slot.generation};
  }
}

Slot* GroupState::Find(const std::string& shards, const std::string& shard,
                       const std::string& generation) {
  SlotId id;
  uint64_t number = 0;
  if (!Number(shards, &id.shards) || !Number(shard, &id.shard) || !Number(generation, &number)) {
    return nullptr;
  }
  auto found = slots_.find(id);
  if (found == slots_.end() || found->second.generation != number) return nullptr;
  return found->second.owner.empty() ? nullptr : &found->second;
}

void GroupState::Balance(int64_t offset) {
  if (members_.empty()) return;
  std::set<uint32_t> counts;
  for (const auto& [id, slot] : slots_) counts.insert(id.shards);
  for (uint32_t shards : counts) BalanceSlots(offset, shards);
}

// Shares differ by at most 1. Those who hold most keep what is left over, so that nothing moves
// without need; among equals, those who hold least of other topics get it.
void GroupState::BalanceSlots(int64_t offset, uint32_t shards) {
  struct Share {
    size_t held = 0;
    size_t elsewhere = 0;
    size_t quota = 0;
    int64_t joined_at = 0;
  };
  std::map<std::string, Share> shares;
  for (const auto& [id, member] : members_) shares[id].joined_at = member.joined_at;
  size_t total = 0;
  for (const auto& [id, slot] : slots_) {
    total += id.shards == shards ? 1 : 0;
    if (slot.owner.empty() || slot.revoked_at >= 0) continue;
    Share& share = shares[slot.owner];
    ++(id.shards == shards ? share.held : share.elsewhere);
  }
  std::vector<Share*> by_claim;
  by_claim.reserve(shares.size());
  for (auto& [id, share] : shares) by_claim.push_back(&share);
  std::sort(by_claim.begin(), by_claim.end(), [](const Share* a, const Share* b) {
    return std::tuple(b->held, a->elsewhere, a->joined_at) <
           std::tuple(a->held, b->elsewhere, b->joined_at);
  });
  for (size_t i = 0; i < by_claim.size(); ++i) {
    by_claim[i]->quota = total / shares.size() + (i < total % shares.size() ? 1 : 0);
  }
  for (auto slot = slots_.rbegin(); slot != slots_.rend(); ++slot) {
    if (slot->first.shards != shards || slot->second.owner.empty()) continue;
    Share& share = shares[slot->second.owner];
    if (slot->second.revoked_at >= 0 || share.held <= share.quota) continue;
    slot->second.revoked_at = offset;
    --share.held;
  }
  for (auto& [id, slot] : slots_) {
    if (id.shards != shards || !slot.owner.empty()) continue;
    auto wants = std::find_if(shares.begin(), shares.end(), [](const auto& entry) {
      return entry.second.held < entry.second.quota;
    });
    if (wants == shares.end()) continue;
    slot = {.owner = wants->first, .generation = static_cast<uint64_t>(offset) + 1};
    ++wants->second.held;
  }
}

std::string GroupState::ToEntry() const {
  std::string text = fmt::format("state\t{}\t{}", next_offset_, TopicsText(topics_));
  for (const auto& [id, member] : members_) {
    text += fmt::format("\nm\t{}\t{}\t{}\t{}\t{}", id, Escape(member.name), member.joined_at,
                        member.beat_at, member.session_timeout_ms);
  }
  for (const auto& [id, slot] : slots_) {
    text += fmt::format("\ns\t{}\t{}\t{}\t{}\t{}\t{}", id.shards, id.shard, slot.owner,
                        slot.generation, slot.revoked_at, slot.forced_at);
  }
  for (const auto& [shard, report] : reports_) {
    text += fmt::format("\nr\t{}\t{}\t{}\t{}", shard.topic, shard.shard.value(),
                        report.topic_identity, report.next);
  }
  return text;
}

bool GroupState::FromEntry(std::string_view entry, int64_t* next_offset) {
  GroupState state;
  std::vector<std::string> lines = Words(entry, '\n');
  std::vector<std::string> head = Words(lines[0], '\t');
  if (head.size() != 3 || head[0] != "state" || !Number(head[1], &state.next_offset_)) return false;
  state.topics_ = TopicsOf(head[2]);
  for (size_t i = 1; i < lines.size(); ++i) {
    std::vector<std::string> words = Words(lines[i], '\t');
    if (words[0] == "m" && words.size() == 6) {
      GroupMemberState& member = state.members_[words[1]];
      member.name = Unescape(words[2]);
      if (!Number(words[3], &member.joined_at) || !Number(words[4], &member.beat_at) ||
          !Number(words[5], &member.session_timeout_ms)) {
        return false;
      }
    } else if (words[0] == "s" && words.size() == 7) {
      SlotId id;
      if (!Number(words[1], &id.shards) || !Number(words[2], &id.shard)) return false;
      Slot& slot = state.slots_[id];
      slot.owner = words[3];
      if (!Number(words[4], &slot.generation) || !Number(words[5], &slot.revoked_at) ||
          !Number(words[6], &slot.forced_at)) {
        return false;
      }
    } else if (words[0] == "r" && words.size() == 5) {
      uint32_t shard = 0;
      GroupReport report{.topic_identity = words[3]};
      if (!Number(words[2], &shard) || !Number(words[4], &report.next)) return false;
      state.reports_[{words[1], Shard(shard)}] = report;
    } else {
      return false;
    }
  }
  *next_offset = state.next_offset_;
  *this = std::move(state);
  return true;
}

}  // namespace marquee::messaging::rabbitmq
