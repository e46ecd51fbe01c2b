// `marquee run`: all services in one process.
#ifndef MARQUEE_CLI_RUN_COMMAND_H_
#define MARQUEE_CLI_RUN_COMMAND_H_

#include <string>

#include "cli/host.h"

namespace marquee::cli {

struct RunSettings {
  CommonSettings common;
  std::string movielens;  // folder
  std::string ratings;    // file, in place of the folder's
  std::string movies;     // likewise
  std::string listen = "127.0.0.1:8080";
  std::string rate;
  std::string source = "movielens";
  std::string region = "local";
  bool follow = false;
  bool strict = false;
  bool once = false;
  bool new_input = false;
};

// Adds run's options; `config show` shows the same.
void AddRunSettings(Settings& settings, RunSettings& run, CLI::App& app);

}  // namespace marquee::cli

#endif  // MARQUEE_CLI_RUN_COMMAND_H_
