#include "messaging/conformance/broken_backends.h"

#include <atomic>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/random.h"
#include "base/status.h"

namespace marquee::messaging::conformance {
namespace {

// A record that owns its bytes.
class HeldRecord {
 public:
  explicit HeldRecord(const NewRecord& record)
      : key_(record.key), value_(record.value), shard_(record.shard) {
    for (const Header& header : record.headers) headers_.emplace_back(header.name, header.value);
  }
  absl::Status PublishTo(Publisher& publisher) const {
    std::vector<Header> headers;
    for (const auto& [name, value] : headers_) headers.push_back({name, value});
    NewRecord record{.key = key_, .value = value_, .headers = headers, .shard = shard_};
    return publisher.Publish({&record, 1});
  }

 private:
  std::string key_;
  std::optional<std::string> value_;
  std::vector<std::pair<std::string, std::string>> headers_;
  std::optional<Shard> shard_;
};

class DroppingPublisher final : public Publisher {
 public:
  explicit DroppingPublisher(std::unique_ptr<Publisher> inner) : inner_(std::move(inner)) {}
  absl::Status Publish(std::span<const NewRecord> records) override {
    std::vector<NewRecord> kept;
    for (const NewRecord& record : records) {
      if (!random_.OneIn(1'000)) kept.push_back(record);
    }
    return inner_->Publish(kept);
  }
  absl::StatusOr<FlushedThrough> Flush() override { return inner_->Flush(); }

 private:
  std::unique_ptr<Publisher> inner_;
  Random random_{1};
};

class RepeatingPublisher final : public Publisher {
 public:
  explicit RepeatingPublisher(std::unique_ptr<Publisher> inner) : inner_(std::move(inner)) {}
  absl::Status Publish(std::span<const NewRecord> records) override {
    std::vector<NewRecord> more;
    for (const NewRecord& record : records) {
      more.push_back(record);
      if (random_.OneIn(1'000)) more.push_back(record);
    }
    return inner_->Publish(more);
  }
  absl::StatusOr<FlushedThrough> Flush() override { return inner_->Flush(); }

 private:
  std::unique_ptr<Publisher> inner_;
  Random random_{2};
};

class ReorderingPublisher final : public Publisher {
 public:
  explicit ReorderingPublisher(std::unique_ptr<Publisher> inner) : inner_(std::move(inner)) {}
  absl::Status Publish(std::span<const NewRecord> records) override {
    std::vector<NewRecord> order(records.begin(), records.end());
    if (order.size() > 1 && random_.OneIn(100)) {
      size_t at = random_.Below(order.size() - 1);
      // Next to each other in the shard as well as here, or nobody could tell.
      for (size_t i = at + 1; i < order.size(); ++i) {
        if (order[i].key != order[at].key) continue;
        std::swap(order[at], order[i]);
        break;
      }
    }
    return inner_->Publish(order);
  }
  absl::StatusOr<FlushedThrough> Flush() override { return inner_->Flush(); }

 private:
  std::unique_ptr<Publisher> inner_;
  Random random_{3};
};

// Sends the last record before a flush only when the next is published.
class ForgettingPublisher final : public Publisher {
 public:
  explicit ForgettingPublisher(std::unique_ptr<Publisher> inner) : inner_(std::move(inner)) {}
  absl::Status Publish(std::span<const NewRecord> records) override {
    for (const NewRecord& record : records) {
      MARQUEE_RETURN_IF_ERROR(Send());
      held_.emplace(record);
    }
    return absl::OkStatus();
  }
  absl::StatusOr<FlushedThrough> Flush() override { return inner_->Flush(); }

 private:
  absl::Status Send() {
    if (!held_) return absl::OkStatus();
    HeldRecord record = *std::exchange(held_, std::nullopt);
    return record.PublishTo(*inner_);
  }

  std::unique_ptr<Publisher> inner_;
  std::optional<HeldRecord> held_;
};

// What a compaction would look like that removes the newer of two records.
class WrongCompactionPublisher final : public Publisher {
 public:
  explicit WrongCompactionPublisher(std::unique_ptr<Publisher> inner) : inner_(std::move(inner)) {}
  absl::Status Publish(std::span<const NewRecord> records) override {
    std::vector<NewRecord> kept;
    for (const NewRecord& record : records) {
      bool is_new = keys_.insert(std::string(record.key)).second;
      if (is_new || !random_.OneIn(100)) kept.push_back(record);
    }
    return inner_->Publish(kept);
  }
  absl::StatusOr<FlushedThrough> Flush() override { return inner_->Flush(); }

 private:
  std::unique_ptr<Publisher> inner_;
  std::set<std::string> keys_;
  Random random_{4};
};

class BrokenBroker final : public Broker {
 public:
  BrokenBroker(Defect defect, std::unique_ptr<Broker> inner)
      : defect_(defect), inner_(std::move(inner)) {}

  absl::StatusOr<TopicInfo> DeclareTopic(const TopicSpec& spec) override {
    return inner_->DeclareTopic(spec);
  }
  absl::StatusOr<TopicInfo> DescribeTopic(std::string_view topic) override {
    return inner_->DescribeTopic(topic);
  }
  absl::StatusOr<std::vector<TopicInfo>> ListTopics() override { return inner_->ListTopics(); }
  absl::Status DeleteTopic(std::string_view topic) override { return inner_->DeleteTopic(topic); }
  absl::StatusOr<Extent> DescribeShard(const TopicShard& shard) override {
    return inner_->DescribeShard(shard);
  }
  absl::StatusOr<std::unique_ptr<Publisher>> OpenPublisher(std::string_view topic) override {
    MARQUEE_ASSIGN_OR_RETURN(TopicInfo info, inner_->DescribeTopic(topic));
    MARQUEE_ASSIGN_OR_RETURN(auto publisher, inner_->OpenPublisher(topic));
    return BreakPublisher(info.spec.kind, std::move(publisher));
  }
  absl::StatusOr<std::unique_ptr<Subscription>> OpenReader(SubscriptionOptions options) override {
    return inner_->OpenReader(std::move(options));
  }
  absl::StatusOr<std::unique_ptr<Subscription>> JoinGroup(std::span<const std::string> topics,
                                                          SubscriptionOptions options) override {
    if (defect_ == Defect::kGivesShardsToTwo) {
      // Each alone in a group of its own: each owns everything.
      static std::atomic<uint64_t> groups = 0;
      options.group = absl::StrCat(options.group, ".", ++groups);
    }
    return inner_->JoinGroup(topics, std::move(options));
  }
  absl::StatusOr<std::vector<GroupInfo>> ListGroups() override { return inner_->ListGroups(); }

 private:
  std::unique_ptr<Publisher> BreakPublisher(TopicKind kind, std::unique_ptr<Publisher> inner) {
    switch (defect_) {
      case Defect::kDrops:
        return std::make_unique<DroppingPublisher>(std::move(inner));
      case Defect::kRepeatsAnew:
        return std::make_unique<RepeatingPublisher>(std::move(inner));
      case Defect::kReorders:
        return std::make_unique<ReorderingPublisher>(std::move(inner));
      case Defect::kForgetsFlushed:
        return std::make_unique<ForgettingPublisher>(std::move(inner));
      case Defect::kCompactsNewest:
        if (kind != TopicKind::kEntity) return inner;
        return std::make_unique<WrongCompactionPublisher>(std::move(inner));
      case Defect::kNone:
      case Defect::kGivesShardsToTwo:
        return inner;
    }
    return inner;
  }

  const Defect defect_;
  const std::unique_ptr<Broker> inner_;
};

}  // namespace

std::optional<Defect> DefectOf(std::string_view word) {
  static const std::map<std::string, Defect, std::less<>> kDefects = {
      {"none", Defect::kNone},
      {"drops", Defect::kDrops},
      {"repeats-anew", Defect::kRepeatsAnew},
      {"reorders", Defect::kReorders},
      {"gives-shards-to-two", Defect::kGivesShardsToTwo},
      {"forgets-flushed", Defect::kForgetsFlushed},
      {"compacts-newest", Defect::kCompactsNewest}};
  auto at = kDefects.find(word);
  return at == kDefects.end() ? std::nullopt : std::optional(at->second);
}

std::unique_ptr<Broker> Break(Defect defect, std::unique_ptr<Broker> inner) {
  return std::make_unique<BrokenBroker>(defect, std::move(inner));
}

}  // namespace marquee::messaging::conformance
