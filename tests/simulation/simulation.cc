#include "tests/simulation/simulation.h"

#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/sqlite/fault_vfs.h"
#include "base/status.h"
#include "catalogue/sqlite/sqlite_catalogue.h"
#include "services/audit.h"
#include "services/file_rating_producer.h"
#include "services/live_rating_producer.h"
#include "services/mean_rating_producer.h"
#include "services/movie_data_producer.h"
#include "services/movie_data_sink.h"
#include "services/system.h"
#include "services/topic_reading.h"
#include "tests/simulation/client.h"
#include "tests/simulation/crashing_catalogue.h"
#include "tests/simulation/process.h"

namespace marquee::simulation {
namespace {

using domain::Aggregate;
using domain::MovieId;

constexpr uint64_t kMovies = 12;
constexpr int kTroubledSteps = 500;
// After all is healed, everything has to be visible within so many turns.
constexpr int kHealedSteps = 40'000;
constexpr absl::Duration kSessionTimeout = absl::Seconds(2);
constexpr absl::Duration kMemberPause = absl::Seconds(3);

struct Region {
  explicit Region(Random& random, const std::string& vfs, int number) {
    std::string path = absl::StrCat("/catalogue-", number);
    auto opened = catalogue::OpenSqliteCatalogue(
        {.path = path,
         .create = true,
         .vfs = vfs,
         .lock_path = absl::StrCat(std::filesystem::temp_directory_path().string(), "/marquee-sim-",
                                   getpid(), "-", number, ".lock")});
    MARQUEE_CHECK(opened.ok());
    stored = *std::move(opened);
    crashing = std::make_unique<CrashingCatalogue>(*stored, random);
    auto opened_reader = stored->OpenReader();
    MARQUEE_CHECK(opened_reader.ok());
    reader = *std::move(opened_reader);
  }
  std::unique_ptr<catalogue::Catalogue> stored;
  std::unique_ptr<CrashingCatalogue> crashing;
  std::unique_ptr<catalogue::Reader> reader;
  std::map<MovieId, int64_t> as_of;                  // the highest seen of each movie
  std::map<uint32_t, domain::LogOffset> watermarks;  // as they were looked at last, by shard
};

class Simulation {
 public:
  Simulation(uint64_t seed, Canary canary)
      : random_(seed),
        canary_(canary),
        metrics_("simulation"),
        vfs_(absl::StrCat("simulation-", seed)) {
    messaging::MemoryWorldOptions options;
    options.seed = random_.Next();
    options.handover_one_in = random_.OneIn(2) ? 200 : 0;
    options.batch_records_max = 1 + static_cast<uint32_t>(random_.Below(40));
    options.tombstone_records = 1 + static_cast<uint32_t>(random_.Below(64));
    world_ = std::make_shared<messaging::MemoryWorld>(options, clock_);
    folder_ = std::filesystem::temp_directory_path() /
              absl::StrFormat("marquee-sim-%d-%x", getpid(), random_.Next());
    std::filesystem::create_directories(folder_);
    // Far more than the run takes, so that no producer waits for time to pass.
    rules_wish_.shards = 1 + static_cast<uint32_t>(random_.Below(3));
  }

  ~Simulation() {
    processes_.clear();
    regions_.clear();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  Result Run() {
    WriteInputs();
    SetUp();
    for (int i = 0; i < kTroubledSteps && result_.violations.empty(); ++i) TroubledStep();
    if (result_.violations.empty()) Heal();
    if (result_.violations.empty()) CheckEquality();
    return std::move(result_);
  }

 private:
  void Violate(std::string what) { result_.violations.push_back(std::move(what)); }

  std::string RatingsPath() const { return folder_ / "ratings.csv"; }
  std::string MoviesPath() const { return folder_ / "movies.csv"; }

  void WriteInputs() {
    std::ofstream ratings(RatingsPath());
    ratings << "userId,movieId,rating,timestamp\n";
    uint64_t rows = 20 + random_.Below(150);
    for (uint64_t i = 0; i < rows; ++i) {
      MovieId movie(1 + random_.Below(kMovies));
      if (random_.OneIn(25)) {
        ratings << i << ',' << movie << ",5.7," << 1000 + i << '\n';
        ++rejected_;
        continue;
      }
      domain::Thousandths value(static_cast<int32_t>(500 * (1 + random_.Below(10))));
      ratings << i << ',' << movie << ',' << domain::FormatThousandths(value) << ',' << 1000 + i
              << '\n';
      expected_[movie].Add(value, domain::Scale());
    }
    std::ofstream movies(MoviesPath());
    movies << "movieId,title,genres\n";
    for (uint64_t i = 1; i <= kMovies; ++i) movies << i << ",Movie " << i << " (1999),Drama\n";
  }

  Process::Connect Connector() {
    return [this] {
      auto broker = messaging::OpenMemoryBroker(world_, {}, clock_);
      MARQUEE_CHECK(broker.ok());
      return *std::move(broker);
    };
  }

  void Add(const std::string& name, Process::Start start) {
    processes_.push_back(
        std::make_unique<Process>(name, random_.Next(), Connector(), std::move(start)));
  }

  void SetUp() {
    auto broker = Connector()();
    auto system = services::OpenSystem(*broker, services::Topics(), rules_wish_, random_);
    MARQUEE_CHECK(system.ok());
    rules_ = system->rules;
    AddFileProducers();
    AddLiveProducer();
    Add("movies",
        [this](const services::World& world) -> absl::StatusOr<std::unique_ptr<services::Service>> {
          return services::MovieDataProducer::Open(world, {.source = "file", .path = MoviesPath()});
        });
    AddMeanProducers();
    uint64_t regions = 1 + random_.Below(2);
    for (uint64_t i = 0; i < regions; ++i) AddSink(static_cast<int>(i));
  }

  void AddFileProducers() {
    uint64_t twins = 1 + random_.Below(2);
    for (uint64_t i = 0; i < twins; ++i) {
      services::FileRatingProducerOptions options;
      options.source = "file";
      options.path = RatingsPath();
      options.window_bytes = 40 + random_.Below(2000);
      options.mutilation_no_claim = canary_ == Canary::kNoClaim;
      Add(absl::StrCat("file-", i),
          [this, options](
              const services::World& world) -> absl::StatusOr<std::unique_ptr<services::Service>> {
            return services::FileRatingProducer::Open(world, options, progress_);
          });
    }
  }

  void AddLiveProducer() {
    client_ = std::make_unique<Client>("client", random_.Next(), kMovies, 5 + random_.Below(30));
    client_->ForEachRating([&](const http::PostedRating& rating) {
      expected_[rating.movie].Add(rating.value, domain::Scale());
    });
    services::LiveRatingProducerOptions options{
        .source = "http", .mutilation_answer_before_flush = canary_ == Canary::kAnswerBeforeFlush};
    Add("live",
        [this, options](
            const services::World& world) -> absl::StatusOr<std::unique_ptr<services::Service>> {
          return services::LiveRatingProducer::Open(world, options, live_queue_);
        });
  }

  void AddMeanProducers() {
    services::MeanRatingProducerOptions options;
    options.session_timeout = kSessionTimeout;
    options.checkpoint_interval = absl::Milliseconds(static_cast<int64_t>(random_.Below(400)));
    options.flush_interval = absl::Milliseconds(static_cast<int64_t>(random_.Below(30)));
    options.mutilations.checkpoint_before_means = canary_ == Canary::kCheckpointBeforeMeans;
    options.mutilations.no_repair_of_means = canary_ == Canary::kNoRepairOfMeans;
    uint64_t members = 1 + random_.Below(3);
    for (uint64_t i = 0; i < members; ++i) {
      Add(absl::StrCat("means-", i),
          [options](
              const services::World& world) -> absl::StatusOr<std::unique_ptr<services::Service>> {
            return services::MeanRatingProducer::Open(world, options);
          });
    }
  }

  void AddSink(int number) {
    regions_.push_back(std::make_unique<Region>(random_, vfs_.name(), number));
    visibilities_.push_back(std::make_unique<http::Visibility>());
    services::MovieDataSinkOptions options;
    options.region = absl::StrCat(number);
    options.changes_per_commit_max = 1 + random_.Below(20);
    options.mutilation_position_before_rows = canary_ == Canary::kPositionBeforeRows;
    options.mutilation_watermark_at_once = canary_ == Canary::kWatermarkAtOnce;
    Region* region = regions_.back().get();
    http::Visibility* visibility = visibilities_.back().get();
    Add(absl::StrCat("sink-", number),
        [region, visibility, options](
            const services::World& world) -> absl::StatusOr<std::unique_ptr<services::Service>> {
          region->crashing->Revive();
          return services::MovieDataSink::Open(world, options, *region->crashing, *visibility);
        });
  }

  // ---- Trouble

  void TroubledStep() {
    ++result_.steps;
    clock_.Advance(absl::Milliseconds(static_cast<int64_t>(random_.Below(20))));
    if (random_.OneIn(100)) clock_.Advance(kMemberPause);
    if (random_.OneIn(150))
      clock_.Jump(absl::Seconds(static_cast<int64_t>(random_.Below(7200))) - absl::Hours(1));
    if (random_.OneIn(3)) client_->Act(live_queue_);
    if (random_.OneIn(40)) PublishAgain();
    if (random_.OneIn(60)) PublishPoison();
    if (random_.OneIn(30)) RememberMeans();
    if (random_.OneIn(80)) PublishAsAZombie();
    if (random_.OneIn(100)) (void)world_->HandOver("meanratingproducer");
    Process& process = *processes_[random_.Below(processes_.size())];
    Trouble(process);
    Turn(process);
  }

  void Trouble(Process& process) {
    if (!process.running()) return;
    if (random_.OneIn(60)) {
      process.Crash(random_.OneIn(2));
      ++result_.crashes;
    } else if (random_.OneIn(25)) {
      process.broker()->CrashAtCall(1 + random_.Below(12));
      ++result_.crashes;
    } else if (random_.OneIn(40)) {
      process.broker()->FailAtCall(1 + random_.Below(8),
                                   absl::UnavailableError("drawn by the simulation"));
    } else if (random_.OneIn(60)) {
      process.paused_steps = 20 + static_cast<int>(random_.Below(60));
      ++result_.pauses;
    } else if (random_.OneIn(60)) {
      regions_[random_.Below(regions_.size())]->crashing->CrashAtCommit(1 + random_.Below(3));
    } else if (random_.OneIn(200)) {
      (void)process.Stop();
    }
  }

  void Turn(Process& process) {
    if (process.paused_steps > 0) {
      --process.paused_steps;
      return;
    }
    if (process.finished()) {
      // Now and then somebody starts it again on what it has finished.
      if (random_.OneIn(20)) process.RunAgain();
      return;
    }
    absl::Status status = process.Step(clock_, metrics_, rules_);
    if (!status.ok() && process.name().starts_with("means")) CheckCheckpoints();
    bool expected = status.ok() || absl::IsCancelled(status) || services::MayPass(status);
    if (!expected) Violate(absl::StrCat(process.name(), " ended for good: ", status.ToString()));
    if (process.name().starts_with("sink")) CheckCatalogues();
  }

  // A replayer publishes again what it finds in the log, stamps and all.
  void PublishAgain() {
    auto broker = Connector()();
    auto shard = messaging::Shard(static_cast<uint32_t>(random_.Below(rules_.shards)));
    messaging::TopicShard at{"ratings", shard};
    std::vector<std::pair<std::string, std::string>> records;
    (void)services::ReadShard(*broker, at, [&](const messaging::Record& record) {
      if (record.value && records.size() < 500)
        records.emplace_back(std::string(record.key), std::string(*record.value));
      return absl::OkStatus();
    });
    if (records.empty()) return;
    auto publisher = broker->OpenPublisher("ratings");
    if (!publisher.ok()) return;
    for (int i = 0; i < 5; ++i) {
      const auto& [key, value] = records[random_.Below(records.size())];
      messaging::NewRecord record{.key = key, .value = value, .headers = {}, .shard = shard};
      (void)(*publisher)->Publish({&record, 1});
    }
    (void)(*publisher)->Flush();
  }

  void PublishPoison() {
    auto broker = Connector()();
    auto publisher = broker->OpenPublisher("ratings");
    if (!publisher.ok()) return;
    messaging::NewRecord record{.key = "not a movie", .value = "\x0a\xff poison"};
    (void)(*publisher)->Publish({&record, 1});
    (void)(*publisher)->Flush();
  }

  // What an owner publishes now may be what a zombie, stopped in the middle of its flush, still
  // sends much later.
  void RememberMeans() {
    auto broker = Connector()();
    auto shard = messaging::Shard(static_cast<uint32_t>(random_.Below(rules_.shards)));
    (void)services::ReadShard(
        *broker, {"mean-ratings", shard}, [&](const messaging::Record& record) {
          if (record.value)
            old_means_.push_back({shard, std::string(record.key), std::string(*record.value)});
          return absl::OkStatus();
        });
  }

  void PublishAsAZombie() {
    if (old_means_.empty()) return;
    auto broker = Connector()();
    auto publisher = broker->OpenPublisher("mean-ratings");
    if (!publisher.ok()) return;
    for (int i = 0; i < 3; ++i) {
      const OldMean& old = old_means_[random_.Below(old_means_.size())];
      messaging::NewRecord record{
          .key = old.key, .value = old.value, .headers = {}, .shard = old.shard};
      (void)(*publisher)->Publish({&record, 1});
    }
    (void)(*publisher)->Flush();
  }

  // ---- Invariants

  void CheckCatalogues() {
    for (auto& region : regions_) {
      absl::Status status = region->reader->ForEach([&](const catalogue::Entry& entry) {
        CheckEntry(entry);
        if (!entry.as_of) return;
        int64_t& highest = region->as_of.emplace(entry.id, *entry.as_of).first->second;
        if (*entry.as_of < highest) {
          Violate(absl::StrCat("monotone: movie ", entry.id.value(), " went back from as_of ",
                               highest, " to ", *entry.as_of));
        }
        highest = *entry.as_of;
      });
      if (!status.ok()) Violate(absl::StrCat("catalogue: ", status.ToString()));
      CheckWatermarks(*region);
    }
  }

  // A watermark says that the means are complete. (A mean with a lower as_of may be a zombie's that
  // compaction kept, and is mended; a movie that was rated may not be missing.)
  void CheckWatermarks(Region& region) {
    auto watermarks = region.reader->Watermarks();
    if (!watermarks.ok())
      return Violate(absl::StrCat("catalogue: ", watermarks.status().ToString()));
    auto broker = Connector()();
    for (const domain::Watermark& watermark : *watermarks) {
      domain::LogOffset& before = region.watermarks[watermark.shard];
      if (std::exchange(before, watermark.ratings_through) == watermark.ratings_through) continue;
      (void)services::ReadShard(
          *broker, {"ratings", messaging::Shard(watermark.shard)},
          [&](const messaging::Record& record) {
            std::optional<MovieId> movie = domain::ParseMovieKey(record.key);
            bool covered = record.offset.value() < watermark.ratings_through.value();
            if (movie && covered && !region.as_of.contains(*movie)) {
              Violate(absl::StrCat("watermark: shard ", watermark.shard, " is complete up to ",
                                   watermark.ratings_through.value(), ", and movie ",
                                   movie->value(), ", rated at ", record.offset.value(),
                                   ", is missing"));
            }
            return absl::OkStatus();
          });
    }
  }

  // A complete checkpoint says that every mean which was due at its offset is durable. (The next
  // owner would publish what is missing all the same, since it reads the means: so this is looked
  // at where an owner has just died.)
  void CheckCheckpoints() {
    auto broker = Connector()();
    for (uint32_t number = 0; number < rules_.shards; ++number) {
      domain::CheckpointCollector collector(number);
      (void)services::ReadShard(*broker, {"mean-ratings-checkpoints", messaging::Shard(number)},
                                [&](const messaging::Record& record) {
                                  (void)collector.Add(record.key, record.value);
                                  return absl::OkStatus();
                                });
      std::optional<domain::Checkpoint> best = collector.Best();
      if (!best) continue;
      auto state = domain::ShardState::Decode(best->state, rules_, number);
      if (!state.ok()) return Violate(absl::StrCat("checkpoint: ", state.status().ToString()));
      std::map<MovieId, domain::LogOffset> published;
      (void)services::ReadShard(*broker, {"mean-ratings", messaging::Shard(number)},
                                [&](const messaging::Record& record) {
                                  auto mean = record.value ? domain::DecodeMean(*record.value)
                                                           : absl::NotFoundError("deleted");
                                  if (mean.ok() && domain::ParseMovieKey(record.key)) {
                                    domain::LogOffset& highest =
                                        published.emplace(mean->movie, mean->as_of).first->second;
                                    highest = std::max(highest, mean->as_of);
                                  }
                                  return absl::OkStatus();
                                });
      for (const domain::MeanRating& mean : state->AllMeans()) CheckPublished(mean, published);
    }
  }

  // A record with a lower as_of may be a zombie's that compaction kept, and is mended; one that was
  // never there may not be missing.
  void CheckPublished(const domain::MeanRating& mean,
                      const std::map<MovieId, domain::LogOffset>& published) {
    if (published.contains(mean.movie)) return;
    Violate(absl::StrCat("checkpoint: it holds movie ", mean.movie.value(), " as of ",
                         mean.as_of.value(), ", which was never published"));
  }

  void CheckEntry(const catalogue::Entry& entry) {
    uint64_t count = 0;
    int64_t sum = 0;
    for (size_t i = 0; i < entry.aggregate.histogram.size(); ++i) {
      count += entry.aggregate.histogram[i];
      sum += static_cast<int64_t>(entry.aggregate.histogram[i]) * 500 * static_cast<int64_t>(i + 1);
    }
    if (count != entry.aggregate.count || sum != entry.aggregate.sum_thousandths) {
      Violate(absl::StrCat("atomic: count, sum and histogram of movie ", entry.id.value(),
                           " disagree"));
    }
  }

  // ---- Healing

  void Heal() {
    for (auto& region : regions_) region->crashing->CrashAtCommit(0);
    for (auto& process : processes_) {
      process->paused_steps = 0;
      // What was armed and has not come yet must not come any more.
      if (process->running()) process->Crash(/*leave_at_once=*/false);
      process->RunAgain();
    }
    TurnUntilQuiet();
    // A zombie may still be there when all is quiet: what it leaves as the newest record is mended
    // as well.
    PublishAsAZombie();
    TurnUntilQuiet();
    // And a catalogue that is built now, from what compaction has left, is right as well.
    AddSink(static_cast<int>(regions_.size()));
    TurnUntilQuiet();
  }

  void HealedTurn(int i) {
    ++result_.steps;
    clock_.Advance(absl::Milliseconds(5));
    if (!client_->AllAcknowledged()) client_->Act(live_queue_);
    Turn(*processes_[static_cast<size_t>(i) % processes_.size()]);
  }

  void TurnUntilQuiet() {
    for (int i = 0; i < kHealedSteps && result_.violations.empty(); ++i) {
      HealedTurn(i);
      if (i % 64 == 63 && Quiet()) return;
    }
    if (result_.violations.empty()) {
      Violate(absl::StrCat("live: not everything is visible ", kHealedSteps,
                           " turns after all healed; waits for ", waits_for_));
    }
  }

  // Of every movie, the record that compaction keeps is the right one.
  bool TopicIsRight() {
    auto broker = Connector()();
    std::map<MovieId, Aggregate> newest;
    for (uint32_t shard = 0; shard < rules_.shards; ++shard) {
      (void)services::ReadShard(*broker, {"mean-ratings", messaging::Shard(shard)},
                                [&](const messaging::Record& record) {
                                  auto mean = record.value && domain::ParseMovieKey(record.key)
                                                  ? domain::DecodeMean(*record.value)
                                                  : absl::NotFoundError("no mean");
                                  if (mean.ok()) newest[mean->movie] = mean->aggregate;
                                  return absl::OkStatus();
                                });
    }
    return newest == expected_;
  }

  bool Quiet() {
    if (!client_->AllAcknowledged()) return false;
    for (auto& process : processes_) {
      bool ends = process->name().starts_with("file") || process->name() == "movies";
      if (ends && !process->finished()) return false;
    }
    if (!TopicIsRight()) {
      waits_for_ = "the newest means in the topic to be the right ones";
      return false;
    }
    auto broker = Connector()();
    for (auto& region : regions_) {
      auto positions = region->reader->Positions();
      auto watermarks = region->reader->Watermarks();
      if (!positions.ok() || !watermarks.ok()) return false;
      for (uint32_t shard = 0; shard < rules_.shards; ++shard) {
        auto ratings = broker->DescribeShard({"ratings", messaging::Shard(shard)});
        auto movies = broker->DescribeShard({"movies", messaging::Shard(shard)});
        auto means = broker->DescribeShard({"mean-ratings", messaging::Shard(shard)});
        if (!ratings.ok() || !movies.ok() || !means.ok()) return false;
        if (!Covered(*watermarks, shard, ratings->end.value())) {
          waits_for_ = absl::StrCat("the watermark of shard ", shard, " at ", ratings->end.value());
          return false;
        }
        if (!ReadThrough(*positions, "movies", shard, *movies)) {
          waits_for_ = absl::StrCat("movies/", shard, " up to ", movies->end.value());
          return false;
        }
        if (!ReadThrough(*positions, "mean-ratings", shard, *means)) {
          waits_for_ = absl::StrCat("mean-ratings/", shard, " up to ", means->end.value());
          return false;
        }
      }
    }
    return true;
  }

  static bool ReadThrough(const std::vector<catalogue::TopicPosition>& positions,
                          std::string_view topic, uint32_t shard, const messaging::Extent& extent) {
    for (const catalogue::TopicPosition& position : positions) {
      if (position.topic == topic && position.shard == shard)
        return position.next >= extent.end.value();
    }
    return extent.begin == extent.end;
  }

  static bool Covered(const std::vector<domain::Watermark>& watermarks, uint32_t shard,
                      int64_t end) {
    if (end == 0) return true;
    for (const domain::Watermark& watermark : watermarks) {
      if (watermark.shard == shard) return watermark.ratings_through.value() >= end;
    }
    return false;
  }

  // ---- The proof

  void CheckEquality() {
    for (const auto& [movie, aggregate] : expected_) result_.ratings += aggregate.count;
    for (auto& region : regions_) {
      std::map<MovieId, Aggregate> found;
      (void)region->reader->ForEach([&](const catalogue::Entry& entry) {
        if (entry.aggregate.count > 0) found[entry.id] = entry.aggregate;
        if (!entry.title) Violate(absl::StrCat("movie ", entry.id.value(), " has no title"));
      });
      if (found != expected_) Violate(DescribeDifference(found));
      CheckAudit(*region);
    }
    CheckDeadLetters();
  }

  std::string DescribeDifference(const std::map<MovieId, Aggregate>& found) {
    std::string text = "equality:";
    for (const auto& [movie, aggregate] : expected_) {
      auto at = found.find(movie);
      uint64_t count = at == found.end() ? 0 : at->second.count;
      if (at == found.end() || at->second != aggregate) {
        absl::StrAppend(&text, " movie ", movie.value(), " has ", count, " ratings, expected ",
                        aggregate.count, ";");
      }
    }
    return text;
  }

  void CheckAudit(Region& region) {
    auto broker = Connector()();
    auto report =
        services::Audit(broker.get(), *region.reader, rules_, {.files = {{"file", RatingsPath()}}});
    if (!report.ok()) return Violate(absl::StrCat("audit: ", report.status().ToString()));
    for (const std::string& other : report->others) Violate(absl::StrCat("audit: ", other));
    if (!report->movies.empty())
      Violate(absl::StrCat("audit: ", report->movies.size(), " movies differ"));
  }

  // Each rejected row is there once, whoever rejected it and however often.
  void CheckDeadLetters() {
    auto broker = Connector()();
    std::map<std::string, int> rows;
    (void)services::ReadShard(*broker, {"ratings.dlq", messaging::Shard(0)},
                              [&](const messaging::Record& record) {
                                if (record.value && record.key.starts_with("row/"))
                                  rows[std::string(record.key)] = 1;
                                return absl::OkStatus();
                              });
    if (rows.size() != rejected_) {
      Violate(absl::StrCat("isolated: ", rejected_, " rows are bad, ", rows.size(),
                           " are in the dead letters"));
    }
  }

  Random random_;
  Canary canary_;
  ManualClock clock_;
  services::Metrics metrics_;
  sqlite::FaultVfs vfs_;
  std::shared_ptr<messaging::MemoryWorld> world_;
  std::filesystem::path folder_;
  services::RulesWish rules_wish_;
  domain::Rules rules_;
  services::FileProgress progress_;
  services::LiveRatingQueue live_queue_;
  std::unique_ptr<Client> client_;
  std::vector<std::unique_ptr<http::Visibility>> visibilities_;
  std::vector<std::unique_ptr<Region>> regions_;
  std::vector<std::unique_ptr<Process>> processes_;
  std::map<MovieId, Aggregate> expected_;
  struct OldMean {
    messaging::Shard shard;
    std::string key;
    std::string value;
  };
  std::vector<OldMean> old_means_;
  uint64_t rejected_ = 0;
  std::string waits_for_ = "clients and producers";
  Result result_;
};

}  // namespace

Result Simulate(uint64_t seed, Canary canary) { return Simulation(seed, canary).Run(); }

}  // namespace marquee::simulation
