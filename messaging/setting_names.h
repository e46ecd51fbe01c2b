// What is said of a setting that no backend knows.
#ifndef MARQUEE_MESSAGING_SETTING_NAMES_H_
#define MARQUEE_MESSAGING_SETTING_NAMES_H_

#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace marquee::messaging {

// kInvalidArgument: `name` is no setting of a `backend` ("sqlite:") broker, with the nearest of
// those that are. REQUIRES: `known` is not empty.
absl::Status UnknownSetting(std::string_view name, std::string_view backend,
                            std::span<const std::string> known);

}  // namespace marquee::messaging

#endif  // MARQUEE_MESSAGING_SETTING_NAMES_H_
