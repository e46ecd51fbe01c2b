// `marquee audit`.
#include <filesystem>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"
#include "boost/json.hpp"
#include "catalogue/sqlite/sqlite_catalogue.h"
#include "cli/commands.h"
#include "cli/host.h"
#include "services/audit.h"

namespace marquee::cli {
namespace {

constexpr size_t kDifferencesShownMax = 20;

struct AuditSettings {
  CommonSettings common;
  std::vector<std::string> ratings;
  std::string source = "movielens";
  bool no_broker = false;
  Format format = Format::kTable;
};

// "SOURCE=FILE" or "FILE", which is of the source --source.
services::AuditInput InputOf(const std::string& text, const std::string& source) {
  size_t equals = text.find('=');
  if (equals == std::string::npos || std::filesystem::exists(text)) return {source, text};
  return {text.substr(0, equals), text.substr(equals + 1)};
}

std::string Describe(const domain::Aggregate& aggregate) {
  std::string text = absl::StrCat("count ", aggregate.count, ", sum ", aggregate.sum_thousandths,
                                  " thousandths, histogram");
  for (uint64_t bin : aggregate.histogram) absl::StrAppend(&text, " ", bin);
  return text;
}

boost::json::object ToJson(const domain::Aggregate& aggregate) {
  boost::json::array histogram;
  for (uint64_t bin : aggregate.histogram) histogram.push_back(bin);
  return {{"count", aggregate.count},
          {"sum_thousandths", aggregate.sum_thousandths},
          {"histogram", histogram}};
}

boost::json::array ToJson(const std::vector<std::string>& texts) {
  boost::json::array array;
  for (const std::string& text : texts) array.emplace_back(text);
  return array;
}

void PrintAsJson(const services::AuditReport& report) {
  boost::json::array movies;
  for (const auto& movie : report.movies) {
    movies.push_back(boost::json::object{{"movie", movie.movie.value()},
                                         {"expected", ToJson(movie.expected)},
                                         {"found", ToJson(movie.found)}});
  }
  PrintJson(boost::json::object{{"ok", report.ok()},
                                {"movies_compared", report.movies_compared},
                                {"ratings_expected", report.ratings_expected},
                                {"ratings_from_files", report.ratings_from_files},
                                {"ratings_from_topic", report.ratings_from_topic},
                                {"repeats_dropped", report.repeats_dropped},
                                {"rejected", report.rejected},
                                {"differing_movies", movies},
                                {"other_differences", ToJson(report.others)},
                                {"notes", ToJson(report.notes)}});
}

void PrintAsText(const services::AuditReport& report) {
  size_t shown = 0;
  for (const auto& movie : report.movies) {
    if (++shown > kDifferencesShownMax) break;
    Print(absl::StrCat("movie ", movie.movie.value(), ": expected ", Describe(movie.expected),
                       "; found ", Describe(movie.found)));
  }
  if (report.movies.size() > kDifferencesShownMax) {
    Print(absl::StrCat("… and ", report.movies.size() - kDifferencesShownMax,
                       " movies more (all of them with -o json)"));
  }
  for (const std::string& other : report.others) Print(other);
  for (const std::string& note : report.notes) Say(absl::StrCat("note: ", note));
  std::string compared = absl::StrCat(WithThousands(report.movies_compared), " movies, ",
                                      WithThousands(report.ratings_expected), " ratings compared (",
                                      WithThousands(report.repeats_dropped), " repeats dropped, ",
                                      WithThousands(report.rejected), " rejected)");
  if (report.ok()) {
    Print(absl::StrCat("every mean is right: ", compared));
  } else {
    Print(absl::StrCat("differences: ", report.movies.size(), " movies, ", report.others.size(),
                       " others; ", compared));
  }
}

absl::StatusOr<int> RunAudit(const AuditSettings& settings) {
  SystemClock clock;
  services::AuditOptions options;
  options.topics = services::Topics(settings.common.topic_prefix);
  for (const std::string& text : settings.ratings)
    options.files.push_back(InputOf(text, settings.source));
  MARQUEE_ASSIGN_OR_RETURN(
      auto catalogue, catalogue::OpenSqliteCatalogue(
                          {.path = settings.common.CataloguePath(), .create = false, .vfs = ""}));
  MARQUEE_ASSIGN_OR_RETURN(auto reader, catalogue->OpenReader());
  std::unique_ptr<messaging::Broker> broker;
  domain::Rules rules;
  bool has_log =
      !settings.common.broker.empty() || std::filesystem::exists(settings.common.data + "/log");
  if (!settings.no_broker && has_log) {
    MARQUEE_ASSIGN_OR_RETURN(broker, OpenBroker(settings.common, clock));
    MARQUEE_ASSIGN_OR_RETURN(services::System system,
                             services::FindSystem(*broker, options.topics));
    rules = system.rules;
  } else {
    MARQUEE_ASSIGN_OR_RETURN(services::RulesWish wish, WishOf(settings.common));
    if (wish.scale) rules.scale = *wish.scale;
    if (options.files.empty()) {
      return absl::InvalidArgumentError(
          "nothing to compare with: give --ratings FILE, or a broker");
    }
  }
  MARQUEE_ASSIGN_OR_RETURN(services::AuditReport report,
                           services::Audit(broker.get(), *reader, rules, options));
  if (settings.format == Format::kJson) {
    PrintAsJson(report);
  } else {
    PrintAsText(report);
  }
  return report.ok() ? kExitOk : kExitDifference;
}

}  // namespace

void AddAudit(CLI::App& app, Action& action) {
  CLI::App* command =
      app.add_subcommand("audit", "Recompute every mean from its inputs and compare");
  command->footer(
      "Exits 0 where every mean is right, 3 where anything differs.\n"
      "Example:\n  marquee audit --data data/ml --ratings ml-latest-small/ratings.csv\n"
      "  marquee audit --data data/eu --broker sqlite:data/log --ratings web=a.csv --ratings "
      "shop=b.csv");
  auto audit = std::make_shared<AuditSettings>();
  auto settings = std::make_shared<Settings>(*command);
  AddCommonSettings(*settings, audit->common, *command);
  settings->Add("scale", audit->common.scale,
                "MIN:MAX:STEP of the ratings, where there is no broker that tells");
  settings->Add("ratings", audit->ratings,
                "[SOURCE=]FILE, what a source published (may be repeated); other sources are taken "
                "from the topic");
  settings->Add("source", audit->source, "the source of files that are named without one");
  settings->AddFlag("no-broker", audit->no_broker, "compare files and catalogue alone");
  AddOutput(*command, audit->format);
  command->callback([audit, settings, &action] {
    action = [audit, settings]() -> absl::StatusOr<int> {
      MARQUEE_RETURN_IF_ERROR(settings->Complete(audit->common.config));
      return RunAudit(*audit);
    };
  });
}

}  // namespace marquee::cli
