#include "generation.h"

#include <algorithm>
#include <utility>

namespace cfab {

Generation::Generation(GenerateJob job) : job_(std::move(job)), scanner_(job_.stop) {}

Failure Generation::Start(const Model& model) {
  model_ = &model;
  sampler_ = Sampler::Create(model, job_.sampling, job_.grammar, job_.show_control);
  if (sampler_ == nullptr) return Failure::kGrammarInvalid;
  for (const TokenId id : job_.prefix) Resume(id);
  return Failure::kNone;
}

// As if the token had been chosen here; its text was shown by another.
void Generation::Resume(TokenId id) {
  sampler_->Accept(id);
  count_++;
  scanner_.Push(stream_.Push(model_->Piece(id, job_.show_control)));
}

Taken Generation::Take(const float* logits, uint32_t slot, StepReport* report) {
  Chosen chosen;
  if (!sampler_->Choose(logits, &chosen)) {
    report->failures.push_back({job_.call, job_.grammar.empty() ? Failure::kDecodeFailed : Failure::kGrammarStuck});
    return {true, -1};
  }
  count_++;
  TokenReport said{job_.call, slot, chosen.id, chosen.logprob, {}, Finish::kNone, {}, job_.show_control};
  if (job_.top_logprobs >= 0) said.alternatives = AlternativesOf(chosen);
  said.finish = Say(chosen.id, &said.text);
  const bool has_ended = said.finish != Finish::kNone;
  report->tokens.push_back(std::move(said));
  return {has_ended, chosen.id};
}

// A stop token's own text is not part of the output; a stop string is.
Finish Generation::Say(TokenId id, std::string* text) {
  if (model_->IsStop(id)) {
    *text = stream_.End();
    return Finish::kStop;
  }
  *text = stream_.Push(model_->Piece(id, job_.show_control));
  const bool is_stopped = scanner_.Push(*text);
  if (!is_stopped && count_ < job_.max_tokens) return Finish::kNone;
  const std::string rest = stream_.End();
  *text += rest;
  return is_stopped || scanner_.Push(rest) ? Finish::kStop : Finish::kLength;
}

std::vector<Alternative> Generation::AlternativesOf(const Chosen& chosen) const {
  const int count = std::min(job_.top_logprobs, chosen.candidates.count);
  std::vector<Alternative> alternatives{{chosen.id, chosen.logprob}};
  for (int rank = 0; rank < count; rank++) {
    const TokenId id = chosen.candidates.top[static_cast<size_t>(rank)].id;
    alternatives.push_back({id, LogProbability(chosen.candidates, id)});
  }
  return alternatives;
}

void Generation::Cancel(uint32_t slot, StepReport* report) {
  report->tokens.push_back({job_.call, slot, -1, 0, stream_.End(), Finish::kAborted, {}});
}

}  // namespace cfab
