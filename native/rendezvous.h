// The best k of many peers by weighted rendezvous hashing; core/selection/rendezvous.ts says what it computes and why.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cfab {

constexpr size_t kDrawKeyBytes = 16;
constexpr size_t kPeerKeyBytes = 32;

enum class Isa { kScalar, kAvx2 };

// Whether this processor, and what this was compiled for, can run a path.
bool Supports(Isa isa);

struct Peers {
  const uint8_t* keys;     // count x 32 bytes
  const uint8_t* weights;  // count x 1; a peer of weight 0 scores 0
  uint32_t count;
};

struct Ranked {
  uint64_t score;
  uint32_t index;
};

// Writes the best `top_count` peers, best first; ties go to the lower PeerId, then to the lower index.
// `top_count` is 1 to peers.count, and `top` has room for it. Never throws, allocates nothing.
void RendezvousTop(const uint8_t* draw_key, const Peers& peers, Isa isa, Ranked* top, uint32_t top_count);

}  // namespace cfab
