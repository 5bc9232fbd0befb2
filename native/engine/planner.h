// Which slots a pass computes.
#pragma once

#include <cstdint>
#include <vector>

#include "slots.h"

namespace cfab {

// Those that feed one token, ascending.
std::vector<uint32_t> PlanGeneration(const Slots& slots);

struct ReadRoom {
  uint32_t tokens;
  uint32_t rows;
  bool allows_low;
  // Whether a chunk may be read though it is larger than the room.
  bool allows_larger;
};

// Those that read their next chunk together: slots that follow each other, with chunks of one size, ascending; empty: none.
//
// Why so: any other set would not be computed in one go, and a chunk would not be the one that was committed to.
std::vector<uint32_t> PlanRead(const Slots& slots, const ReadRoom& room);

}  // namespace cfab
