#include "utf8.h"

namespace cfab {
namespace {

constexpr uint8_t kTailMin = 0x80;
constexpr uint8_t kTailMax = 0xbf;
constexpr uint32_t kTailMask = 0x3f;
constexpr int kTailBits = 6;

// Bytes of a character by its first one, none where it cannot begin one, and what may come second.
struct Lead {
  size_t bytes;
  uint8_t second_min, second_max;
};

Lead LeadOf(uint8_t byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xc2 || byte > 0xf4) return {0, 0, 0};
  if (byte < 0xe0) return {2, kTailMin, kTailMax};
  if (byte == 0xe0) return {3, 0xa0, kTailMax};
  if (byte == 0xed) return {3, kTailMin, 0x9f};
  if (byte < 0xf0) return {3, kTailMin, kTailMax};
  if (byte == 0xf0) return {4, 0x90, kTailMax};
  if (byte == 0xf4) return {4, kTailMin, 0x8f};
  return {4, kTailMin, kTailMax};
}

}  // namespace

Utf8Head Utf8HeadOf(const char* text, size_t size) {
  const auto byte = [text](size_t at) { return static_cast<uint8_t>(text[at]); };
  const Lead lead = LeadOf(byte(0));
  if (lead.bytes == 0) return {Utf8Head::Kind::kBroken, 1, 0, 0};
  if (lead.bytes == 1) return {Utf8Head::Kind::kCharacter, 1, byte(0), byte(0)};
  uint32_t min = byte(0) & (0x7fu >> lead.bytes);
  uint32_t max = min;
  auto kind = Utf8Head::Kind::kCharacter;
  size_t known = lead.bytes;
  for (size_t at = 1; at < lead.bytes; at++) {
    uint8_t tail_min = at == 1 ? lead.second_min : kTailMin;
    uint8_t tail_max = at == 1 ? lead.second_max : kTailMax;
    if (at < size) {
      if (byte(at) < tail_min || byte(at) > tail_max) return {Utf8Head::Kind::kBroken, at, 0, 0};
      tail_min = tail_max = byte(at);
    } else if (kind == Utf8Head::Kind::kCharacter) {
      kind = Utf8Head::Kind::kUnfinished;
      known = at;
    }
    min = min << kTailBits | (tail_min & kTailMask);
    max = max << kTailBits | (tail_max & kTailMask);
  }
  return {kind, known, min, max};
}

}  // namespace cfab
