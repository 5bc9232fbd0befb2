// What a choice costs, in microseconds: selection against a partial sort, gumbel-v1, the llama kind, a grammar.
//
//   sampling [vocabulary size...]
//
// Rows differ from call to call, so that no branch is learned by heart; each figure is the median of nine rounds.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <numeric>
#include <random>
#include <vector>

#include "../gumbel.h"
#include "../matcher.h"
#include "../sampling.h"
#include "../sha256.h"
#include "../top.h"

using namespace cfab;

namespace {

constexpr int kRows = 16;
constexpr int kRounds = 9;
constexpr int kCalls = 64;

// So that no call is optimised away.
volatile int64_t sink;

void Measure(const char* what, const std::function<int64_t(int)>& call) {
  std::vector<double> rounds;
  for (int round = 0; round < kRounds; round++) {
    const auto started = std::chrono::steady_clock::now();
    for (int at = 0; at < kCalls; at++) sink = sink + call(at);
    rounds.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - started).count() / kCalls);
  }
  std::nth_element(rounds.begin(), rounds.begin() + kRounds / 2, rounds.end());
  std::printf("  %-42s %9.2f us\n", what, rounds[kRounds / 2]);
}

// Falling with the rank, as a vocabulary's logits do.
std::vector<float> RowOf(int32_t vocab_size, std::mt19937& random) {
  std::normal_distribution<float> normal(0, 2.5f);
  std::vector<float> row(static_cast<size_t>(vocab_size));
  for (size_t id = 0; id < row.size(); id++) row[id] = normal(random) - 0.5f * std::log1p(static_cast<float>(id));
  return row;
}

int64_t PartialSort(const std::vector<float>& row, std::vector<TokenId>& ids) {
  std::iota(ids.begin(), ids.end(), 0);
  const auto kept = ids.begin() + std::min<ptrdiff_t>(kCandidateMax, static_cast<ptrdiff_t>(ids.size()));
  std::partial_sort(ids.begin(), kept, ids.end(),
                    [&row](TokenId a, TokenId b) { return row[a] > row[b] || (row[a] == row[b] && a < b); });
  return ids[0];
}

void MeasureSelection(int32_t vocab_size, std::mt19937& random) {
  std::printf("vocabulary of %d\n", vocab_size);
  std::vector<std::vector<float>> rows;
  for (int at = 0; at < kRows; at++) rows.push_back(RowOf(vocab_size, random));
  std::vector<TokenId> ids(static_cast<size_t>(vocab_size));
  Measure("partial sort", [&](int at) { return PartialSort(rows[at % kRows], ids); });
  const std::pair<const char*, Scan> scans[] = {
      {"selection, scalar", Scan::kScalar}, {"selection, AVX2", Scan::kAvx2}, {"selection, AVX-512", Scan::kAvx512}};
  for (const auto& [name, scan] : scans) {
    if (!Supports(scan)) continue;
    Measure(name, [&rows, vocab_size, scan = scan](int at) {
      Candidates found;
      SelectTopBy(scan, rows[at % kRows].data(), vocab_size, &found);
      return found.top[0].id;
    });
  }
}

void MeasureChoices(std::mt19937& random) {
  std::printf("64 candidates\n");
  std::vector<Candidates> found(kRows);
  for (Candidates& candidates : found) {
    const std::vector<float> row = RowOf(32000, random);
    SelectTop(row.data(), 32000, &candidates);
  }
  GumbelSpec gumbel;
  gumbel.temperature = 0.8;
  gumbel.top_k = 40;
  LlamaSpec llama;
  llama.top_p = 0.95;
  llama.min_p = 0.05;
  uint32_t t = 0;
  Measure("gumbel-v1, top-k of 40", [&](int at) { return ChooseGumbel(found[at % kRows], gumbel, t++); });
  Measure("  of which the position's SHA-256", [&](int) { return PositionHash(gumbel.seed, t++)[0]; });
  Measure("  the same without instructions for it",
          [&](int) { return Sha256(false).Add(gumbel.seed.data(), 32).Add(&t, sizeof t).Finish()[0]; });
  Measure("margin", [&](int at) { return MarginOf(found[at % kRows], found[at % kRows].top[3].id, gumbel, t++).rank; });
  Measure("llama kind", [&](int at) { return ChooseLlama(found[at % kRows], llama, {}, t++); });
  Measure("log-probability", [&](int at) {
    const Candidates& candidates = found[at % kRows];
    return static_cast<int64_t>(LogProbability(candidates, candidates.top[0].id));
  });
}

void MeasureGrammar() {
  std::printf("a grammar of JSON\n");
  const char* const text =
      "root ::= value\nvalue ::= object | array | string | number | \"true\" | \"false\" | \"null\"\n"
      "object ::= \"{\" ws (string \":\" ws value (\",\" ws string \":\" ws value)*)? ws \"}\"\n"
      "array ::= \"[\" ws (value (\",\" ws value)*)? ws \"]\"\n"
      "string ::= \"\\\"\" ([^\"\\\\\\x00-\\x1f] | \"\\\\\" [\"\\\\/bfnrtu])* \"\\\"\"\n"
      "number ::= \"-\"? [0-9]+ (\".\" [0-9]+)?\nws ::= [ \\n]*";
  const auto matcher = GrammarMatcher::Create(text);
  const char* const pieces[] = {"{", " the", "\"a", "\": ", "12", "}", "]", "word", ",", "\n  "};
  Measure("read", [&](int) { return GrammarMatcher::Create(text) != nullptr; });
  for (const char* const before : {"{", "\"a\": [1, {\"b\": \"some"}) {
    matcher->Accept(before);
    Measure("64 pieces tried", [&](int) {
      matcher->Afford(1000000);
      int allowed = 0;
      for (int at = 0; at < kCandidateMax; at++) allowed += matcher->Allows(pieces[at % 10]);
      return allowed;
    });
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::mt19937 random(1);
  std::vector<int32_t> sizes;
  for (int at = 1; at < argc; at++) sizes.push_back(std::atoi(argv[at]));
  if (sizes.empty()) sizes = {512, 2048, 32000, 151936};
  for (const int32_t size : sizes) MeasureSelection(size, random);
  MeasureChoices(random);
  MeasureGrammar();
}
