// What a command prints: tables or JSON on standard output, words and progress on standard error.
#ifndef MARQUEE_CLI_OUTPUT_H_
#define MARQUEE_CLI_OUTPUT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "boost/json/value.hpp"

namespace marquee::cli {

// Exit codes of the program.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitDifference = 3;

enum class Format { kTable, kJson };

class Table {
 public:
  // A column whose name ends with '>' is aligned to the right.
  explicit Table(std::vector<std::string> columns);
  void Add(std::vector<std::string> cells);
  // Columns as wide as they need, counted in code points.
  std::string ToString() const;

 private:
  std::vector<std::string> names_;
  std::vector<bool> right_;
  std::vector<std::vector<std::string>> rows_;
};

void Print(std::string_view text);                // to standard output, with a newline
void PrintJson(const boost::json::value& value);  // one line
void Say(std::string_view text);                  // to standard error, with a newline

bool ErrorIsTerminal();
// Whether to use colours on standard error: a terminal, and NO_COLOR is not set.
bool ErrorHasColours();

std::string WithThousands(uint64_t number);          // "32,000,204"
std::string HumanBytes(int64_t bytes);               // "1.5 MiB"
std::string HumanDuration(absl::Duration duration);  // "1:02:03", "0:07"

// A bar on a terminal, redrawn in place; plain lines, now and then, elsewhere.
class ProgressBar {
 public:
  explicit ProgressBar(std::string what) : what_(std::move(what)) {}
  ~ProgressBar() { Finish(); }
  // At most some times a second on a terminal, every ten seconds elsewhere.
  void Show(double fraction, double rate_per_s, std::string_view unit, absl::Duration now);
  // Ends the line.
  void Finish();

 private:
  std::string what_;
  absl::Duration shown_at_ = -absl::InfiniteDuration();
  double first_fraction_ = -1;
  absl::Duration first_at_;
  bool open_ = false;
};

}  // namespace marquee::cli

#endif  // MARQUEE_CLI_OUTPUT_H_
