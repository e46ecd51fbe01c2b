#include "domain/rules.h"

#include <limits>

#include "absl/strings/str_format.h"
#include "base/status.h"
#include "domain/message.h"
#include "domain/text.h"
#include "marquee/v1/settings.pb.h"

namespace marquee::domain {
namespace {

constexpr uint32_t kShardsMax = 1024;
constexpr int32_t kValueThousandthsMax = 1'000'000;
constexpr uint64_t kWindowMessagesMax = 1 << 24;
constexpr uint64_t kSequenceDistanceMax = 1 << 30;
constexpr uint32_t kIncarnationsMax = 1024;
constexpr int kDecimals = 3;

absl::Status CheckRange(std::string_view name, uint64_t found, uint64_t min, uint64_t max) {
  if (found >= min && found <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(
      Concat("rules: ", name, " is ", found, "; expected ", min, " to ", max));
}

absl::Status CheckScale(const Scale& scale) {
  int32_t min = scale.min.value(), max = scale.max.value(), step = scale.step.value();
  if (min >= 0 && min <= max && max <= kValueThousandthsMax && step > 0 &&
      (max - min) % step == 0) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      Concat("rules: the scale is ", scale.ToString(), "; expected 0 <= lowest <= highest <= ",
             kValueThousandthsMax / 1000, ", and whole steps above 0 between them"));
}

absl::Status NotANumber(std::string_view text) {
  return absl::InvalidArgumentError(Concat("\"", text.substr(0, 32), "\" is not a decimal number"));
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

template <typename T>
void Compare(std::string_view name, const T& recorded, const T& here,
             std::vector<std::string>* differences) {
  if (recorded == here) return;
  differences->push_back(Concat(name, ": ", recorded, " recorded, ", here, " here"));
}

}  // namespace

std::string Scale::ToString() const {
  return Concat(FormatThousandths(min), " to ", FormatThousandths(max), " in steps of ",
                FormatThousandths(step));
}

absl::Status Rules::Validate() const {
  MARQUEE_RETURN_IF_ERROR(CheckRange("version", version, 1, std::numeric_limits<uint32_t>::max()));
  MARQUEE_RETURN_IF_ERROR(CheckRange("shards", shards, 1, kShardsMax));
  MARQUEE_RETURN_IF_ERROR(CheckScale(scale));
  MARQUEE_RETURN_IF_ERROR(CheckRange("idempotency_window_messages", idempotency_window_messages, 0,
                                     kWindowMessagesMax));
  MARQUEE_RETURN_IF_ERROR(
      CheckRange("sequence_distance_max", sequence_distance_max, 1, kSequenceDistanceMax));
  return CheckRange("incarnations_per_source_max", incarnations_per_source_max, 1,
                    kIncarnationsMax);
}

std::vector<std::string> Differences(const Rules& recorded, const Rules& here) {
  std::vector<std::string> differences;
  Compare("version", recorded.version, here.version, &differences);
  Compare("shards", recorded.shards, here.shards, &differences);
  if (recorded.scale != here.scale) {
    differences.push_back(Concat("scale: ", recorded.scale.ToString(), " recorded, ",
                                 here.scale.ToString(), " here"));
  }
  Compare("idempotency_window_messages", recorded.idempotency_window_messages,
          here.idempotency_window_messages, &differences);
  Compare("sequence_distance_max", recorded.sequence_distance_max, here.sequence_distance_max,
          &differences);
  Compare("incarnations_per_source_max", recorded.incarnations_per_source_max,
          here.incarnations_per_source_max, &differences);
  return differences;
}

std::string EncodeRules(const Rules& rules) {
  v1::Settings message;
  message.set_version(rules.version);
  message.set_shards(rules.shards);
  message.set_scale_min_thousandths(rules.scale.min.value());
  message.set_scale_max_thousandths(rules.scale.max.value());
  message.set_scale_step_thousandths(rules.scale.step.value());
  message.set_idempotency_window_messages(rules.idempotency_window_messages);
  message.set_sequence_distance_max(rules.sequence_distance_max);
  message.set_incarnations_per_source_max(rules.incarnations_per_source_max);
  return message.SerializeAsString();
}

absl::StatusOr<Rules> DecodeRules(std::string_view bytes) {
  v1::Settings message;
  MARQUEE_RETURN_IF_ERROR(ReadMessageFrom(bytes, &message));
  Rules rules;
  rules.version = message.version();
  rules.shards = message.shards();
  rules.scale.min = Thousandths(message.scale_min_thousandths());
  rules.scale.max = Thousandths(message.scale_max_thousandths());
  rules.scale.step = Thousandths(message.scale_step_thousandths());
  rules.idempotency_window_messages = message.idempotency_window_messages();
  rules.sequence_distance_max = message.sequence_distance_max();
  rules.incarnations_per_source_max = message.incarnations_per_source_max();
  MARQUEE_RETURN_IF_ERROR(rules.Validate());
  return rules;
}

absl::StatusOr<Thousandths> ParseThousandths(std::string_view text) {
  std::string_view rest = text;
  bool negative = !rest.empty() && rest[0] == '-';
  if (negative) rest.remove_prefix(1);
  if (rest.empty() || !IsDigit(rest[0])) return NotANumber(text);
  int64_t thousandths = 0;
  constexpr int64_t kMax = std::numeric_limits<int32_t>::max();
  for (; !rest.empty() && IsDigit(rest[0]); rest.remove_prefix(1)) {
    thousandths = thousandths * 10 + (rest[0] - '0') * 1000;
    if (thousandths > kMax) {
      return absl::InvalidArgumentError(Concat("\"", text.substr(0, 32), "\" is too large"));
    }
  }
  if (!rest.empty()) {
    if (rest[0] != '.' || rest.size() == 1) return NotANumber(text);
    rest.remove_prefix(1);
    int64_t unit = 100;
    for (char c : rest) {
      if (!IsDigit(c)) return NotANumber(text);
      if (unit == 0 && c != '0') {
        return absl::InvalidArgumentError(
            Concat("\"", text.substr(0, 32), "\" has more than ", kDecimals, " decimals"));
      }
      thousandths += (c - '0') * unit;
      unit /= 10;
    }
    if (thousandths > kMax) {
      return absl::InvalidArgumentError(Concat("\"", text.substr(0, 32), "\" is too large"));
    }
  }
  return Thousandths(static_cast<int32_t>(negative ? -thousandths : thousandths));
}

std::string FormatThousandths(Thousandths value) {
  int64_t magnitude = value.value() < 0 ? -int64_t{value.value()} : value.value();
  std::string text = absl::StrFormat("%s%d.%03d", value.value() < 0 ? "-" : "", magnitude / 1000,
                                     magnitude % 1000);
  while (text.back() == '0') text.pop_back();
  if (text.back() == '.') text.pop_back();
  return text;
}

}  // namespace marquee::domain
