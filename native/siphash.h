// SipHash-2-4 (Aumasson and Bernstein, 2012) by its steps, so that messages under one key share the work of the beginning.
#pragma once

#include <cstdint>

namespace cfab {

// Little-endian, wherever this runs.
inline uint64_t LoadWord(const uint8_t* bytes) {
  uint64_t word = 0;
  for (int at = 7; at >= 0; at--) word = word << 8 | bytes[at];
  return word;
}

constexpr uint64_t kSipFinish = 0xff;

// The four words of the paper's figure 2.1.
struct SipState {
  uint64_t a, b, c, d;
};

// `key`: 16 bytes.
inline SipState SipStart(const uint8_t* key) {
  const uint64_t k0 = LoadWord(key);
  const uint64_t k1 = LoadWord(key + 8);
  return {k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573};
}

inline uint64_t Rotate(uint64_t word, int bits) { return word << bits | word >> (64 - bits); }

inline void SipRound(SipState& s) {
  s.a += s.b;
  s.c += s.d;
  s.b = Rotate(s.b, 13) ^ s.a;
  s.d = Rotate(s.d, 16) ^ s.c;
  s.a = Rotate(s.a, 32) + s.d;
  s.c += s.b;
  s.d = Rotate(s.d, 21) ^ s.a;
  s.b = Rotate(s.b, 17) ^ s.c;
  s.c = Rotate(s.c, 32);
}

inline void SipAbsorb(SipState& s, uint64_t word) {
  s.d ^= word;
  SipRound(s);
  SipRound(s);
  s.a ^= word;
}

// `last`: up to seven bytes of the message, and its length modulo 256 in the top byte.
inline uint64_t SipFinish(SipState s, uint64_t last) {
  SipAbsorb(s, last);
  s.c ^= kSipFinish;
  for (int round = 0; round < 4; round++) SipRound(s);
  return s.a ^ s.b ^ s.c ^ s.d;
}

}  // namespace cfab
