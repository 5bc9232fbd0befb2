#include "exact.h"

#include "gumbel.h"

#include <algorithm>
#include <limits>

#include "log.h"

namespace cfab {
namespace {

constexpr char kPositionDomain[] = "cfab/gumbel/v1";
// Four bytes of token id, and their number in the top byte.
constexpr uint64_t kIdBlock = uint64_t{4} << 56;
constexpr double kTwoPow52 = 4503599627370496.0;

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

double PositionScorer::Noise(TokenId id) const {
  const uint64_t r = SipFinish(key_, kIdBlock | static_cast<uint32_t>(id));
  // 52 bits and a half are 53: every step up to the logarithms is exact.
  const double u = (static_cast<double>(r >> 12) + 0.5) / kTwoPow52;
  return -Log(-Log(u));
}

double PositionScorer::Score(const Candidate& candidate) const {
  return temperature_ == 0 ? double{candidate.logit} : candidate.logit + temperature_ * Noise(candidate.id);
}

TokenId ChooseGumbel(const Candidates& candidates, const GumbelSpec& spec, uint32_t t) {
  const PositionScorer scorer(spec, t);
  TokenId best = -1;
  double best_score = -std::numeric_limits<double>::infinity();
  for (int rank = 0; rank < InTopK(candidates, spec); rank++) {
    const Candidate& candidate = candidates.top[rank];
    const double score = scorer.Score(candidate);
    if (best < 0 || score > best_score || (score == best_score && candidate.id < best)) {
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
    if (!has_edge || candidate.logit > outside) best = std::max(best, scorer.Score(candidate));
  }
  const double lost = best - scorer.Score(found);
  // Of infinite logits nothing can be said, as in JavaScript; else within the bounds, and never -0.
  if (lost != lost) return {lost, rank};
  return {lost > 0 ? std::min(lost, kOutsideMarginNats) : 0, rank};
}

}  // namespace cfab
