// The conformance suite on `memory:`.
#include <memory>

#include "messaging/conformance/conformance.h"
#include "messaging/conformance/memory_backend.h"

int main(int argc, char** argv) {
  using namespace marquee::messaging;  // NOLINT(google-build-using-namespace)
  return conformance::ConformanceMain(
      argc, argv, {.make_backend = [] {
        return std::make_unique<conformance::MemoryBackend>(MemoryWorldOptions());
      }});
}
