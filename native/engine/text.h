// Bytes of tokens to text that may be shown: whole characters only, and an end at the first stop string.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace cfab {

// Holds back the bytes of an unfinished character. What never becomes one shows as U+FFFD, as a decoder of the WHATWG standard
// shows it.
class Utf8Stream {
 public:
  // Takes the bytes of one token. Returns the text that no later byte can change; always valid UTF-8.
  std::string Push(const std::string& bytes);
  // Returns what is still held.
  std::string End();

 private:
  // Bytes that never become a character are let go after this many tokens.
  static constexpr int kHeldPushesMax = 64;

  std::string held_;
  // Tokens since the last one that ended with a character.
  int held_pushes_ = 0;
};

// Notices that a text, told piece by piece, has come to one of its stop strings; only the tail of what came before is searched
// again.
class StopScanner {
 public:
  explicit StopScanner(std::vector<std::string> stop);
  bool Push(const std::string& piece);

 private:
  const std::vector<std::string> stop_;
  size_t tail_bytes_max_ = 0;
  std::string tail_;
};

}  // namespace cfab
