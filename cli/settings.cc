#include "cli/settings.h"

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#include "toml++/toml.h"

namespace marquee::cli {
namespace {

// A TOML value as the text a command line would hold.
absl::StatusOr<std::vector<std::string>> TextsOf(const toml::node& node) {
  if (auto* array = node.as_array()) {
    std::vector<std::string> texts;
    for (const toml::node& element : *array) {
      MARQUEE_ASSIGN_OR_RETURN(std::vector<std::string> inner, TextsOf(element));
      texts.insert(texts.end(), inner.begin(), inner.end());
    }
    return texts;
  }
  if (auto text = node.value_exact<std::string>()) return std::vector{*text};
  if (auto number = node.value_exact<int64_t>()) return std::vector{absl::StrCat(*number)};
  if (auto number = node.value_exact<double>()) return std::vector{absl::StrCat(*number)};
  if (auto truth = node.value_exact<bool>())
    return std::vector<std::string>{*truth ? "true" : "false"};
  return absl::InvalidArgumentError("expected a text, a number, true, false or a list of them");
}

}  // namespace

std::string Settings::EnvironmentName(std::string_view name) {
  std::string result = "MARQUEE_";
  for (char c : name) result += c == '-' ? '_' : absl::ascii_toupper(static_cast<unsigned char>(c));
  return result;
}

absl::Status Settings::Set(Entry& entry, const std::vector<std::string>& values,
                           const std::string& origin) {
  try {
    for (const std::string& value : values) entry.option->add_result(value);
    entry.option->run_callback();
  } catch (const CLI::Error& error) {
    return absl::InvalidArgumentError(absl::StrCat(origin, ": ", error.what()));
  }
  entry.origin = origin;
  return absl::OkStatus();
}

absl::Status Settings::FromEnvironment(Entry& entry) {
  std::string name = EnvironmentName(entry.name);
  if (const char* value = std::getenv(name.c_str())) return Set(entry, {value}, name);
  name += "_FILE";
  const char* path = std::getenv(name.c_str());
  if (path == nullptr) return absl::OkStatus();
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line))
    return absl::InvalidArgumentError(absl::StrCat(name, ": cannot read ", path));
  return Set(entry, {line}, name);
}

absl::Status Settings::Complete(const std::string& config_file) {
  toml::table table;
  if (!config_file.empty()) {
    toml::parse_result parsed = toml::parse_file(config_file);
    if (!parsed) {
      std::ostringstream where;
      where << parsed.error().source().begin;
      return absl::InvalidArgumentError(absl::StrCat(
          config_file, ": ", std::string(parsed.error().description()), " at ", where.str()));
    }
    table = std::move(parsed).table();
  }
  for (Entry& entry : options_) {
    if (entry.option->count() > 0) {
      entry.origin = "--" + entry.name;
    } else {
      MARQUEE_RETURN_IF_ERROR(FromEnvironment(entry));
    }
    toml::node* node = table.get(entry.name);
    if (node != nullptr && entry.origin.empty()) {
      absl::StatusOr<std::vector<std::string>> texts = TextsOf(*node);
      if (!texts.ok()) return Annotate(texts.status(), absl::StrCat(config_file, ": ", entry.name));
      MARQUEE_RETURN_IF_ERROR(Set(entry, *texts, config_file));
    }
    if (entry.origin.empty()) entry.origin = "default";
    table.erase(entry.name);
  }
  return absl::OkStatus();
}

std::vector<Settings::Shown> Settings::Show() const {
  std::vector<Shown> shown;
  for (const Entry& entry : options_) {
    std::vector<std::string> values = {entry.option->get_default_str()};
    if (entry.option->count() > 0) values = entry.option->results();
    for (std::string& value : values) value = MaskSecrets(value);
    shown.push_back({entry.name, absl::StrJoin(values, ","), entry.origin});
  }
  return shown;
}

std::string MaskSecrets(std::string_view text) {
  constexpr std::string_view kPassword = "password", kMask = "***";
  size_t equals = text.find('=');
  std::string_view name = text.substr(0, equals);
  if (equals != std::string_view::npos && name.ends_with(kPassword) &&
      !name.ends_with("allow_plaintext_password")) {
    return absl::StrCat(std::string(name), "=", std::string(kMask));
  }
  size_t scheme = text.find("://");
  if (scheme == std::string_view::npos) return std::string(text);
  size_t begin = scheme + 3;
  // The last one: a password may hold what should have been encoded.
  size_t at = text.rfind('@');
  size_t colon = text.find(':', begin);
  if (at == std::string_view::npos || colon == std::string_view::npos || colon > at)
    return std::string(text);
  return absl::StrCat(std::string(text.substr(0, colon + 1)), std::string(kMask),
                      std::string(text.substr(at)));
}

}  // namespace marquee::cli
