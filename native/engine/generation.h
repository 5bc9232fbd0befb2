// One output on its way: what was chosen, what may be shown of it, and whether it goes on. As models/generate-run.ts has it.
#pragma once

#include <memory>
#include <string>

#include "sampling.h"
#include "text.h"
#include "work.h"

namespace cfab {

class Generation final : public Work {
 public:
  explicit Generation(GenerateJob job);

  Failure Start(const Model& model) override;
  Taken Take(const float* logits, uint32_t slot, StepReport* report) override;
  void Cancel(uint32_t slot, StepReport* report) override;

 private:
  void Resume(TokenId id);
  Finish Say(TokenId id, std::string* text);
  std::vector<Alternative> AlternativesOf(const Chosen& chosen) const;

  GenerateJob job_;
  const Model* model_ = nullptr;
  std::unique_ptr<Sampler> sampler_;
  Utf8Stream stream_;
  StopScanner scanner_;
  uint32_t count_ = 0;
};

}  // namespace cfab
