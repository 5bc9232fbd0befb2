// What a model remembers of each slot's sequence, and one forward pass over it.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "batch.h"
#include "engine.h"
#include "threads.h"

namespace cfab {

class Context {
 public:
  // Null with a reason as Engine::Create has it.
  static std::unique_ptr<Context> Create(const Model& model, const ContextSpec& spec, std::string* error);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  const Model& model() const { return model_; }
  const ContextSpec& spec() const { return spec_; }
  // Whether it makes one vector of each text; otherwise it generates.
  bool pools() const { return pools_; }
  // Whether the end of a sequence can be forgotten and a sequence can move to another slot: not where a state is all that is
  // kept.
  bool is_positional() const { return is_positional_; }
  // Of one sequence.
  uint32_t context_tokens() const { return context_tokens_; }
  // Of one pass.
  uint32_t pass_tokens_max() const { return pass_tokens_max_; }
  uint32_t pass_rows_max() const { return pass_rows_max_; }

  enum class Passed { kDone, kAborted, kFailed };
  // Computes; after anything but kDone the sequences are as they were before, if all of the pass was one chunk for each sequence.
  Passed Run(Batch* batch);
  // The logits after the batch's token at `at`, which asked for them; valid until the next pass.
  const float* LogitsOf(uint32_t at) const;
  // The vector of a slot's text.
  const float* VectorOf(uint32_t slot) const;

  void Forget(uint32_t slot);
  void ForgetAll();
  // Keeps the first `kept` tokens, at least 1. Returns false, and has changed nothing, where more than those would be needed to
  // go on.
  bool ForgetFrom(uint32_t slot, uint32_t kept);
  // `to` must be empty; `from` is afterwards.
  void Move(uint32_t from, uint32_t to);

  // From any thread: the running pass ends early, if it can; no pass ends otherwise until the flag is taken back.
  void SetAbort(bool aborts) { aborts_.store(aborts, std::memory_order_relaxed); }

 private:
  Context(const Model& model, const ContextSpec& spec);

  bool Open(std::string* error);
  void TakeThreads();
  llama_context_params Params() const;
  static bool IsAborted(void* context);

  const Model& model_;
  const Libs& libs_;
  const ContextSpec spec_;
  const bool pools_;
  const bool is_positional_;
  const uint32_t window_tokens_;
  const uint32_t pass_tokens_max_;
  const uint32_t pass_rows_max_;
  uint32_t context_tokens_ = 0;
  std::unique_ptr<Threads> threads_;
  llama_context* handle_ = nullptr;
  llama_memory_t memory_ = nullptr;
  std::atomic<bool> aborts_{false};
};

}  // namespace cfab
