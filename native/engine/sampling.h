// From one row of logits to a token: gumbel-v1, which anyone can check, and the parameters that callers of llama.cpp know.
//
// Both are bit for bit what core/verification/gumbel.ts, core/verification/margin.ts and models/sampler.ts compute; the vectors
// in test/conformance hold them together.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "model.h"

namespace cfab {

class Grammar;

// More than any job's top-k, so that an audit sees past the edge.
constexpr int kCandidateMax = 64;
constexpr int kSeedBytes = 32;
constexpr double kOutsideMarginNats = 8;
constexpr double kEdgeToleranceNats = 0.25;

struct Candidate {
  TokenId id;
  float logit;
};

// Best first, ties by lower id, never a logit that is not a number.
struct Candidates {
  std::array<Candidate, kCandidateMax> top;
  int count = 0;
};

// Selects the best kCandidateMax of a row in one pass; the row stays as it is.
void SelectTop(const float* logits, int32_t vocab_size, Candidates* out);

// Natural-log probability of `id` at temperature 1 over the candidates; -infinity when it is not among them.
double LogProbability(const Candidates& candidates, TokenId id);

struct GumbelSpec {
  double temperature = 0;  // temperatureMilli / 1000
  int32_t top_k = 1;       // 1..40
  std::array<uint8_t, kSeedBytes> seed{};
};

// The token of 0-based output position t; -1 where there are no candidates.
TokenId ChooseGumbel(const Candidates& candidates, const GumbelSpec& spec, uint32_t t);

struct Margin {
  double nats;   // 0..kOutsideMarginNats
  int32_t rank;  // 0-based, kCandidateMax when not listed
};

Margin MarginOf(const Candidates& candidates, TokenId claimed, const GumbelSpec& spec, uint32_t t);

// The fields of SamplingSpec kind 'llama' in models/backend.ts.
struct LlamaSpec {
  double temperature = 1;
  uint32_t top_k = 0;  // 0 is off
  double top_p = 1;
  double min_p = 0;
  double frequency_penalty = 0;
  double presence_penalty = 0;
  uint32_t seed = 0;
  // Added to the logit before anything else; -infinity forbids.
  std::vector<std::pair<TokenId, float>> logit_bias;
};

using TokenCounts = std::unordered_map<TokenId, int32_t>;

// `counts`: how often each id is in the output so far; the prompt does not count.
// -1 where no candidate has a share.
TokenId ChooseLlama(const Candidates& candidates, const LlamaSpec& spec, const TokenCounts& counts, uint32_t t);

struct SamplingSpec {
  enum class Kind { kGumbel, kLlama } kind = Kind::kGumbel;
  GumbelSpec gumbel;
  LlamaSpec llama;
};

// What one step of one sequence chose. `candidates` are those before temperature and penalties, after bias and grammar.
struct Chosen {
  TokenId id;
  double logprob;
  Candidates candidates;
};

// One sequence's sampling state: position, counts of the output, grammar.
class Sampler {
 public:
  // `grammar`: GBNF with the rule `root`, '' for none; `show_control` as in GenerateJob. Returns null when the grammar is none.
  static std::unique_ptr<Sampler> Create(const Model& model, const SamplingSpec& spec, const std::string& grammar,
                                         bool show_control = false);
  ~Sampler();
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;

  // Chooses the next token from a row of vocab_size logits and takes it as said. Under a grammar: drops what it forbids among the
  // best; where none is left, looks at the whole vocabulary. Returns false when the grammar allows nothing, not even an end, and
  // when no logit is a number, or none after penalties. Not to be called after a stop token.
  bool Choose(const float* logits, Chosen* out);
  // Takes a token as said that another chose.
  void Accept(TokenId id);

 private:
  Sampler(const Model& model, const SamplingSpec& spec, std::unique_ptr<Grammar> grammar);

  const float* Biased(const float* logits);

  const Model& model_;
  const SamplingSpec spec_;
  const std::unique_ptr<Grammar> grammar_;
  TokenCounts counts_;
  uint32_t position_ = 0;
  // A biased copy of the row, only with logit_bias.
  std::vector<float> row_;
};

}  // namespace cfab
