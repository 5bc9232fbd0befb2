// What a sequence is computed for: takes the logits it asked for and says what they led to.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine.h"

namespace cfab {

// -1 where nothing is to be fed: the work has ended, or feeds what it had from the beginning.
struct Taken {
  bool has_ended = false;
  TokenId next = -1;
};

class Work {
 public:
  virtual ~Work() = default;
  // Once, before the first pass. Returns what keeps it from running.
  virtual Failure Start(const Model& model) = 0;
  // One row of logits, in the order of the positions.
  virtual Taken Take(const float* logits, uint32_t slot, StepReport* report) = 0;
  // The last words of work that was cut short.
  virtual void Cancel(uint32_t slot, StepReport* report) = 0;
};

// One job's tokens on their way through a slot.
struct Sequence {
  CallId call = 0;
  Priority priority = Priority::kNormal;
  bool is_generation = false;
  // Of two that are equal otherwise, the lower goes first.
  uint64_t arrival = 0;
  // What was and will be fed: the prompt, then the output.
  std::vector<TokenId> ids;
  // Sizes of the passes that read what is known from the beginning.
  std::vector<uint32_t> chunks;
  size_t chunks_read = 0;
  // How many of `ids` are in memory.
  uint32_t fed = 0;
  // The first position after which logits are wanted.
  uint32_t rows_from = 0;
  std::string cache_key;
  std::unique_ptr<Work> work;

  bool is_reading() const { return chunks_read < chunks.size(); }
  // Rows that the next chunk gives.
  uint32_t rows_of_chunk() const {
    const uint32_t end = fed + chunks[chunks_read];
    return end <= rows_from ? 0 : end - (fed > rows_from ? fed : rows_from);
  }
};

// The sequence of a job; null when no forward pass can compute it: ids that the model does not have, no tokens at all, more than
// the context holds, chunks that do not sum to the prompt or are larger than `pass_tokens_max`, a prefix that leaves nothing to say.
std::unique_ptr<Sequence> SequenceOf(GenerateJob job, const Model& model, uint32_t context_tokens, uint32_t pass_tokens_max);
std::unique_ptr<Sequence> SequenceOf(AuditJob job, const Model& model, uint32_t context_tokens, uint32_t pass_tokens_max);

}  // namespace cfab
