// The tokens of one forward pass, in memory that is kept from pass to pass.
#pragma once

#include <cstdint>
#include <vector>

#include "model.h"

namespace cfab {

class Batch {
 public:
  Batch(uint32_t tokens_max, uint32_t slot_count);

  void Clear();
  // `position`: 0-based place in its sequence. Sequences must be added in ascending order of their slots: llama.cpp splits a pass
  // where ids do not follow each other.
  void Add(TokenId id, uint32_t position, uint32_t slot, bool wants_logits);

  uint32_t size() const { return static_cast<uint32_t>(ids_.size()); }
  // Valid until the next change.
  llama_batch View();

 private:
  std::vector<TokenId> ids_;
  std::vector<llama_pos> positions_;
  std::vector<int32_t> slots_of_each_;
  std::vector<llama_seq_id*> slots_;
  std::vector<int8_t> wants_logits_;
  // What `slots_` points into: the number of each slot.
  std::vector<llama_seq_id> slot_numbers_;
};

}  // namespace cfab
