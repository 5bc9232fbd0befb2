#include "text.h"

#include <algorithm>
#include <utility>

#include "utf8.h"

namespace cfab {
namespace {

constexpr char kReplacement[] = "\xef\xbf\xbd";
constexpr size_t kReplacementBytes = sizeof kReplacement - 1;

struct Decoded {
  std::string text;
  // Where the bytes of the last character begin; none in an empty text.
  size_t last_at = 0;
  bool ends_replaced = false;
};

Decoded Decode(const std::string& bytes) {
  Decoded out;
  out.text.reserve(bytes.size());
  for (size_t at = 0; at < bytes.size();) {
    const Utf8Head head = Utf8HeadOf(bytes.data() + at, bytes.size() - at);
    out.last_at = at;
    if (head.kind == Utf8Head::Kind::kCharacter)
      out.text.append(bytes, at, head.bytes);
    else
      out.text.append(kReplacement, kReplacementBytes);
    out.ends_replaced = head.kind != Utf8Head::Kind::kCharacter || bytes.compare(at, head.bytes, kReplacement) == 0;
    at += head.bytes;
  }
  return out;
}

}  // namespace

std::string Utf8Stream::Push(const std::string& bytes) {
  held_ += bytes;
  held_pushes_++;
  Decoded decoded = Decode(held_);
  if (!decoded.ends_replaced || held_pushes_ == kHeldPushesMax) {
    held_.clear();
    held_pushes_ = 0;
    return std::move(decoded.text);
  }
  // More bytes may make a character of the last ones.
  held_.erase(0, decoded.last_at);
  decoded.text.resize(decoded.text.size() - kReplacementBytes);
  return std::move(decoded.text);
}

std::string Utf8Stream::End() {
  std::string rest = Decode(held_).text;
  held_.clear();
  held_pushes_ = 0;
  return rest;
}

StopScanner::StopScanner(std::vector<std::string> stop) : stop_(std::move(stop)) {
  for (const std::string& text : stop_) tail_bytes_max_ = std::max(tail_bytes_max_, text.empty() ? 0 : text.size() - 1);
}

bool StopScanner::Push(const std::string& piece) {
  if (stop_.empty()) return false;
  tail_ += piece;
  const bool is_found = std::any_of(stop_.begin(), stop_.end(),
                                    [this](const std::string& stop) { return tail_.find(stop) != std::string::npos; });
  if (tail_.size() > tail_bytes_max_) tail_.erase(0, tail_.size() - tail_bytes_max_);
  return is_found;
}

}  // namespace cfab
