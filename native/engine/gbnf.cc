#include "gbnf.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "utf8.h"

namespace cfab {
namespace {

constexpr size_t kTextBytesMax = 1 << 20;
// After repetitions are written out.
constexpr size_t kElementsMax = 200000;
constexpr int kDepthMax = 64;
constexpr uint32_t kTimesMax = 100000;
constexpr uint32_t kUnbounded = UINT32_MAX;
constexpr uint32_t kCodePointMax = 0x10ffff;
constexpr uint32_t kSurrogateMin = 0xd800;
constexpr uint32_t kSurrogateMax = 0xdfff;
constexpr char kRoot[] = "root";

using Kind = GbnfElement::Kind;
using Sequence = std::vector<GbnfElement>;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsWord(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || IsDigit(c); }

int HexValue(char c) {
  if (IsDigit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

CharacterClass Sorted(CharacterClass ranges) {
  std::sort(ranges.begin(), ranges.end());
  CharacterClass joined;
  for (const auto& [min, max] : ranges) {
    if (!joined.empty() && min <= joined.back().second + 1)
      joined.back().second = std::max(joined.back().second, max);
    else
      joined.emplace_back(min, max);
  }
  return joined;
}

CharacterClass Complement(const CharacterClass& sorted) {
  CharacterClass rest;
  uint32_t next = 0;
  for (const auto& [min, max] : sorted) {
    if (min > next) rest.emplace_back(next, min - 1);
    next = max + 1;
  }
  if (next <= kCodePointMax) rest.emplace_back(next, kCodePointMax);
  return rest;
}

// Recursive descent. Each Read... consumes what it names, and leaves false where that is not there: nothing is tried twice.
class Parser {
 public:
  Parser(const std::string& text, Gbnf* out) : text_(text), out_(*out) {}

  bool Parse() {
    SkipSpace(true);
    while (at_ < text_.size())
      if (!ReadRule()) return false;
    const auto root = names_.find(kRoot);
    if (root == names_.end()) return false;
    out_.root = root->second;
    return std::none_of(out_.rules.begin(), out_.rules.end(), [](const auto& rule) { return rule.empty(); });
  }

 private:
  // 0 at the end, which no rule of the grammar contains.
  char Peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }

  bool Take(char c) {
    if (Peek() != c) return false;
    at_++;
    return true;
  }

  void SkipSpace(bool over_lines) {
    for (;; at_++) {
      if (Peek() == '#')
        while (Peek() != '\0' && Peek() != '\n' && Peek() != '\r') at_++;
      const bool is_line = Peek() == '\n' || Peek() == '\r';
      if (Peek() != ' ' && Peek() != '\t' && !(is_line && over_lines)) return;
    }
  }

  uint32_t RuleNamed(const std::string& name) {
    const auto [found, is_new] = names_.emplace(name, static_cast<uint32_t>(out_.rules.size()));
    if (is_new) out_.rules.emplace_back();
    return found->second;
  }

  uint32_t NewRule() {
    out_.rules.emplace_back();
    return static_cast<uint32_t>(out_.rules.size() - 1);
  }

  std::string ReadName() {
    const size_t from = at_;
    while (IsWord(Peek())) at_++;
    return text_.substr(from, at_ - from);
  }

  bool ReadRule() {
    const std::string name = ReadName();
    if (name.empty()) return false;
    SkipSpace(false);
    if (text_.compare(at_, 3, "::=") != 0) return false;
    at_ += 3;
    SkipSpace(true);
    const uint32_t rule = RuleNamed(name);
    // The last definition of a name holds.
    out_.rules[rule].clear();
    if (!ReadAlternatives(rule, 0)) return false;
    if (at_ < text_.size() && Peek() != '\n' && Peek() != '\r') return false;
    SkipSpace(true);
    return true;
  }

  bool ReadAlternatives(uint32_t rule, int depth) {
    if (depth > kDepthMax) return false;
    do {
      SkipSpace(true);
      Sequence sequence;
      if (!ReadSequence(depth, &sequence) || !AddAlternative(rule, sequence)) return false;
    } while (Take('|'));
    return true;
  }

  bool AddAlternative(uint32_t rule, const Sequence& sequence) {
    if (out_.elements.size() + sequence.size() >= kElementsMax) return false;
    out_.rules[rule].push_back(static_cast<uint32_t>(out_.elements.size()));
    out_.elements.insert(out_.elements.end(), sequence.begin(), sequence.end());
    out_.elements.push_back({Kind::kEnd, 0});
    return true;
  }

  bool ReadSequence(int depth, Sequence* out) {
    // What a repetition repeats.
    size_t symbol_at = 0;
    for (;; SkipSpace(depth > 0)) {
      const char c = Peek();
      if (c == '*' || c == '+' || c == '?' || c == '{') {
        if (!ReadRepetition(depth, symbol_at, out)) return false;
        continue;
      }
      const size_t before = out->size();
      if (c == '"' || c == '[' || c == '.' || c == '(' || IsWord(c)) {
        if (!ReadSymbol(depth, out)) return false;
        symbol_at = before;
        continue;
      }
      return true;
    }
  }

  bool ReadSymbol(int depth, Sequence* out) {
    if (Take('"')) return ReadLiteral(out);
    if (Take('[')) return ReadClass(out);
    if (Take('.')) return AddClass({}, true, out);
    if (Take('(')) {
      const uint32_t rule = NewRule();
      out->push_back({Kind::kRule, rule});
      return ReadAlternatives(rule, depth + 1) && Take(')');
    }
    out->push_back({Kind::kRule, RuleNamed(ReadName())});
    return true;
  }

  bool ReadLiteral(Sequence* out) {
    while (!Take('"')) {
      uint32_t character;
      if (!ReadCharacter(&character)) return false;
      out->push_back({Kind::kCharacter, character});
    }
    return true;
  }

  bool ReadClass(Sequence* out) {
    const bool is_inverse = Take('^');
    CharacterClass ranges;
    while (!Take(']')) {
      uint32_t min;
      if (!ReadCharacter(&min)) return false;
      uint32_t max = min;
      if (Peek() == '-' && Peek(1) != ']') {
        at_++;
        if (!ReadCharacter(&max)) return false;
      }
      if (min <= max) ranges.emplace_back(min, max);
    }
    return AddClass(std::move(ranges), is_inverse, out);
  }

  // No class has a surrogate: no text has one either.
  bool AddClass(CharacterClass ranges, bool is_inverse, Sequence* out) {
    if (is_inverse) {
      ranges.emplace_back(kSurrogateMin, kSurrogateMax);
      ranges = Complement(Sorted(std::move(ranges)));
    } else {
      ranges = Sorted(std::move(ranges));
    }
    out->push_back({Kind::kClass, static_cast<uint32_t>(out_.classes.size())});
    out_.classes.push_back(std::move(ranges));
    return true;
  }

  bool ReadCharacter(uint32_t* out) {
    if (at_ >= text_.size()) return false;
    if (Take('\\')) return ReadEscape(out);
    const Utf8Head head = Utf8HeadOf(text_.data() + at_, text_.size() - at_);
    if (head.kind != Utf8Head::Kind::kCharacter) return false;
    at_ += head.bytes;
    *out = head.min;
    return true;
  }

  bool ReadEscape(uint32_t* out) {
    const char c = Peek();
    at_++;
    switch (c) {
      case 'x': return ReadHex(2, out);
      case 'u': return ReadHex(4, out);
      case 'U': return ReadHex(8, out);
      case 't': *out = '\t'; return true;
      case 'r': *out = '\r'; return true;
      case 'n': *out = '\n'; return true;
      default: *out = static_cast<uint8_t>(c); return c != '\0' && std::strchr("\\\"[]-", c) != nullptr;
    }
  }

  bool ReadHex(int digits, uint32_t* out) {
    *out = 0;
    for (; digits > 0; digits--, at_++) {
      const int value = HexValue(Peek());
      if (value < 0) return false;
      *out = *out << 4 | static_cast<uint32_t>(value);
    }
    return *out <= kCodePointMax;
  }

  bool ReadTimes(uint32_t* out) {
    if (!IsDigit(Peek())) return false;
    *out = 0;
    for (; IsDigit(Peek()); at_++) {
      *out = *out * 10 + static_cast<uint32_t>(Peek() - '0');
      if (*out > kTimesMax) return false;
    }
    return true;
  }

  bool ReadRepetition(int depth, size_t symbol_at, Sequence* out) {
    uint32_t min = 0, max = kUnbounded;
    if (Take('*')) return Repeat(symbol_at, 0, kUnbounded, out);
    if (Take('+')) return Repeat(symbol_at, 1, kUnbounded, out);
    if (Take('?')) return Repeat(symbol_at, 0, 1, out);
    at_++;
    SkipSpace(depth > 0);
    if (!ReadTimes(&min)) return false;
    SkipSpace(depth > 0);
    if (Take(',')) {
      SkipSpace(depth > 0);
      if (IsDigit(Peek()) && !ReadTimes(&max)) return false;
      SkipSpace(depth > 0);
    } else {
      max = min;
    }
    return Take('}') && min <= max && Repeat(symbol_at, min, max, out);
  }

  // Writes out S{min,max}: S as often as it must be, then a rule that may go on and, to the last, may end.
  bool Repeat(size_t symbol_at, uint32_t min, uint32_t max, Sequence* out) {
    const Sequence symbol(out->begin() + static_cast<ptrdiff_t>(symbol_at), out->end());
    out->resize(symbol_at);
    if (symbol.empty() || out->size() + symbol.size() * min > kElementsMax) return false;
    for (uint32_t time = 0; time < min; time++) out->insert(out->end(), symbol.begin(), symbol.end());
    if (max == min) return true;
    uint32_t rest = NewRule();
    Sequence more = symbol;
    if (max == kUnbounded) {
      more.push_back({Kind::kRule, rest});
      max = min + 1;
    }
    if (!AddAlternative(rest, more) || !AddAlternative(rest, {})) return false;
    for (uint32_t time = min + 1; time < max; time++) {
      more = symbol;
      more.push_back({Kind::kRule, rest});
      rest = NewRule();
      if (!AddAlternative(rest, more) || !AddAlternative(rest, {})) return false;
    }
    out->push_back({Kind::kRule, rest});
    return true;
  }

  const std::string& text_;
  Gbnf& out_;
  size_t at_ = 0;
  std::unordered_map<std::string, uint32_t> names_;
};

}  // namespace

bool ParseGbnf(const std::string& text, Gbnf* out) { return text.size() <= kTextBytesMax && Parser(text, out).Parse(); }

}  // namespace cfab
