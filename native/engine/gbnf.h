// Reads GBNF, llama.cpp's way to write a grammar, into a flat form for the matcher.
//
// Why not llama.cpp's own: on some grammars that anyone may send it ends the process, takes memory without end, or time that
// grows exponentially with the text, and what it refuses it prints. Here the size is bounded and nothing but `false` can happen.
// Known: rules, literals, classes, `.`, groups, `|`, `* + ? {m} {m,} {m,n}`, comments. Not known: token references, `<...>`.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace cfab {

struct GbnfElement {
  enum class Kind : uint8_t { kEnd, kCharacter, kClass, kRule } kind;
  // A character, or an index of `classes` or `rules`.
  uint32_t value;
};

// Sorted ranges that do not touch, both ends included.
using CharacterClass = std::vector<std::pair<uint32_t, uint32_t>>;

struct Gbnf {
  // All alternatives one after the other, each closed by kEnd.
  std::vector<GbnfElement> elements;
  std::vector<CharacterClass> classes;
  // Where the alternatives of each rule begin.
  std::vector<std::vector<uint32_t>> rules;
  uint32_t root = 0;
};

// False where the text is no grammar, lacks the rule `root`, uses a rule that it does not define, or is too large.
bool ParseGbnf(const std::string& text, Gbnf* out);

}  // namespace cfab
