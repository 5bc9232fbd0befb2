// One step's tokens as bytes that travel to the daemon as they are; models/step-body.ts reads them.
//
// Why bytes: a step of 16 sequences is one copy for the two processes in between, not a hundred objects to make, write and read.
#pragma once

#include <string>

#include "engine.h"

namespace cfab {

// Little-endian, unaligned: u32 tokens, u32 alternatives; for each token u32 call, u32 slot, i32 id (-1: none), u32 length of its text
// in UTF-16 units, f64 logprob, u16 finish, u16 count of its alternatives and 1, or 0 where none were asked for; for each alternative
// i32 id, u32 length of its text, f64 logprob; then the texts of tokens and of alternatives in UTF-8.
std::string StepBody(const std::vector<TokenReport>& tokens, const Model& model);

}  // namespace cfab
