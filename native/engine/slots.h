// Who is in which slot, and what is kept in those where nobody is.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "context.h"
#include "work.h"

namespace cfab {

class Slots {
 public:
  Slots(Context* context, uint32_t cached_max);

  uint32_t count() const { return static_cast<uint32_t>(slots_.size()); }
  // Null where nobody runs.
  Sequence* at(uint32_t slot) const { return slots_[slot].running.get(); }
  uint32_t busy() const { return busy_; }
  uint32_t busy_with_low() const;
  // In memory, of sequences that run and that are kept.
  uint64_t tokens_used() const;

  // Puts a sequence into the slot that remembers the longest part of its beginning, else into a free one, else in place of what
  // was kept longest. Null when all are busy: the sequence stays with the caller. Generations come to lie at the bottom and
  // audits, which never generate, at the top: in between they would be gaps.
  Sequence* Admit(std::unique_ptr<Sequence>* sequence);
  // Takes a sequence out; keeps what was computed for it when it may be of use to another.
  std::unique_ptr<Sequence> Retire(uint32_t slot, bool may_keep);
  // Closes gaps between the slots that generate: the highest sequence moves into the lowest slot where nobody runs.
  //
  // Why: llama.cpp computes slots in one go only where their numbers follow each other. A gap costs half a step or more, each
  // time; a move costs a tenth of one, once.
  void CloseGaps();

 private:
  struct Slot {
    std::unique_ptr<Sequence> running;
    // What is in memory though nobody runs; empty: nothing.
    std::vector<TokenId> kept;
    std::string kept_key;
    uint64_t kept_since = 0;

    bool is_free() const { return running == nullptr && kept.empty(); }
  };

  int FindKept(const Sequence& sequence, uint32_t* kept_tokens) const;
  int FindFree(bool is_from_top) const;
  int FindOldestKept() const;
  uint32_t KeptCount() const;
  bool IsGenerating(uint32_t slot) const;
  int FindGap(uint32_t* highest) const;
  bool MakeFree(uint32_t slot);
  void Drop(uint32_t slot);

  Context* const context_;
  const uint32_t cached_max_;
  std::vector<Slot> slots_;
  uint32_t busy_ = 0;
  uint64_t now_ = 0;
  uint32_t gap_steps_ = 0;
};

// Takes the first `tokens` off a schedule of chunks.
std::vector<uint32_t> ChunksAfter(const std::vector<uint32_t>& chunks, uint32_t tokens);

}  // namespace cfab
