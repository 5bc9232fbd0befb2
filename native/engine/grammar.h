// What a grammar allows among a model's tokens.
#pragma once

#include <memory>
#include <string>

#include "matcher.h"
#include "sampling.h"

namespace cfab {

class Grammar {
 public:
  // Null where the text is no grammar. `show_control`: control tokens count as the text that they are shown as; else none is
  // allowed.
  static std::unique_ptr<Grammar> Create(const Model& model, const std::string& text, bool show_control);

  // Drops what may not come next; a stop token stays only where the text may end. Where nothing is left: the best of the whole
  // row that may come next.
  void Restrict(const float* logits, Candidates* candidates);
  // Takes a token as said: one that was allowed.
  void Accept(TokenId id);

 private:
  Grammar(const Model& model, std::unique_ptr<GrammarMatcher> matcher, bool show_control)
      : model_(model), matcher_(std::move(matcher)), show_control_(show_control) {}

  bool Allows(TokenId id, float logit);

  const Model& model_;
  const std::unique_ptr<GrammarMatcher> matcher_;
  const bool show_control_;
};

}  // namespace cfab
