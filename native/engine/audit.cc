#include "audit.h"

#include <utility>

namespace cfab {

AuditWork::AuditWork(CallId call, std::vector<TokenId> output, const GumbelSpec& sampling)
    : call_(call), output_(std::move(output)), sampling_(sampling) {}

Failure AuditWork::Start(const Model& model) {
  vocab_size_ = model.vocab_size();
  positions_.reserve(output_.size());
  return Failure::kNone;
}

Taken AuditWork::Take(const float* logits, uint32_t, StepReport* report) {
  const size_t t = positions_.size();
  AuditPosition& position = positions_.emplace_back();
  SelectTop(logits, vocab_size_, &position.candidates);
  position.margin = MarginOf(position.candidates, output_[t], sampling_, static_cast<uint32_t>(t));
  if (positions_.size() < output_.size()) return {};
  report->audits.push_back({call_, std::move(positions_)});
  return {true, -1};
}

void AuditWork::Cancel(uint32_t, StepReport* report) { report->audits.push_back({call_, {}}); }

}  // namespace cfab
