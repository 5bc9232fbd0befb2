// The ways to scan a row for its best logits; SelectTop of sampling.h takes the fastest that the processor has.
#pragma once

#include <cstdint>

#include "sampling.h"

namespace cfab {

enum class Scan { kScalar, kAvx2, kAvx512 };

// Whether this processor, and what this was compiled for, can run a way.
bool Supports(Scan scan);

void SelectTopBy(Scan scan, const float* logits, int32_t vocab_size, Candidates* out);

}  // namespace cfab
