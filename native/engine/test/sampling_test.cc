#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "../../siphash.h"
#include "../gumbel.h"
#include "../log.h"
#include "../sampling.h"
#include "../sha256.h"
#include "../top.h"
#include "check.h"
#include "random.h"

using namespace cfab;
using namespace cfab::test;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

std::string Hex(const Digest& digest) {
  std::string text;
  for (const uint8_t byte : digest) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

// By sorting all, as topPlaces of core/verification/gumbel.ts does.
Candidates SortedTop(const std::vector<float>& row) {
  std::vector<TokenId> ids;
  for (size_t id = 0; id < row.size(); id++)
    if (row[id] == row[id]) ids.push_back(static_cast<TokenId>(id));
  std::stable_sort(ids.begin(), ids.end(), [&row](TokenId a, TokenId b) { return row[a] > row[b]; });
  Candidates top;
  top.count = std::min<int>(kCandidateMax, static_cast<int>(ids.size()));
  for (int rank = 0; rank < top.count; rank++) top.top[rank] = {ids[rank], row[ids[rank]]};
  return top;
}

bool AreEqual(const Candidates& a, const Candidates& b) {
  if (a.count != b.count) return false;
  for (int rank = 0; rank < a.count; rank++) {
    if (a.top[rank].id != b.top[rank].id) return false;
    if (std::memcmp(&a.top[rank].logit, &b.top[rank].logit, sizeof(float)) != 0) return false;
  }
  return true;
}

void CheckTop(const std::vector<float>& row) {
  const Candidates wanted = SortedTop(row);
  for (const Scan scan : {Scan::kScalar, Scan::kAvx2, Scan::kAvx512}) {
    if (!Supports(scan)) continue;
    Candidates found;
    SelectTopBy(scan, row.data(), static_cast<int32_t>(row.size()), &found);
    CHECK(AreEqual(found, wanted));
  }
}

float RandomLogit(Random& random, int kind) {
  if (kind == 0) return static_cast<float>(random.Below(8));
  if (kind == 1 && random.Below(4) == 0) {
    const float odd[] = {kNaN, -kNaN, kInfinity, -kInfinity, 0.0f, -0.0f};
    return odd[random.Below(6)];
  }
  return static_cast<float>(random.Unit() * 40 - 20);
}

Candidates CandidatesOf(const std::vector<float>& logits) { return SortedTop(logits); }

}  // namespace

TEST("SHA-256 gives the digests of FIPS 180-4 and of DomainHash's prefix, with the instructions and without") {
  for (const bool instructions : {false, true}) {
    if (instructions && !HasShaInstructions()) continue;
    const auto digest_of = [instructions](const std::string& text) {
      return Hex(Sha256(instructions).Add(text.data(), text.size()).Finish());
    };
    CHECK_EQ(digest_of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK_EQ(digest_of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK_EQ(digest_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
             "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    CHECK_EQ(digest_of(std::string(1000000, 'a')), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    CHECK_EQ(Hex(DomainHash("x").Add("yz", 2).Finish()), digest_of(std::string("cfab/x/v1\0yz", 12)));
  }
}

TEST("SHA-256 in pieces of any size is SHA-256 of the whole") {
  Random random;
  std::string text(1000, '\0');
  for (char& byte : text) byte = static_cast<char>(random.Next());
  for (int round = 0; round < 300; round++) {
    const size_t length = random.Below(text.size());
    Sha256 pieces(false);
    for (size_t at = 0; at < length;) {
      const size_t size = std::min<size_t>(length - at, random.Below(150));
      pieces.Add(text.data() + at, size);
      at += size;
    }
    CHECK_EQ(Hex(pieces.Finish()), Hex(Sha256().Add(text.data(), length).Finish()));
  }
}

TEST("SipHash-2-4 gives the value of its paper's appendix") {
  uint8_t key[16], message[15];
  std::iota(key, key + 16, uint8_t{0});
  std::iota(message, message + 15, uint8_t{0});
  SipState state = SipStart(key);
  SipAbsorb(state, LoadWord(message));
  uint64_t last = uint64_t{15} << 56;
  for (int at = 8; at < 15; at++) last |= uint64_t{message[at]} << (8 * (at - 8));
  CHECK(SipFinish(state, last) == 0xa129ca6149be45e5);
}

TEST("the logarithm and the exponential are right at their edges and within a bit of the C library's") {
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK(Log(0) == -infinity && Log(-0.0) == -infinity && Log(infinity) == infinity && Log(1) == 0);
  CHECK(std::isnan(Log(-1)) && std::isnan(Log(-infinity)) && std::isnan(Log(std::nan(""))));
  CHECK(Exp(0) == 1 && Exp(-infinity) == 0 && Exp(infinity) == infinity && Exp(1) == 2.718281828459045);
  CHECK(Exp(710) == infinity && Exp(-746) == 0 && std::isnan(Exp(std::nan(""))));
  Random random;
  for (int round = 0; round < 200000; round++) {
    const double x = std::ldexp(random.Unit() + 0.5, static_cast<int>(random.Below(2000)) - 1000);
    const double y = random.Unit() * 1400 - 700;
    CHECK(std::abs(Log(x) - std::log(x)) <= std::abs(std::log(x)) * 3e-16);
    CHECK(std::abs(Exp(y) - std::exp(y)) <= std::exp(y) * 3e-16);
  }
}

TEST("the best of a row are those of a full sort: any size, ties, infinities, zeros of both signs, what is no number") {
  Random random;
  const size_t sizes[] = {1, 2, 31, 63, 64, 65, 127, 255, 256, 257, 320, 321, 512, 1000, 2048, 5000};
  for (int round = 0; round < 400; round++) {
    std::vector<float> row(sizes[random.Below(16)] + random.Below(2));
    const int kind = static_cast<int>(random.Below(3));
    for (float& logit : row) logit = RandomLogit(random, kind);
    if (round % 5 == 0) std::sort(row.begin(), row.end());
    if (round % 5 == 1) std::sort(row.begin(), row.end(), std::greater<float>());
    CheckTop(row);
  }
}

TEST("the best of a large row, of a level one, and of one without a number") {
  Random random;
  std::vector<float> row(151936);
  for (float& logit : row) logit = RandomLogit(random, 2);
  CheckTop(row);
  std::sort(row.begin(), row.end());
  CheckTop(row);
  CheckTop(std::vector<float>(40000, -kInfinity));
  CheckTop(std::vector<float>(40000, -0.0f));
  CheckTop(std::vector<float>(40000, kNaN));
  CheckTop({});
}

TEST("gumbel-v1 at temperature 0 takes the best, ties by lower id, and any position's choice is among the top-k") {
  const Candidates candidates = CandidatesOf({1, 3, 3, 2, kNaN});
  GumbelSpec spec;
  spec.top_k = 40;
  CHECK_EQ(ChooseGumbel(candidates, spec, 7), 1);
  spec.temperature = 1;
  spec.top_k = 2;
  bool is_second = false;
  for (uint32_t t = 0; t < 100; t++) {
    const TokenId id = ChooseGumbel(candidates, spec, t);
    CHECK(id == 1 || id == 2);
    is_second = is_second || id == 2;
    CHECK_EQ(MarginOf(candidates, id, spec, t).nats, 0.0);
  }
  CHECK(is_second);
  CHECK_EQ(ChooseGumbel({}, spec, 0), -1);
}

TEST("gumbel-v1 chooses, and bounds a claim, as if every candidate had been scored") {
  Random random;
  for (int round = 0; round < 20000; round++) {
    std::vector<float> row(random.Below(70) + 1);
    for (float& logit : row) logit = RandomLogit(random, static_cast<int>(random.Below(3))) * (round % 2 == 0 ? 1.0f : 0.1f);
    const Candidates candidates = CandidatesOf(row);
    if (candidates.count == 0) continue;
    GumbelSpec spec;
    for (uint8_t& byte : spec.seed) byte = static_cast<uint8_t>(random.Next());
    spec.temperature = static_cast<double>(random.Below(5)) * 0.5;
    spec.top_k = static_cast<int32_t>(random.Below(40)) + 1;
    const uint32_t t = static_cast<uint32_t>(random.Below(5000));
    const PositionScorer scorer(spec, t);
    const auto better = [&scorer](const Candidate& a, const Candidate& b) {
      return scorer.Score(a) > scorer.Score(b) || (scorer.Score(a) == scorer.Score(b) && a.id < b.id);
    };
    const auto* const first = candidates.top.data();
    const auto* const best = std::min_element(first, first + std::min(candidates.count, spec.top_k), better);
    CHECK_EQ(ChooseGumbel(candidates, spec, t), best->id);
    double score = 0;
    CHECK(scorer.Reaches(*best, scorer.Score(*best), &score) && score == scorer.Score(*best));
    CHECK(std::isinf(score) || !scorer.Reaches(*best, std::nextafter(score, kInfinity), &score));
    const Candidate& claimed = candidates.top[random.Below(static_cast<uint64_t>(candidates.count))];
    const bool is_plain = spec.top_k >= candidates.count && std::isfinite(best->logit) && std::isfinite(claimed.logit);
    if (!is_plain) continue;
    const double lost = scorer.Score(*best) - scorer.Score(claimed);
    CHECK_EQ(MarginOf(candidates, claimed.id, spec, t).nats, std::min(lost, kOutsideMarginNats));
  }
}

TEST("a claim outside the top-k costs most, but for one that is just below its edge") {
  const Candidates candidates = CandidatesOf({4, 3.9f, 3.7f, 1});
  GumbelSpec spec;
  spec.temperature = 1;
  spec.top_k = 2;
  CHECK_EQ(MarginOf(candidates, 3, spec, 0).nats, kOutsideMarginNats);
  CHECK_EQ(MarginOf(candidates, 3, spec, 0).rank, 3);
  CHECK(MarginOf(candidates, 2, spec, 0).nats < kOutsideMarginNats);
  CHECK_EQ(MarginOf(candidates, 9, spec, 0).rank, kCandidateMax);
}

TEST("the log-probabilities of all candidates sum to one") {
  const Candidates candidates = CandidatesOf({1, 2, 3, -4});
  double sum = 0;
  for (TokenId id = 0; id < 4; id++) sum += std::exp(LogProbability(candidates, id));
  CHECK(std::abs(sum - 1) < 1e-12);
  CHECK(std::isinf(LogProbability(candidates, 4)));
}

TEST("the llama kind: penalties come first, top-k of one and temperature 0 are sure, and no candidates give none") {
  const Candidates candidates = CandidatesOf({5, 4.5f, 0});
  LlamaSpec spec;
  spec.temperature = 0;
  CHECK_EQ(ChooseLlama(candidates, spec, {}, 0), 0);
  spec.presence_penalty = 1;
  CHECK_EQ(ChooseLlama(candidates, spec, {{0, 1}}, 0), 1);
  spec.temperature = 2;
  spec.top_k = 1;
  CHECK_EQ(ChooseLlama(candidates, spec, {{0, 1}}, 3), 1);
  CHECK_EQ(ChooseLlama({}, spec, {}, 0), -1);
}

TEST("a floor above the best one leaves nothing to choose, and a sampler says so instead of saying no token") {
  const std::vector<float> row(static_cast<size_t>(TestModel().vocab_size()), 0.0f);
  SamplingSpec spec;
  spec.kind = SamplingSpec::Kind::kLlama;
  spec.llama.min_p = 2;
  Chosen chosen;
  CHECK(!Sampler::Create(TestModel(), spec, "")->Choose(row.data(), &chosen));
}

TEST("a sampler counts what it said, moves on by a position, and adds a bias before it selects") {
  const Model& model = TestModel();
  std::vector<float> row(static_cast<size_t>(model.vocab_size()), 0.0f);
  row[5] = 2;
  row[9] = 1.5f;
  SamplingSpec spec;
  spec.kind = SamplingSpec::Kind::kLlama;
  spec.llama.temperature = 0;
  spec.llama.frequency_penalty = 1;
  const auto penalised = Sampler::Create(model, spec, "");
  Chosen chosen;
  std::vector<TokenId> said;
  for (int step = 0; step < 3; step++) {
    CHECK(penalised->Choose(row.data(), &chosen));
    said.push_back(chosen.id);
  }
  CHECK_EQ(said, (std::vector<TokenId>{5, 9, 5}));
  // Candidates are those before penalties.
  CHECK_EQ(chosen.candidates.top[0].id, 5);
  spec.llama.frequency_penalty = 0;
  spec.llama.logit_bias = {{7, 3.0f}, {5, -kInfinity}, {-1, 9.0f}, {model.vocab_size(), 9.0f}};
  const auto biased = Sampler::Create(model, spec, "");
  CHECK(biased->Choose(row.data(), &chosen));
  CHECK_EQ(chosen.id, 7);
  CHECK_EQ(chosen.candidates.top[0].logit, 3.0f);
  CHECK_EQ(chosen.candidates.top[1].id, 9);
  std::fill(row.begin(), row.end(), kNaN);
  CHECK(!biased->Choose(row.data(), &chosen));
}
