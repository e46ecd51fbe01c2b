// The program `marquee`: finds the subcommand, runs it, turns its status into words and an exit
// code.
#include <cstdlib>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/signals.h"
#include "spdlog/sinks/stdout_color_sinks.h"
#include "spdlog/spdlog.h"

namespace marquee::cli {

void AddOutput(CLI::App& app, Format& format) {
  app.add_option_function<std::string>(
         "-o,--output",
         [&format](const std::string& name) {
           format = name == "json" ? Format::kJson : Format::kTable;
         },
         "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->default_str("table");
}

namespace {

void SetUpLogging() {
  auto logger = spdlog::stderr_color_mt(
      "marquee", ErrorHasColours() ? spdlog::color_mode::automatic : spdlog::color_mode::never);
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e %^%l%$ %v");
  spdlog::set_default_logger(logger);
}

int ExitCodeOf(const absl::Status& status) {
  return absl::IsInvalidArgument(status) ? kExitUsage : kExitFailed;
}

int Main(int argc, char** argv) {
  SetUpLogging();
  HandleSignals();
  CLI::App app(
      "Marquee keeps every movie's mean rating right while ratings stream in, and can prove it.",
      "marquee");
  app.require_subcommand(1);
  app.footer(
      "Each command has its own --help with an example. Settings: flags over MARQUEE_* in the "
      "environment over --config over "
      "defaults.\nExit codes: 0 ok, 1 failed, 2 wrong usage, 3 audit found a difference.");
  Action action;
  AddRun(app, action);
  AddRatingProducer(app, action);
  AddMovieDataProducer(app, action);
  AddMeanRatingProducer(app, action);
  AddMovieDataSink(app, action);
  AddTopics(app, action);
  AddGroups(app, action);
  AddAudit(app, action);
  AddGenerate(app, action);
  AddConfig(app, action);
  AddVersion(app, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    int code = app.exit(error);
    return code == 0 ? kExitOk : kExitUsage;
  }
  absl::StatusOr<int> code = action();
  if (code.ok()) return *code;
  Say(absl::StrCat("marquee: ", code.status().message()));
  return ExitCodeOf(code.status());
}

}  // namespace
}  // namespace marquee::cli

int main(int argc, char** argv) { return marquee::cli::Main(argc, argv); }
