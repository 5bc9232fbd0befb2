#include "slots.h"

#include <algorithm>
#include <utility>

namespace cfab {
namespace {

// Less is not worth giving up what is kept.
constexpr uint32_t kKeptTokensMin = 16;
// A move copies the whole room of a slot. What it costs grows with the room, what a gap costs does not: the more tokens fit a
// slot, the longer a gap must have been there.
constexpr uint32_t kTokensOfGapStep = 4096;

uint32_t CommonBeginning(const std::vector<TokenId>& a, const std::vector<TokenId>& b) {
  const size_t length = std::min(a.size(), b.size());
  return static_cast<uint32_t>(std::mismatch(a.begin(), a.begin() + static_cast<ptrdiff_t>(length), b.begin()).first - a.begin());
}

}  // namespace

std::vector<uint32_t> ChunksAfter(const std::vector<uint32_t>& chunks, uint32_t tokens) {
  std::vector<uint32_t> left;
  for (const uint32_t chunk : chunks) {
    const uint32_t known = std::min(chunk, tokens);
    tokens -= known;
    if (known < chunk) left.push_back(chunk - known);
  }
  return left;
}

Slots::Slots(Context* context, uint32_t cached_max)
    : context_(context),
      cached_max_(context->is_positional() ? std::min(cached_max, context->spec().slot_count) : 0),
      slots_(context->spec().slot_count) {}

uint32_t Slots::busy_with_low() const {
  return static_cast<uint32_t>(std::count_if(slots_.begin(), slots_.end(), [](const Slot& slot) {
    return slot.running != nullptr && slot.running->priority == Priority::kLow;
  }));
}

uint64_t Slots::tokens_used() const {
  uint64_t tokens = 0;
  for (const Slot& slot : slots_) tokens += slot.running != nullptr ? slot.running->fed : slot.kept.size();
  return tokens;
}

Sequence* Slots::Admit(std::unique_ptr<Sequence>* sequence) {
  uint32_t kept_tokens = 0;
  int found = FindKept(**sequence, &kept_tokens);
  if (found >= 0 && !context_->ForgetFrom(static_cast<uint32_t>(found), kept_tokens)) found = -1;
  const bool is_kept = found >= 0;
  if (!is_kept) found = FindFree(!(**sequence).is_generation);
  if (found < 0) found = FindOldestKept();
  if (found < 0) return nullptr;
  Slot& slot = slots_[static_cast<size_t>(found)];
  if (!is_kept) Drop(static_cast<uint32_t>(found));
  slot.kept.clear();
  slot.running = std::move(*sequence);
  busy_++;
  if (is_kept) {
    slot.running->fed = kept_tokens;
    slot.running->chunks = ChunksAfter(slot.running->chunks, kept_tokens);
  }
  return slot.running.get();
}

// At least one token of a prompt must be computed, or there are no logits.
int Slots::FindKept(const Sequence& sequence, uint32_t* kept_tokens) const {
  int found = -1;
  if (sequence.cache_key.empty()) return found;
  for (size_t at = 0; at < slots_.size(); at++) {
    if (slots_[at].kept.empty() || slots_[at].kept_key != sequence.cache_key) continue;
    const uint32_t common = CommonBeginning(slots_[at].kept, sequence.ids);
    const uint32_t usable = std::min(common, static_cast<uint32_t>(sequence.ids.size()) - 1);
    if (usable < kKeptTokensMin || usable <= *kept_tokens) continue;
    *kept_tokens = usable;
    found = static_cast<int>(at);
  }
  return found;
}

int Slots::FindFree(bool is_from_top) const {
  int found = -1;
  for (size_t at = 0; at < slots_.size() && (found < 0 || is_from_top); at++) {
    if (slots_[at].is_free()) found = static_cast<int>(at);
  }
  return found;
}

int Slots::FindOldestKept() const {
  int oldest = -1;
  for (size_t at = 0; at < slots_.size(); at++) {
    if (slots_[at].kept.empty()) continue;
    const bool is_older = oldest < 0 || slots_[at].kept_since < slots_[static_cast<size_t>(oldest)].kept_since;
    if (is_older) oldest = static_cast<int>(at);
  }
  return oldest;
}

uint32_t Slots::KeptCount() const {
  return static_cast<uint32_t>(
      std::count_if(slots_.begin(), slots_.end(), [](const Slot& slot) { return !slot.kept.empty(); }));
}

void Slots::Drop(uint32_t slot) {
  slots_[slot].kept.clear();
  context_->Forget(slot);
}

std::unique_ptr<Sequence> Slots::Retire(uint32_t at, bool may_keep) {
  Slot& slot = slots_[at];
  std::unique_ptr<Sequence> ended = std::move(slot.running);
  busy_--;
  const bool keeps = may_keep && cached_max_ > 0 && !ended->cache_key.empty() && ended->fed >= kKeptTokensMin;
  if (!keeps) {
    Drop(at);
    return ended;
  }
  if (KeptCount() == cached_max_) Drop(static_cast<uint32_t>(FindOldestKept()));
  slot.kept.assign(ended->ids.begin(), ended->ids.begin() + ended->fed);
  slot.kept_key = ended->cache_key;
  slot.kept_since = ++now_;
  return ended;
}

bool Slots::IsGenerating(uint32_t slot) const {
  return slots_[slot].running != nullptr && !slots_[slot].running->is_reading();
}

// The lowest slot between two that generate in which nobody runs, or -1; and the highest that generates.
int Slots::FindGap(uint32_t* highest) const {
  int gap = -1;
  bool is_inside = false;
  *highest = 0;
  for (uint32_t at = 0; at < count(); at++) {
    if (IsGenerating(at)) *highest = at;
    is_inside = is_inside || IsGenerating(at);
    if (is_inside && gap < 0 && slots_[at].running == nullptr) gap = static_cast<int>(at);
  }
  return gap >= 0 && static_cast<uint32_t>(gap) < *highest ? gap : -1;
}

// What is kept in the slot moves to a free one; false when there is none.
bool Slots::MakeFree(uint32_t slot) {
  if (slots_[slot].is_free()) return true;
  const int free = FindFree(true);
  if (free < 0) return false;
  context_->Move(slot, static_cast<uint32_t>(free));
  std::swap(slots_[slot], slots_[static_cast<size_t>(free)]);
  return true;
}

void Slots::CloseGaps() {
  if (!context_->is_positional()) return;
  uint32_t highest = 0;
  int gap = FindGap(&highest);
  gap_steps_ = gap < 0 ? 0 : gap_steps_ + 1;
  if (gap_steps_ * kTokensOfGapStep < context_->context_tokens()) return;
  for (; gap >= 0 && MakeFree(static_cast<uint32_t>(gap)); gap = FindGap(&highest)) {
    context_->Move(highest, static_cast<uint32_t>(gap));
    slots_[static_cast<size_t>(gap)].running = std::move(slots_[highest].running);
  }
  gap_steps_ = 0;
}

}  // namespace cfab
