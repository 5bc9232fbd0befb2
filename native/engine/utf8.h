// UTF-8 as the Encoding Standard decodes it: no overlong forms, no surrogates, nothing past U+10FFFF.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cfab {

// What a text begins with: a character, bytes that are none, or bytes that more could make one.
struct Utf8Head {
  enum class Kind { kCharacter, kBroken, kUnfinished } kind;
  size_t bytes;
  // The character; of an unfinished one those that it can become; meaningless where it is broken.
  uint32_t min, max;
};

// `size` is at least 1.
Utf8Head Utf8HeadOf(const char* text, size_t size);

}  // namespace cfab
