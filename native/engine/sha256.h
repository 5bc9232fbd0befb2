// SHA-256 (FIPS 180-4), and the domain-separated hash of core/codec/hash.ts.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace cfab {

constexpr size_t kDigestBytes = 32;
using Digest = std::array<uint8_t, kDigestBytes>;

// Whether the processor has instructions for it; the other way is always there and gives the same.
bool HasShaInstructions();

class Sha256 {
 public:
  Sha256() : Sha256(HasShaInstructions()) {}
  // `instructions` only where the processor has them: for tests of the other way.
  explicit Sha256(bool instructions);
  Sha256& Add(const void* data, size_t length);
  // Nothing may be added afterwards.
  Digest Finish();

 private:
  static constexpr size_t kBlockBytes = 64;

  void (*const compress_)(uint32_t* state, const uint8_t* blocks, size_t count);
  std::array<uint32_t, 8> state_;
  std::array<uint8_t, kBlockBytes> held_;
  size_t held_bytes_ = 0;
  uint64_t total_bytes_ = 0;
};

// A hash that has taken "cfab/<domain>/v1" and a zero byte.
Sha256 DomainHash(const char* domain);

}  // namespace cfab
