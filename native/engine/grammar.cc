#include "grammar.h"

#include <limits>
#include <utility>
#include <vector>

namespace cfab {
namespace {

// For one token's choice and its acceptance, each: some tenths of a second at most, a thousand times what a usual grammar needs.
constexpr uint64_t kStepsMax = 8000000;

}  // namespace

std::unique_ptr<Grammar> Grammar::Create(const Model& model, const std::string& text, bool show_control) {
  std::unique_ptr<GrammarMatcher> matcher = GrammarMatcher::Create(text);
  return std::unique_ptr<Grammar>(matcher == nullptr ? nullptr : new Grammar(model, std::move(matcher), show_control));
}

bool Grammar::Allows(TokenId id, float logit) {
  // Nor what a bias forbids.
  if (!(logit > -std::numeric_limits<float>::infinity())) return false;
  return model_.IsStop(id) ? matcher_->MayEnd() : matcher_->Allows(model_.Piece(id, show_control_));
}

void Grammar::Restrict(const float* logits, Candidates* candidates) {
  matcher_->Afford(kStepsMax);
  int kept = 0;
  for (int rank = 0; rank < candidates->count; rank++) {
    const Candidate candidate = candidates->top[rank];
    if (Allows(candidate.id, candidate.logit)) candidates->top[kept++] = candidate;
  }
  candidates->count = matcher_->IsSpent() ? 0 : kept;
  if (kept > 0 || matcher_->IsSpent()) return;
  std::vector<float> row(model_.vocab_size());
  for (TokenId id = 0; id < model_.vocab_size(); id++)
    row[id] = Allows(id, logits[id]) ? logits[id] : std::numeric_limits<float>::quiet_NaN();
  SelectTop(row.data(), model_.vocab_size(), candidates);
  if (matcher_->IsSpent()) candidates->count = 0;
}

void Grammar::Accept(TokenId id) {
  if (model_.IsStop(id)) return;
  matcher_->Afford(kStepsMax);
  matcher_->Accept(model_.Piece(id, show_control_));
}

}  // namespace cfab
