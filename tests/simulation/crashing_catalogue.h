// A catalogue whose writer's process dies at a chosen commit, before or after it. Decorates another
// catalogue, which lives on.
#ifndef MARQUEE_TESTS_SIMULATION_CRASHING_CATALOGUE_H_
#define MARQUEE_TESTS_SIMULATION_CRASHING_CATALOGUE_H_

#include <memory>
#include <string>

#include "base/random.h"
#include "catalogue/catalogue.h"

namespace marquee::simulation {

class CrashingCatalogue final : public catalogue::Catalogue {
 public:
  // Both outlive it.
  CrashingCatalogue(catalogue::Catalogue& inner, Random& random) : inner_(inner), random_(random) {}

  // The n-th commit from now (1: the next) crashes; 0: none does.
  void CrashAtCommit(uint64_t n) { commits_left_ = n; }
  bool crashed() const { return crashed_; }
  void Revive() { crashed_ = false; }

  absl::StatusOr<std::unique_ptr<catalogue::Writer>> OpenWriter() override;
  absl::StatusOr<std::unique_ptr<catalogue::Reader>> OpenReader() override {
    return inner_.OpenReader();
  }
  std::string name() const override { return inner_.name(); }

 private:
  class CrashingWriter;

  catalogue::Catalogue& inner_;
  Random& random_;
  uint64_t commits_left_ = 0;
  bool crashed_ = false;
};

}  // namespace marquee::simulation

#endif  // MARQUEE_TESTS_SIMULATION_CRASHING_CATALOGUE_H_
