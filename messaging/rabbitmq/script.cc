#include "messaging/rabbitmq/script.h"

#include <fmt/format.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <cstdio>

#include "base/status.h"

namespace marquee::messaging::rabbitmq {

std::string Variable(const char* name) {
  const char* value = getenv(name);
  return value == nullptr ? "" : value;
}

std::string Script(const std::string& verb, const std::string& more) {
  std::string command = fmt::format("'{}' {} {} {}", MARQUEE_RABBITMQ_SCRIPT, verb,
                                    Variable("MARQUEE_RABBITMQ"), more);
  FILE* pipe = popen(command.c_str(), "re");
  MARQUEE_CHECK(pipe != nullptr);
  std::string output;
  char bytes[4096];
  for (size_t size; (size = fread(bytes, 1, sizeof bytes, pipe)) > 0;) output.append(bytes, size);
  int status = pclose(pipe);
  if (status != 0) {
    std::fprintf(stderr, "%s failed with %d\n", command.c_str(), WEXITSTATUS(status));
    std::exit(1);
  }
  while (!output.empty() && output.back() == '\n') output.pop_back();
  return output;
}

}  // namespace marquee::messaging::rabbitmq
