// An engine whose reports are written down, and jobs for it.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "../engine.h"
#include "fixtures.h"

namespace cfab::test {

// All that was reported of one call.
struct Outcome {
  std::vector<TokenId> ids;
  std::vector<double> logprobs;
  std::vector<uint32_t> slots;
  std::vector<std::vector<Alternative>> alternatives;
  std::string text;
  Finish finish = Finish::kNone;
  Failure failure = Failure::kNone;
  std::vector<AuditPosition> audit;
  std::vector<std::vector<float>> vectors;
  // Reports that came after the last one.
  int too_late = 0;
  bool has_ended = false;
};

class Desk {
 public:
  // Ends the test's process when the engine cannot be made.
  explicit Desk(const ContextSpec& spec, const Model& model = TestModel());
  ~Desk();

  Engine& engine() { return *engine_; }
  // Stops the engine; outcomes stay.
  void Close() { engine_.reset(); }
  // Waits until a call has ended, at the longest a minute: then it has not.
  Outcome Wait(CallId call);
  Outcome Peek(CallId call);
  // Waits until a call has so many tokens or has ended.
  void WaitForTokens(CallId call, size_t count);
  // How many calls have ended.
  size_t EndedCount();
  uint64_t StepCount();

 private:
  void Write(StepReport&& report);
  Outcome* Of(CallId call, bool is_last);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<CallId, Outcome> outcomes_;
  uint64_t steps_ = 0;
  std::unique_ptr<Engine> engine_;
};

ContextSpec SpecOf(uint32_t slot_count, uint32_t context_tokens = 512, int32_t threads = 1);
std::vector<uint32_t> ChunksOf(size_t tokens, uint32_t chunk_max = 63);
// Ids that mean nothing, the same for the same seed.
std::vector<TokenId> PromptOf(size_t tokens, uint64_t seed);
// gumbel-v1 at temperature 0.8; the seed decides the draw.
GenerateJob JobOf(CallId call, std::vector<TokenId> prompt, uint32_t max_tokens, uint8_t seed = 1);
// The same with a sampler that no stop token ends.
GenerateJob EndlessOf(CallId call, std::vector<TokenId> prompt, uint32_t max_tokens);
AuditJob AuditOf(CallId call, const GenerateJob& job, std::vector<TokenId> output);
// What the job gives when nothing else runs, in an engine of its own.
Outcome RunAlone(GenerateJob job, const ContextSpec& spec, const Model& model = TestModel());

}  // namespace cfab::test
