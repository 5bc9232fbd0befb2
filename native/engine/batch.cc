#include "batch.h"

namespace cfab {

Batch::Batch(uint32_t tokens_max, uint32_t slot_count) {
  ids_.reserve(tokens_max);
  positions_.reserve(tokens_max);
  slots_of_each_.assign(tokens_max, 1);
  slots_.reserve(tokens_max);
  wants_logits_.reserve(tokens_max);
  for (uint32_t slot = 0; slot < slot_count; slot++) slot_numbers_.push_back(static_cast<llama_seq_id>(slot));
}

void Batch::Clear() {
  ids_.clear();
  positions_.clear();
  slots_.clear();
  wants_logits_.clear();
}

void Batch::Add(TokenId id, uint32_t position, uint32_t slot, bool wants_logits) {
  ids_.push_back(id);
  positions_.push_back(static_cast<llama_pos>(position));
  slots_.push_back(&slot_numbers_[slot]);
  wants_logits_.push_back(wants_logits ? 1 : 0);
}

llama_batch Batch::View() {
  llama_batch view{};
  view.n_tokens = static_cast<int32_t>(ids_.size());
  view.token = ids_.data();
  view.pos = positions_.data();
  view.n_seq_id = slots_of_each_.data();
  view.seq_id = slots_.data();
  view.logits = wants_logits_.data();
  return view;
}

}  // namespace cfab
