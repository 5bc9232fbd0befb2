// The parts of gumbel-v1 that sampling.h does not show: core/verification/gumbel.ts says what they are and why.
#pragma once

#include "../siphash.h"
#include "sampling.h"
#include "sha256.h"

namespace cfab {

// The first 16 bytes are the key of the noise at output position t.
Digest PositionHash(const std::array<uint8_t, kSeedBytes>& seed, uint32_t t);

// The score that gumbel-v1 takes the highest of: logit + temperature * noise.
class PositionScorer {
 public:
  PositionScorer(const GumbelSpec& spec, uint32_t t);
  double Score(const Candidate& candidate) const;
  // Gumbel(0, 1); not to be called at temperature 0.
  double Noise(TokenId id) const;
  // Whether the score is at least `least`: only then `score` is it. Takes no logarithm where it is far below.
  bool Reaches(const Candidate& candidate, double least, double* score) const;

 private:
  uint64_t HashOf(TokenId id) const;
  static double NoiseOf(uint64_t hash);

  const double temperature_;
  SipState key_{};
};

}  // namespace cfab
