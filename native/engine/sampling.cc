#include "exact.h"

#include "sampling.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "grammar.h"
#include "log.h"
#include "sha256.h"

namespace cfab {
namespace {

constexpr char kDrawDomain[] = "sampler";
constexpr double kTwoPow53 = 9007199254740992.0;

// A token as the draw sees it: first its penalised logit, then its share.
struct Chance {
  TokenId id;
  double value;
};

struct Chances {
  std::array<Chance, kCandidateMax> list;
  int count = 0;
};

uint64_t LoadBig64(const uint8_t* bytes) {
  uint64_t word = 0;
  for (int at = 0; at < 8; at++) word = word << 8 | bytes[at];
  return word;
}

// In [0, 1), 53 bits, from seed and position alone.
double Uniform(uint32_t seed, uint32_t position) {
  uint8_t big_endian[8];
  for (int at = 0; at < 4; at++) {
    big_endian[at] = static_cast<uint8_t>(seed >> (24 - 8 * at));
    big_endian[4 + at] = static_cast<uint8_t>(position >> (24 - 8 * at));
  }
  const Digest digest = DomainHash(kDrawDomain).Add(big_endian, sizeof big_endian).Finish();
  return static_cast<double>(LoadBig64(digest.data()) >> 11) / kTwoPow53;
}

// logit - count * frequency penalty - presence penalty, best first.
Chances Penalised(const Candidates& candidates, const LlamaSpec& spec, const TokenCounts& counts) {
  Chances scored;
  for (int rank = 0; rank < candidates.count; rank++) {
    const Candidate& candidate = candidates.top[rank];
    const auto found = counts.find(candidate.id);
    const double penalty =
        found == counts.end() ? 0 : found->second * spec.frequency_penalty + spec.presence_penalty;
    const double logit = candidate.logit - penalty;
    if (logit == logit) scored.list[scored.count++] = {candidate.id, logit};
  }
  std::sort(scored.list.begin(), scored.list.begin() + scored.count,
            [](const Chance& a, const Chance& b) { return a.value == b.value ? a.id < b.id : a.value > b.value; });
  return scored;
}

void Normalise(Chances* chances) {
  double total = 0;
  for (int rank = 0; rank < chances->count; rank++) total += chances->list[rank].value;
  for (int rank = 0; rank < chances->count; rank++) chances->list[rank].value /= total;
}

void Weigh(Chances* chances, double temperature) {
  const double best = chances->list[0].value;
  for (int rank = 0; rank < chances->count; rank++) {
    double& value = chances->list[rank].value;
    // Equal infinities have no difference.
    value = value == best ? 1 : Exp((value - best) / temperature);
  }
}

// Keeps the shortest list of the best that holds `top_p` of the probability: at least one.
void KeepNucleus(Chances* chances, double top_p) {
  if (top_p >= 1) return;
  double sum = 0;
  for (int rank = 0; rank < chances->count; rank++) {
    sum += chances->list[rank].value;
    if (sum < top_p) continue;
    chances->count = rank + 1;
    return;
  }
}

void KeepAbove(Chances* chances, double min_p) {
  const double floor = min_p * chances->list[0].value;
  int kept = 0;
  for (int rank = 0; rank < chances->count; rank++)
    if (chances->list[rank].value >= floor) chances->list[kept++] = chances->list[rank];
  chances->count = kept;
}

TokenId Draw(const Chances& chances, double drawn) {
  double sum = 0;
  for (int rank = 0; rank < chances.count; rank++) {
    sum += chances.list[rank].value;
    if (drawn < sum) return chances.list[rank].id;
  }
  // Rounding may leave the sum a hair below 1.
  return chances.count == 0 ? -1 : chances.list[chances.count - 1].id;
}

}  // namespace

TokenId ChooseLlama(const Candidates& candidates, const LlamaSpec& spec, const TokenCounts& counts, uint32_t t) {
  Chances chances = Penalised(candidates, spec, counts);
  if (chances.count == 0) return -1;
  if (spec.temperature == 0) return chances.list[0].id;
  if (spec.top_k != 0) chances.count = static_cast<int>(std::min<uint32_t>(chances.count, spec.top_k));
  Weigh(&chances, spec.temperature);
  Normalise(&chances);
  KeepNucleus(&chances, spec.top_p);
  KeepAbove(&chances, spec.min_p);
  Normalise(&chances);
  return Draw(chances, Uniform(spec.seed, t));
}

double LogProbability(const Candidates& candidates, TokenId id) {
  const double top = candidates.count == 0 ? 0 : candidates.top[0].logit;
  double found = -std::numeric_limits<double>::infinity();
  double total = 0;
  for (int rank = candidates.count - 1; rank >= 0; rank--)
    if (candidates.top[rank].id == id) found = candidates.top[rank].logit;
  for (int rank = 0; rank < candidates.count; rank++) total += Exp(candidates.top[rank].logit - top);
  return found - top - Log(total);
}

std::unique_ptr<Sampler> Sampler::Create(const Model& model, const SamplingSpec& spec, const std::string& grammar,
                                         bool show_control) {
  std::unique_ptr<Grammar> rules;
  if (!grammar.empty()) {
    rules = Grammar::Create(model, grammar, show_control);
    if (rules == nullptr) return nullptr;
  }
  return std::unique_ptr<Sampler>(new Sampler(model, spec, std::move(rules)));
}

Sampler::Sampler(const Model& model, const SamplingSpec& spec, std::unique_ptr<Grammar> grammar)
    : model_(model), spec_(spec), grammar_(std::move(grammar)) {}

Sampler::~Sampler() = default;

const float* Sampler::Biased(const float* logits) {
  const auto& biases = spec_.llama.logit_bias;
  if (spec_.kind != SamplingSpec::Kind::kLlama || biases.empty()) return logits;
  row_.assign(logits, logits + model_.vocab_size());
  for (const auto& [id, bias] : biases)
    if (id >= 0 && id < model_.vocab_size()) row_[id] += bias;
  return row_.data();
}

bool Sampler::Choose(const float* logits, Chosen* out) {
  const float* const row = Biased(logits);
  Candidates& candidates = out->candidates;
  SelectTop(row, model_.vocab_size(), &candidates);
  if (grammar_ != nullptr) grammar_->Restrict(row, &candidates);
  if (candidates.count == 0) return false;
  out->id = spec_.kind == SamplingSpec::Kind::kGumbel ? ChooseGumbel(candidates, spec_.gumbel, position_)
                                                      : ChooseLlama(candidates, spec_.llama, counts_, position_);
  if (out->id < 0) return false;
  out->logprob = LogProbability(candidates, out->id);
  Accept(out->id);
  return true;
}

void Sampler::Accept(TokenId id) {
  if (grammar_ != nullptr) grammar_->Accept(id);
  counts_[id]++;
  position_++;
}

}  // namespace cfab
