// `marquee generate`, `marquee config show`, `marquee version`.
#include <memory>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "base/version.h"
#include "boost/json.hpp"
#include "cli/commands.h"
#include "cli/run_command.h"
#include "sources/generator.h"

namespace marquee::cli {
namespace {

struct GenerateSettings {
  sources::GeneratorOptions options;
  std::string out;
};

absl::StatusOr<int> Generate(const GenerateSettings& settings) {
  SystemClock clock;
  absl::Duration began = clock.Uptime();
  {
    ProgressBar bar("generating");
    MARQUEE_RETURN_IF_ERROR(
        sources::GenerateMovieLens(settings.options, settings.out, [&](uint64_t written) {
          absl::Duration now = clock.Uptime();
          bar.Show(
              static_cast<double>(written) / static_cast<double>(settings.options.ratings),
              static_cast<double>(written) / std::max(absl::ToDoubleSeconds(now - began), 1e-3),
              "ratings", now);
        }));
  }
  Say(absl::StrCat(WithThousands(settings.options.ratings), " ratings of ",
                   WithThousands(settings.options.movies), " movies (seed ", settings.options.seed,
                   ") are in ", settings.out));
  return kExitOk;
}

absl::StatusOr<int> ShowConfig(const Settings& settings, Format format) {
  Table table({"setting", "value", "from"});
  boost::json::array json;
  for (const Settings::Shown& shown : settings.Show()) {
    table.Add({shown.name, shown.value, shown.origin});
    json.push_back(boost::json::object{
        {"setting", shown.name}, {"value", shown.value}, {"from", shown.origin}});
  }
  if (format == Format::kJson) {
    PrintJson(json);
  } else {
    Print(table.ToString());
  }
  return kExitOk;
}

}  // namespace

void AddGenerate(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("generate", "Make a data set like MovieLens from a seed");
  command->footer(
      "Example:\n  marquee generate --ratings 1000000 --movies 20000 --seed 1 --out "
      "data/generated/movielens");
  auto generate = std::make_shared<GenerateSettings>();
  command->add_option("--ratings", generate->options.ratings, "how many ratings")
      ->capture_default_str();
  command->add_option("--movies", generate->options.movies, "how many movies")
      ->capture_default_str();
  command->add_option("--seed", generate->options.seed, "the same seed gives the same bytes")
      ->capture_default_str();
  command->add_option("--out", generate->out, "folder for ratings.csv and movies.csv")->required();
  command->callback([generate, &action] { action = [generate] { return Generate(*generate); }; });
}

void AddConfig(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("config", "Settings and where they come from");
  command->require_subcommand(1);
  CLI::App* show =
      command->add_subcommand("show", "Print the settings of `run`, and where each comes from");
  show->footer("Example:\n  MARQUEE_LISTEN=:9000 marquee config show --config marquee.toml");
  auto run = std::make_shared<RunSettings>();
  auto settings = std::make_shared<Settings>(*show);
  auto format = std::make_shared<Format>(Format::kTable);
  AddRunSettings(*settings, *run, *show);
  AddOutput(*show, *format);
  show->callback([=, &action] {
    action = [=]() -> absl::StatusOr<int> {
      MARQUEE_RETURN_IF_ERROR(settings->Complete(run->common.config));
      return ShowConfig(*settings, *format);
    };
  });
}

void AddVersion(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("version", "Print the version");
  command->footer("Example:\n  marquee version");
  command->callback([&action] {
    action = []() -> absl::StatusOr<int> {
      Print(absl::StrCat("marquee ", kVersion));
      return kExitOk;
    };
  });
}

}  // namespace marquee::cli
