// Where a command's settings come from: flags over environment over a TOML file over defaults; and
// what `marquee config show` says of them.
#ifndef MARQUEE_CLI_SETTINGS_H_
#define MARQUEE_CLI_SETTINGS_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"

namespace marquee::cli {

class Settings {
 public:
  // `app` outlives this.
  explicit Settings(CLI::App& app) : app_(app) {}

  // An option --NAME of the app, which MARQUEE_NAME in the environment (dashes become underscores),
  // MARQUEE_NAME_FILE (a file whose first line is the value) and `NAME = …` in the file set too.
  // `value` holds the default and outlives this.
  template <typename T>
  CLI::Option* Add(const std::string& name, T& value, const std::string& help) {
    CLI::Option* option = app_.add_option("--" + name, value, help);
    if constexpr (!IsOptional<T>::value) option->capture_default_str();
    options_.push_back({name, option, ""});
    return option;
  }
  CLI::Option* AddFlag(const std::string& name, bool& value, const std::string& help) {
    CLI::Option* option = app_.add_flag("--" + name, value, help);
    options_.push_back({name, option, ""});
    return option;
  }

  // After the command line was parsed: fills in what it left open. kInvalidArgument: an unreadable
  // file, an unknown name in it, a value of the wrong type, each with where it stands.
  absl::Status Complete(const std::string& config_file);

  struct Shown {
    std::string name;
    std::string value;   // secrets masked
    std::string origin;  // "--broker", "MARQUEE_BROKER", "marquee.toml", "default"
  };
  std::vector<Shown> Show() const;

  static std::string EnvironmentName(std::string_view name);

 private:
  template <typename T>
  struct IsOptional : std::false_type {};
  template <typename T>
  struct IsOptional<std::optional<T>> : std::true_type {};

  struct Entry {
    std::string name;
    CLI::Option* option;
    std::string origin;
  };
  absl::Status FromEnvironment(Entry& entry);
  absl::Status Set(Entry& entry, const std::vector<std::string>& values, const std::string& origin);

  CLI::App& app_;
  std::vector<Entry> options_;
};

// "amqp://user:secret@host" → "amqp://user:***@host"; "kafka.password=secret" →
// "kafka.password=***".
std::string MaskSecrets(std::string_view text);

}  // namespace marquee::cli

#endif  // MARQUEE_CLI_SETTINGS_H_
