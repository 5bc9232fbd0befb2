#include "sha256.h"

#include <algorithm>
#include <cstring>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define CFAB_SHA_NI 1
#include <cpuid.h>
#include <immintrin.h>
#else
#define CFAB_SHA_NI 0
#endif

namespace cfab {
namespace {

constexpr size_t kBlock = 64;
constexpr size_t kLengthBytes = 8;

alignas(16) constexpr uint32_t kRound[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01,
    0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
    0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
    0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08,
    0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

inline uint32_t Turn(uint32_t word, int bits) { return word >> bits | word << (32 - bits); }

// Big-endian, wherever this runs.
inline uint32_t LoadBig(const uint8_t* bytes) {
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3];
}

inline void StoreBig(uint32_t word, uint8_t* bytes) {
  for (int at = 0; at < 4; at++) bytes[at] = static_cast<uint8_t>(word >> (24 - 8 * at));
}

void ScheduleOf(const uint8_t* block, uint32_t* w) {
  for (int t = 0; t < 16; t++) w[t] = LoadBig(block + 4 * t);
  for (int t = 16; t < 64; t++) {
    const uint32_t s0 = Turn(w[t - 15], 7) ^ Turn(w[t - 15], 18) ^ w[t - 15] >> 3;
    const uint32_t s1 = Turn(w[t - 2], 17) ^ Turn(w[t - 2], 19) ^ w[t - 2] >> 10;
    w[t] = w[t - 16] + s0 + w[t - 7] + s1;
  }
}

void CompressScalar(uint32_t* state, const uint8_t* blocks, size_t count) {
  for (; count > 0; count--, blocks += kBlock) {
    uint32_t w[64];
    ScheduleOf(blocks, w);
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (int t = 0; t < 64; t++) {
      const uint32_t t1 = h + (Turn(e, 6) ^ Turn(e, 11) ^ Turn(e, 25)) + ((e & f) ^ (~e & g)) + kRound[t] + w[t];
      const uint32_t t2 = (Turn(a, 2) ^ Turn(a, 13) ^ Turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
      h = g, g = f, f = e, e = d + t1;
      d = c, c = b, b = a, a = t1 + t2;
    }
    const uint32_t added[8] = {a, b, c, d, e, f, g, h};
    for (int at = 0; at < 8; at++) state[at] += added[at];
  }
}

#if CFAB_SHA_NI
#define CFAB_TARGET __attribute__((target("sha,sse4.1")))

bool DetectSha() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned kShaBit = 1u << 29;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & kShaBit) != 0 && __builtin_cpu_supports("sse4.1");
}

// The instructions want the words of the state in the orders ABEF and CDGH, highest lane first.
CFAB_TARGET void CompressSha(uint32_t* state, const uint8_t* blocks, size_t count) {
  const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  const __m128i dcba = _mm_loadu_si128(reinterpret_cast<const __m128i*>(state));
  const __m128i hgfe = _mm_loadu_si128(reinterpret_cast<const __m128i*>(state + 4));
  const __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1);
  const __m128i efgh = _mm_shuffle_epi32(hgfe, 0x1b);
  __m128i abef = _mm_alignr_epi8(cdab, efgh, 8);
  __m128i cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);
  for (; count > 0; count--, blocks += kBlock) {
    const __m128i abef_before = abef;
    const __m128i cdgh_before = cdgh;
    // The last sixteen words of the schedule, four in each.
    __m128i w[4];
    for (int at = 0; at < 4; at++)
      w[at] = _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(blocks + 16 * at)), swap);
    for (int four = 0; four < 16; four++) {
      __m128i& now = w[four % 4];
      if (four >= 4) {
        const __m128i last = w[(four + 3) % 4];
        const __m128i seventh = _mm_alignr_epi8(last, w[(four + 2) % 4], 4);
        now = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(now, w[(four + 1) % 4]), seventh), last);
      }
      const __m128i keyed = _mm_add_epi32(now, _mm_load_si128(reinterpret_cast<const __m128i*>(kRound + 4 * four)));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, keyed);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(keyed, 0x0e));
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }
  const __m128i feba = _mm_shuffle_epi32(abef, 0x1b);
  const __m128i dchg = _mm_shuffle_epi32(cdgh, 0xb1);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state), _mm_blend_epi16(feba, dchg, 0xf0));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}
#else
bool DetectSha() { return false; }
void CompressSha(uint32_t* state, const uint8_t* blocks, size_t count) { CompressScalar(state, blocks, count); }
#endif

}  // namespace

bool HasShaInstructions() {
  static const bool has = DetectSha();
  return has;
}

Sha256::Sha256(bool instructions)
    : compress_(instructions ? CompressSha : CompressScalar),
      state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19} {}

Sha256& Sha256::Add(const void* data, size_t length) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  total_bytes_ += length;
  if (held_bytes_ > 0) {
    const size_t taken = std::min(length, kBlockBytes - held_bytes_);
    std::memcpy(held_.data() + held_bytes_, bytes, taken);
    held_bytes_ += taken;
    bytes += taken;
    length -= taken;
    if (held_bytes_ < kBlockBytes) return *this;
    compress_(state_.data(), held_.data(), 1);
    held_bytes_ = 0;
  }
  const size_t whole = length / kBlockBytes;
  if (whole > 0) compress_(state_.data(), bytes, whole);
  held_bytes_ = length % kBlockBytes;
  if (held_bytes_ > 0) std::memcpy(held_.data(), bytes + whole * kBlockBytes, held_bytes_);
  return *this;
}

Digest Sha256::Finish() {
  held_[held_bytes_++] = 0x80;
  if (held_bytes_ > kBlockBytes - kLengthBytes) {
    std::memset(held_.data() + held_bytes_, 0, kBlockBytes - held_bytes_);
    compress_(state_.data(), held_.data(), 1);
    held_bytes_ = 0;
  }
  std::memset(held_.data() + held_bytes_, 0, kBlockBytes - kLengthBytes - held_bytes_);
  const uint64_t bits = total_bytes_ * 8;
  StoreBig(static_cast<uint32_t>(bits >> 32), held_.data() + kBlockBytes - kLengthBytes);
  StoreBig(static_cast<uint32_t>(bits), held_.data() + kBlockBytes - kLengthBytes / 2);
  compress_(state_.data(), held_.data(), 1);
  Digest digest;
  for (size_t at = 0; at < state_.size(); at++) StoreBig(state_[at], digest.data() + 4 * at);
  return digest;
}

Sha256 DomainHash(const char* domain) {
  Sha256 hash;
  hash.Add("cfab/", 5).Add(domain, std::strlen(domain)).Add("/v1", 4);
  return hash;
}

}  // namespace cfab
