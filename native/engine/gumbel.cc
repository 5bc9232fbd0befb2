#include "exact.h"

#include "gumbel.h"

#include <algorithm>
#include <array>
#include <limits>

#include "log.h"

namespace cfab {
namespace {

constexpr char kPositionDomain[] = "cfab/gumbel/v1";
// Four bytes of token id, and their number in the top byte.
constexpr uint64_t kIdBlock = uint64_t{4} << 56;
constexpr double kTwoPow52 = 4503599627370496.0;

// Bounds the noise from above by the top byte of its hash, so that most candidates lose without a logarithm.
constexpr int kBoundBits = 8;
constexpr int kBounds = 1 << kBoundBits;
// Far more than the logarithms' own error, far less than one step of the table.
constexpr double kBoundSlack = 1e-9;

// Place i bounds -log(-log(u)) for u below (i + 1) / kBounds, which grows with u. No number bounds the last place.
std::array<double, kBounds> NoiseBounds() {
  std::array<double, kBounds> bounds;
  for (int at = 0; at < kBounds; at++) bounds[at] = -Log(-Log((at + 1.0) / kBounds)) + kBoundSlack;
  return bounds;
}

const std::array<double, kBounds> kNoiseBounds = NoiseBounds();

int InTopK(const Candidates& candidates, const GumbelSpec& spec) { return std::min<int>(candidates.count, spec.top_k); }

int RankOf(const Candidates& candidates, TokenId id) {
  for (int rank = 0; rank < candidates.count; rank++)
    if (candidates.top[rank].id == id) return rank;
  return kCandidateMax;
}

}  // namespace

Digest PositionHash(const std::array<uint8_t, kSeedBytes>& seed, uint32_t t) {
  const uint8_t big_endian[4] = {static_cast<uint8_t>(t >> 24), static_cast<uint8_t>(t >> 16), static_cast<uint8_t>(t >> 8),
                                 static_cast<uint8_t>(t)};
  return Sha256().Add(kPositionDomain, sizeof kPositionDomain - 1).Add(seed.data(), seed.size()).Add(big_endian, 4).Finish();
}

PositionScorer::PositionScorer(const GumbelSpec& spec, uint32_t t) : temperature_(spec.temperature) {
  if (temperature_ != 0) key_ = SipStart(PositionHash(spec.seed, t).data());
}

uint64_t PositionScorer::HashOf(TokenId id) const { return SipFinish(key_, kIdBlock | static_cast<uint32_t>(id)); }

double PositionScorer::NoiseOf(uint64_t hash) {
  // 52 bits and a half are 53: every step up to the logarithms is exact.
  const double u = (static_cast<double>(hash >> 12) + 0.5) / kTwoPow52;
  return -Log(-Log(u));
}

double PositionScorer::Noise(TokenId id) const { return NoiseOf(HashOf(id)); }

double PositionScorer::Score(const Candidate& candidate) const {
  return temperature_ == 0 ? double{candidate.logit} : candidate.logit + temperature_ * Noise(candidate.id);
}

bool PositionScorer::Reaches(const Candidate& candidate, double least, double* score) const {
  if (temperature_ == 0) return (*score = double{candidate.logit}) >= least;
  const uint64_t hash = HashOf(candidate.id);
  // Rounding keeps the order of sums and products, so whoever is below by its bound is below by its score.
  if (candidate.logit + temperature_ * kNoiseBounds[hash >> (64 - kBoundBits)] < least) return false;
  return (*score = candidate.logit + temperature_ * NoiseOf(hash)) >= least;
}

TokenId ChooseGumbel(const Candidates& candidates, const GumbelSpec& spec, uint32_t t) {
  const PositionScorer scorer(spec, t);
  TokenId best = -1;
  double best_score = -std::numeric_limits<double>::infinity();
  for (int rank = 0; rank < InTopK(candidates, spec); rank++) {
    const Candidate& candidate = candidates.top[rank];
    double score;
    if (!scorer.Reaches(candidate, best_score, &score)) continue;
    if (best < 0 || score > best_score || candidate.id < best) {
      best = candidate.id;
      best_score = score;
    }
  }
  return best;
}

Margin MarginOf(const Candidates& candidates, TokenId claimed, const GumbelSpec& spec, uint32_t t) {
  const int rank = RankOf(candidates, claimed);
  if (rank == kCandidateMax) return {kOutsideMarginNats, kCandidateMax};
  const int inside = InTopK(candidates, spec);
  const Candidate& found = candidates.top[rank];
  // A tolerance, because two honest machines order near-equal logits differently.
  const double edge = candidates.top[inside - 1].logit - kEdgeToleranceNats;
  if (rank >= spec.top_k && found.logit < edge) return {kOutsideMarginNats, rank};
  const PositionScorer scorer(spec, t);
  // For the same reason whoever stands barely above the first one outside may have been outside of the claimant's top-k.
  const bool has_edge = spec.temperature > 0 && candidates.count > inside;
  const double outside = has_edge ? candidates.top[inside].logit + kEdgeToleranceNats : 0;
  double best = -std::numeric_limits<double>::infinity();
  for (int place = 0; place < inside; place++) {
    const Candidate& candidate = candidates.top[place];
    double score;
    if ((!has_edge || candidate.logit > outside) && scorer.Reaches(candidate, best, &score)) best = score;
  }
  const double lost = best - scorer.Score(found);
  // Of infinite logits nothing can be said, as in JavaScript; else within the bounds, and never -0.
  if (lost != lost) return {lost, rank};
  return {lost > 0 ? std::min(lost, kOutsideMarginNats) : 0, rank};
}

}  // namespace cfab
