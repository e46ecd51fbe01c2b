// The version of this build, for `marquee version`, metrics, dead letters and reports.
#ifndef MARQUEE_BASE_VERSION_H_
#define MARQUEE_BASE_VERSION_H_

namespace marquee {

inline constexpr char kVersion[] = "0.1.0";

}  // namespace marquee

#endif  // MARQUEE_BASE_VERSION_H_
