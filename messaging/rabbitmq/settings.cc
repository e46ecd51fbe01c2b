#include "messaging/rabbitmq/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "absl/strings/numbers.h"
#include "base/status.h"
#include "messaging/setting_names.h"

namespace marquee::messaging::rabbitmq {
namespace {

struct Number {
  std::string_view name;
  int64_t Settings::*field;
  int64_t min;
  int64_t max;
};

constexpr Number kNumbers[] = {
    {"amqp.heartbeat_seconds", &Settings::heartbeat_seconds, 1, 3600},
    {"amqp.confirm_window_messages", &Settings::confirm_window_messages, 1, 100'000},
    {"amqp.prefetch_messages", &Settings::prefetch_messages, 1, 10'000},
    {"amqp.pack_bytes", &Settings::pack_bytes, 1, 4 << 20},
    {"amqp.segment_bytes", &Settings::segment_bytes, 1 << 20, int64_t{2} << 30},
    {"amqp.snapshot_records", &Settings::snapshot_records, 1, 1'000'000'000},
};

struct Text {
  std::string_view name;
  std::string Settings::*field;
};

constexpr Text kTexts[] = {
    {"amqp.ca_file", &Settings::ca_file},
    {"amqp.certificate_file", &Settings::certificate_file},
    {"amqp.key_file", &Settings::key_file},
};

// One of two words.
struct Switch {
  std::string_view name;
  bool Settings::*field;
  std::string_view off;
  std::string_view on;
};

constexpr Switch kSwitches[] = {
    {"amqp.pack", &Settings::pack, "off", "on"},
    {"amqp.authentication", &Settings::external, "password", "external"},
};

absl::Status Unknown(std::string_view name) {
  std::vector<std::string> known;
  for (const Number& number : kNumbers) known.emplace_back(number.name);
  for (const Text& text : kTexts) known.emplace_back(text.name);
  for (const Switch& one : kSwitches) known.emplace_back(one.name);
  return UnknownSetting(name, "RabbitMQ", known);
}

}  // namespace

absl::StatusOr<Settings> Settings::Parse(const std::map<std::string, std::string>& settings) {
  Settings parsed;
  for (const auto& [name, value] : settings) {
    auto is_it = [&name = name](const auto& entry) { return entry.name == name; };
    auto number = std::find_if(std::begin(kNumbers), std::end(kNumbers), is_it);
    auto text = std::find_if(std::begin(kTexts), std::end(kTexts), is_it);
    auto one = std::find_if(std::begin(kSwitches), std::end(kSwitches), is_it);
    if (number != std::end(kNumbers)) {
      int64_t& field = parsed.*(number->field);
      if (!absl::SimpleAtoi(value, &field) || field < number->min || field > number->max) {
        return absl::InvalidArgumentError(
            fmt::format("setting {}: expected a number from {} to {}, found '{}'", name,
                        number->min, number->max, value));
      }
    } else if (text != std::end(kTexts)) {
      parsed.*(text->field) = value;
    } else if (one != std::end(kSwitches)) {
      if (value != one->on && value != one->off) {
        return absl::InvalidArgumentError(fmt::format("setting {}: expected {} or {}, found '{}'",
                                                      name, one->on, one->off, value));
      }
      parsed.*(one->field) = value == one->on;
    } else {
      return Unknown(name);
    }
  }
  if (parsed.certificate_file.empty() != parsed.key_file.empty()) {
    return absl::InvalidArgumentError(
        "settings amqp.certificate_file and amqp.key_file: expected both or neither");
  }
  return parsed;
}

}  // namespace marquee::messaging::rabbitmq
