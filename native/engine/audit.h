// A claimed output, judged token by token under our own forward pass.
#pragma once

#include <vector>

#include "work.h"

namespace cfab {

class AuditWork final : public Work {
 public:
  AuditWork(CallId call, std::vector<TokenId> output, const GumbelSpec& sampling);

  Failure Start(const Model& model) override;
  Taken Take(const float* logits, uint32_t slot, StepReport* report) override;
  void Cancel(uint32_t slot, StepReport* report) override;

 private:
  const CallId call_;
  const std::vector<TokenId> output_;
  const GumbelSpec sampling_;
  int32_t vocab_size_ = 0;
  std::vector<AuditPosition> positions_;
};

}  // namespace cfab
