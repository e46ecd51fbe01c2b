// The subcommands. Each function adds one to the app; its callback stores what is to be run, and
// main runs it.
#ifndef MARQUEE_CLI_COMMANDS_H_
#define MARQUEE_CLI_COMMANDS_H_

#include <functional>
#include <memory>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "cli/output.h"
#include "cli/settings.h"

namespace marquee::cli {

// What main runs once the command line was parsed: the exit code of the process, or the error that
// it prints.
using Action = std::function<absl::StatusOr<int>()>;

void AddRun(CLI::App& app, Action& action);
void AddRatingProducer(CLI::App& app, Action& action);
void AddMovieDataProducer(CLI::App& app, Action& action);
void AddMeanRatingProducer(CLI::App& app, Action& action);
void AddMovieDataSink(CLI::App& app, Action& action);
void AddAudit(CLI::App& app, Action& action);
void AddTopics(CLI::App& app, Action& action);
void AddGroups(CLI::App& app, Action& action);
void AddGenerate(CLI::App& app, Action& action);
void AddConfig(CLI::App& app, Action& action);
void AddVersion(CLI::App& app, Action& action);

// -o table|json
void AddOutput(CLI::App& app, Format& format);

}  // namespace marquee::cli

#endif  // MARQUEE_CLI_COMMANDS_H_
