#include "tests/simulation/crashing_catalogue.h"

#include <utility>
#include <vector>

#include "base/status.h"

namespace marquee::simulation {

class CrashingCatalogue::CrashingWriter final : public catalogue::Writer {
 public:
  CrashingWriter(CrashingCatalogue& owner, std::unique_ptr<catalogue::Writer> inner)
      : owner_(owner), inner_(std::move(inner)) {}

  absl::Status Commit(const catalogue::Changes& changes) override {
    if (owner_.crashed_) return absl::CancelledError("crashed");
    bool last = owner_.commits_left_ > 0 && --owner_.commits_left_ == 0;
    if (!last) return inner_->Commit(changes);
    owner_.crashed_ = true;
    if (owner_.random_.OneIn(2)) (void)inner_->Commit(changes);
    return absl::CancelledError("crashed");
  }
  absl::StatusOr<std::vector<catalogue::TopicPosition>> Positions() override {
    return inner_->Positions();
  }
  absl::StatusOr<std::vector<domain::Watermark>> Watermarks() override {
    return inner_->Watermarks();
  }
  uint64_t CommitNumber() const override { return inner_->CommitNumber(); }

 private:
  CrashingCatalogue& owner_;
  std::unique_ptr<catalogue::Writer> inner_;
};

absl::StatusOr<std::unique_ptr<catalogue::Writer>> CrashingCatalogue::OpenWriter() {
  MARQUEE_ASSIGN_OR_RETURN(std::unique_ptr<catalogue::Writer> writer, inner_.OpenWriter());
  return std::make_unique<CrashingWriter>(*this, std::move(writer));
}

}  // namespace marquee::simulation
