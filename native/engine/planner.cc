#include "planner.h"

#include <tuple>

namespace cfab {
namespace {

bool Reads(const Slots& slots, uint32_t slot) { return slots.at(slot) != nullptr && slots.at(slot)->is_reading(); }

uint32_t ChunkOf(const Sequence& sequence) { return sequence.chunks[sequence.chunks_read]; }

// Normal before low, then the oldest.
int FindFirst(const Slots& slots, const ReadRoom& room) {
  const Sequence* first = nullptr;
  int found = -1;
  for (uint32_t at = 0; at < slots.count(); at++) {
    if (!Reads(slots, at)) continue;
    const Sequence& sequence = *slots.at(at);
    if (sequence.priority == Priority::kLow && !room.allows_low) continue;
    const bool goes_first =
        first == nullptr || std::tie(sequence.priority, sequence.arrival) < std::tie(first->priority, first->arrival);
    if (!goes_first) continue;
    first = &sequence;
    found = static_cast<int>(at);
  }
  return found;
}

}  // namespace

std::vector<uint32_t> PlanGeneration(const Slots& slots) {
  std::vector<uint32_t> planned;
  for (uint32_t at = 0; at < slots.count(); at++) {
    if (slots.at(at) != nullptr && !Reads(slots, at)) planned.push_back(at);
  }
  return planned;
}

std::vector<uint32_t> PlanRead(const Slots& slots, const ReadRoom& room) {
  const int found = FindFirst(slots, room);
  if (found < 0) return {};
  const auto first = static_cast<uint32_t>(found);
  const Sequence& leader = *slots.at(first);
  const uint32_t chunk = ChunkOf(leader);
  if (chunk > room.tokens && !room.allows_larger) return {};
  uint32_t lowest = first, highest = first;
  uint32_t tokens = chunk, rows = leader.rows_of_chunk();
  const auto joins = [&](uint32_t at) {
    if (at >= slots.count() || !Reads(slots, at)) return false;
    const Sequence& sequence = *slots.at(at);
    if (sequence.priority != leader.priority || ChunkOf(sequence) != chunk) return false;
    if (tokens + chunk > room.tokens || rows + sequence.rows_of_chunk() > room.rows) return false;
    tokens += chunk;
    rows += sequence.rows_of_chunk();
    return true;
  };
  while (joins(highest + 1)) highest++;
  while (lowest > 0 && joins(lowest - 1)) lowest--;
  std::vector<uint32_t> planned;
  for (uint32_t at = lowest; at <= highest; at++) planned.push_back(at);
  return planned;
}

}  // namespace cfab
