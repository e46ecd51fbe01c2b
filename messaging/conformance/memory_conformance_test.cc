// The conformance suite on `memory:`.
#include <memory>

#include "messaging/conformance/conformance.h"
#include "messaging/conformance/memory_backend.h"

int main(int argc, char** argv) {
  using marquee::messaging::MemoryWorldOptions;
  namespace conformance = marquee::messaging::conformance;
  return conformance::ConformanceMain(
      argc, argv, {.make_backend = [] {
        return std::make_unique<conformance::MemoryBackend>(MemoryWorldOptions());
      }});
}
