#include "rendezvous.h"

#include <algorithm>
#include <cstring>

#include "siphash.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define CFAB_AVX2 1
#include <immintrin.h>
#else
#define CFAB_AVX2 0
#endif

namespace cfab {
namespace {

// SipHash pads a message with its length in the top byte of the last block: 32 bytes of key and 4 of counter here.
constexpr uint64_t kLastBlock = uint64_t{kPeerKeyBytes + 4} << 56;
constexpr size_t kWords = kPeerKeyBytes / 8;

// Lower first, as core compares PeerIds as texts: base32 puts the digits 2 to 7 behind z, ASCII puts them before a.
bool IsLowerPeer(const uint8_t* a, const uint8_t* b) {
  constexpr int kBits = kPeerKeyBytes * 8;
  const auto digit = [](const uint8_t* key, int bit) {
    const int byte = bit / 8;
    const int next = bit + 5 <= kBits && bit % 8 > 3 ? key[byte + 1] : 0;
    const int value = (key[byte] << 8 | next) >> (11 - bit % 8) & 31;
    return value < 26 ? value + 6 : value - 26;
  };
  for (int bit = 0; bit < kBits; bit += 5) {
    if (digit(a, bit) != digit(b, bit)) return digit(a, bit) < digit(b, bit);
  }
  return false;
}

// Keeps the best of those that are offered, in a heap whose root is the worst of them.
class Best {
 public:
  Best(const uint8_t* keys, Ranked* top, uint32_t capacity) : keys_(keys), top_(top), capacity_(capacity) {}

  void Offer(uint64_t score, uint32_t index) {
    if (count_ == capacity_ && score < top_[0].score) return;
    const Ranked offered{score, index};
    const auto before = [this](const Ranked& a, const Ranked& b) { return IsBefore(a, b); };
    if (count_ == capacity_) {
      if (!IsBefore(offered, top_[0])) return;
      std::pop_heap(top_, top_ + count_, before);
      count_--;
    }
    top_[count_++] = offered;
    std::push_heap(top_, top_ + count_, before);
  }

  void Sort() {
    std::sort_heap(top_, top_ + count_, [this](const Ranked& a, const Ranked& b) { return IsBefore(a, b); });
  }

 private:
  bool IsBefore(const Ranked& a, const Ranked& b) const {
    if (a.score != b.score) return a.score > b.score;
    const uint8_t* const key_a = keys_ + size_t{a.index} * kPeerKeyBytes;
    const uint8_t* const key_b = keys_ + size_t{b.index} * kPeerKeyBytes;
    const int order = std::memcmp(key_a, key_b, kPeerKeyBytes);
    return order == 0 ? a.index < b.index : IsLowerPeer(key_a, key_b);
  }

  const uint8_t* keys_;
  Ranked* top_;
  uint32_t capacity_;
  uint32_t count_ = 0;
};

uint64_t Score(SipState s, const uint8_t* peer_key, uint32_t weight) {
  for (size_t word = 0; word < kWords; word++) SipAbsorb(s, LoadWord(peer_key + 8 * word));
  uint64_t best = 0;
  for (uint32_t k = 0; k < weight; k++) best = std::max(best, SipFinish(s, kLastBlock | k));
  return best;
}

void OfferScalar(const SipState& initial, const Peers& peers, uint32_t from, Best& best) {
  for (uint32_t at = from; at < peers.count; at++) {
    best.Offer(Score(initial, peers.keys + size_t{at} * kPeerKeyBytes, peers.weights[at]), at);
  }
}

#if CFAB_AVX2
#define CFAB_TARGET __attribute__((target("avx2"))) inline

constexpr uint32_t kWidth = 4;
// Two vectors of each word: one alone leaves the processor waiting for its own last result.
constexpr uint32_t kPair = 2;
constexpr uint32_t kLanes = kPair * kWidth;

struct Words {
  __m256i at[kPair];
};

// Eight states side by side: of eight peers, or of eight counters of one peer.
struct Lanes {
  Words a, b, c, d;
};

CFAB_TARGET __m256i Fill(uint64_t word) { return _mm256_set1_epi64x(static_cast<int64_t>(word)); }

CFAB_TARGET Words Broadcast(uint64_t word) { return {{Fill(word), Fill(word)}}; }

CFAB_TARGET Words operator+(const Words& x, const Words& y) {
  return {{_mm256_add_epi64(x.at[0], y.at[0]), _mm256_add_epi64(x.at[1], y.at[1])}};
}

CFAB_TARGET Words operator^(const Words& x, const Words& y) {
  return {{_mm256_xor_si256(x.at[0], y.at[0]), _mm256_xor_si256(x.at[1], y.at[1])}};
}

template <int kBits>
CFAB_TARGET __m256i RotateVector(__m256i words) {
  if (kBits == 32) return _mm256_shuffle_epi32(words, _MM_SHUFFLE(2, 3, 0, 1));
  if (kBits == 16) {
    const __m256i order = _mm256_setr_epi8(6, 7, 0, 1, 2, 3, 4, 5, 14, 15, 8, 9, 10, 11, 12, 13, 6, 7, 0, 1, 2, 3, 4,
                                           5, 14, 15, 8, 9, 10, 11, 12, 13);
    return _mm256_shuffle_epi8(words, order);
  }
  return _mm256_or_si256(_mm256_slli_epi64(words, kBits), _mm256_srli_epi64(words, 64 - kBits));
}

template <int kBits>
CFAB_TARGET Words Rotate(const Words& x) {
  return {{RotateVector<kBits>(x.at[0]), RotateVector<kBits>(x.at[1])}};
}

CFAB_TARGET void Round(Lanes& s) {
  s.a = s.a + s.b;
  s.c = s.c + s.d;
  s.b = Rotate<13>(s.b) ^ s.a;
  s.d = Rotate<16>(s.d) ^ s.c;
  s.a = Rotate<32>(s.a) + s.d;
  s.c = s.c + s.b;
  s.d = Rotate<21>(s.d) ^ s.a;
  s.b = Rotate<17>(s.b) ^ s.c;
  s.c = Rotate<32>(s.c);
}

CFAB_TARGET void Absorb(Lanes& s, const Words& words) {
  s.d = s.d ^ words;
  Round(s);
  Round(s);
  s.a = s.a ^ words;
}

CFAB_TARGET Words Finish(Lanes s, const Words& counters) {
  // A counter shares no bit with the rest of its block.
  Absorb(s, counters ^ Broadcast(kLastBlock));
  s.c = s.c ^ Broadcast(kSipFinish);
  for (int round = 0; round < 4; round++) Round(s);
  return s.a ^ s.b ^ s.c ^ s.d;
}

// AVX2 compares signed words only, so the sign bits are turned over first.
CFAB_TARGET __m256i MaxUnsigned(__m256i a, __m256i b) {
  const __m256i sign = Fill(uint64_t{1} << 63);
  const __m256i is_greater = _mm256_cmpgt_epi64(_mm256_xor_si256(a, sign), _mm256_xor_si256(b, sign));
  return _mm256_blendv_epi8(b, a, is_greater);
}

CFAB_TARGET Words Max(const Words& x, const Words& y) {
  return {{MaxUnsigned(x.at[0], y.at[0]), MaxUnsigned(x.at[1], y.at[1])}};
}

CFAB_TARGET void Store(const Words& words, uint64_t* to) {
  for (uint32_t half = 0; half < kPair; half++)
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + half * kWidth), words.at[half]);
}

// Turns four keys, one a row, into their four words, one a column.
CFAB_TARGET void Transpose(const uint8_t* keys, __m256i* words) {
  __m256i rows[kWidth];
  for (uint32_t row = 0; row < kWidth; row++)
    rows[row] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(keys + row * kPeerKeyBytes));
  const __m256i even01 = _mm256_unpacklo_epi64(rows[0], rows[1]);
  const __m256i odd01 = _mm256_unpackhi_epi64(rows[0], rows[1]);
  const __m256i even23 = _mm256_unpacklo_epi64(rows[2], rows[3]);
  const __m256i odd23 = _mm256_unpackhi_epi64(rows[2], rows[3]);
  words[0] = _mm256_permute2x128_si256(even01, even23, 0x20);
  words[1] = _mm256_permute2x128_si256(odd01, odd23, 0x20);
  words[2] = _mm256_permute2x128_si256(even01, even23, 0x31);
  words[3] = _mm256_permute2x128_si256(odd01, odd23, 0x31);
}

CFAB_TARGET Lanes AbsorbEight(const SipState& initial, const uint8_t* keys) {
  Lanes s{Broadcast(initial.a), Broadcast(initial.b), Broadcast(initial.c), Broadcast(initial.d)};
  __m256i low[kWords], high[kWords];
  Transpose(keys, low);
  Transpose(keys + kWidth * kPeerKeyBytes, high);
  for (size_t word = 0; word < kWords; word++) Absorb(s, {{low[word], high[word]}});
  return s;
}

// A counter beyond a weight is lowered to the last one below it: hashing that one again does not move a maximum.
CFAB_TARGET Words Below(const Words& counters, const Words& limits) {
  return {{_mm256_min_epi32(counters.at[0], _mm256_sub_epi64(limits.at[0], Fill(1))),
           _mm256_min_epi32(counters.at[1], _mm256_sub_epi64(limits.at[1], Fill(1)))}};
}

CFAB_TARGET __m256i Widen(const uint8_t* weights) {
  int32_t four;
  std::memcpy(&four, weights, sizeof four);
  return _mm256_cvtepu8_epi64(_mm_cvtsi32_si128(four));
}

// Eight peers at once, one counter at a time: best when their weights are about equal. A weight of 0 scores 0.
CFAB_TARGET void ScoreAcross(const Lanes& s, const uint8_t* weights, uint32_t weight_max, uint64_t* scores) {
  const Words limits{{Widen(weights), Widen(weights + kWidth)}};
  Words best = Broadcast(0);
  for (uint32_t k = 0; k < weight_max; k++) best = Max(best, Finish(s, Below(Broadcast(k), limits)));
  const __m256i zero = _mm256_setzero_si256();
  for (uint32_t half = 0; half < kPair; half++)
    best.at[half] = _mm256_and_si256(best.at[half], _mm256_cmpgt_epi64(limits.at[half], zero));
  Store(best, scores);
}

// One peer at a time, eight counters at once.
CFAB_TARGET uint64_t ScoreAlong(const SipState& s, uint32_t weight) {
  if (weight == 0) return 0;
  const Lanes lanes{Broadcast(s.a), Broadcast(s.b), Broadcast(s.c), Broadcast(s.d)};
  const Words limit = Broadcast(weight);
  Words counters{{_mm256_setr_epi64x(0, 1, 2, 3), _mm256_setr_epi64x(4, 5, 6, 7)}};
  Words best = Broadcast(0);
  for (uint32_t k = 0; k < weight; k += kLanes) {
    best = Max(best, Finish(lanes, Below(counters, limit)));
    counters = counters + Broadcast(kLanes);
  }
  uint64_t parts[kLanes];
  Store(best, parts);
  return *std::max_element(parts, parts + kLanes);
}

CFAB_TARGET void ScoreEight(const SipState& initial, const uint8_t* keys, const uint8_t* weights, uint64_t* scores) {
  const Lanes s = AbsorbEight(initial, keys);
  uint32_t weight_max = 0;
  uint32_t along_count = 0;
  for (uint32_t lane = 0; lane < kLanes; lane++) {
    weight_max = std::max<uint32_t>(weight_max, weights[lane]);
    along_count += (weights[lane] + kLanes - 1) / kLanes;
  }
  if (weight_max <= along_count) return ScoreAcross(s, weights, weight_max, scores);
  uint64_t a[kLanes], b[kLanes], c[kLanes], d[kLanes];
  Store(s.a, a);
  Store(s.b, b);
  Store(s.c, c);
  Store(s.d, d);
  for (uint32_t lane = 0; lane < kLanes; lane++)
    scores[lane] = ScoreAlong({a[lane], b[lane], c[lane], d[lane]}, weights[lane]);
}

// Returns how many peers it has done: the rest are fewer than the lanes.
__attribute__((target("avx2"))) uint32_t OfferAvx2(const SipState& initial, const Peers& peers, Best& best) {
  uint32_t at = 0;
  uint64_t scores[kLanes];
  for (; peers.count - at >= kLanes; at += kLanes) {
    ScoreEight(initial, peers.keys + size_t{at} * kPeerKeyBytes, peers.weights + at, scores);
    for (uint32_t lane = 0; lane < kLanes; lane++) best.Offer(scores[lane], at + lane);
  }
  return at;
}
#else
uint32_t OfferAvx2(const SipState&, const Peers&, Best&) { return 0; }
#endif

}  // namespace

bool Supports(Isa isa) {
#if CFAB_AVX2
  return isa == Isa::kScalar || __builtin_cpu_supports("avx2");
#else
  return isa == Isa::kScalar;
#endif
}

void RendezvousTop(const uint8_t* draw_key, const Peers& peers, Isa isa, Ranked* top, uint32_t top_count) {
  const SipState initial = SipStart(draw_key);
  Best best(peers.keys, top, top_count);
  const uint32_t done = isa == Isa::kAvx2 ? OfferAvx2(initial, peers, best) : 0;
  OfferScalar(initial, peers, done, best);
  best.Sort();
}

}  // namespace cfab
