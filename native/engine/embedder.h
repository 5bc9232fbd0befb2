// Texts that wait for their vectors, from as many calls as there are: a pass takes as many as fit.
#pragma once

#include <deque>
#include <vector>

#include "batch.h"
#include "context.h"
#include "watch.h"

namespace cfab {

class Embedder {
 public:
  explicit Embedder(Context* context) : context_(context) {}

  // False when no pass can compute it: no texts, an empty one, one too long, or ids that the model does not have.
  bool Accepts(const EmbedJob& job) const;
  void Add(EmbedJob job);
  // Whether there was such a call.
  bool Cancel(CallId call, StepReport* report);
  void CancelAll(StepReport* report);
  uint32_t jobs() const { return static_cast<uint32_t>(jobs_.size()); }

  // Puts the next texts into an empty batch, one in each slot. Returns whose they are.
  std::vector<PassWatch::Wanted> Plan(Batch* batch);
  // After the pass over what was planned.
  void Take(StepReport* report);
  void Fail(StepReport* report);

 private:
  struct Job {
    EmbedJob texts;
    std::vector<std::vector<float>> vectors;
  };

  Context* const context_;
  std::deque<Job> jobs_;
  // Texts in the pass.
  uint32_t planned_ = 0;
};

}  // namespace cfab
