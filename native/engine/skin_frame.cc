#include "skin_frame.h"

#include <cstring>

#include "utf8.h"

namespace cfab {
namespace {

template <typename T>
void Put(std::string* out, T value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out->append(bytes, sizeof(T));
}

// Of valid UTF-8: every character counts once, and those of four bytes twice.
uint32_t Utf16Units(const std::string& text) {
  uint32_t units = 0;
  for (const char byte : text) {
    const auto value = static_cast<uint8_t>(byte);
    units += ((value & 0xc0) != 0x80) + (value >= 0xf0);
  }
  return units;
}

// Bytes of a character that other tokens complete show as nothing.
std::string Shown(const std::string& piece) {
  for (size_t at = 0; at < piece.size();) {
    const Utf8Head head = Utf8HeadOf(piece.data() + at, piece.size() - at);
    if (head.kind != Utf8Head::Kind::kCharacter) return "";
    at += head.bytes;
  }
  return piece;
}

}  // namespace

std::string StepBody(const std::vector<TokenReport>& tokens, const Model& model) {
  std::string body, alternatives, texts, alternative_texts;
  uint32_t alternative_count = 0;
  for (const TokenReport& token : tokens) alternative_count += static_cast<uint32_t>(token.alternatives.size());
  Put(&body, static_cast<uint32_t>(tokens.size()));
  Put(&body, alternative_count);
  for (const TokenReport& token : tokens) {
    Put(&body, token.call);
    Put(&body, token.slot);
    Put(&body, token.id);
    Put(&body, Utf16Units(token.text));
    Put(&body, token.logprob);
    Put(&body, static_cast<uint16_t>(token.finish));
    Put(&body, static_cast<uint16_t>(token.alternatives.size()));
    texts += token.text;
    for (const Alternative& alternative : token.alternatives) {
      const std::string shown = Shown(model.Piece(alternative.id, token.show_control));
      Put(&alternatives, alternative.id);
      Put(&alternatives, Utf16Units(shown));
      Put(&alternatives, alternative.logprob);
      alternative_texts += shown;
    }
  }
  return body + alternatives + texts + alternative_texts;
}

}  // namespace cfab
