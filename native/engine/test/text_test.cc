#include "../text.h"

#include "../utf8.h"
#include "check.h"
#include "random.h"

using namespace cfab;
using namespace cfab::test;

namespace {

std::vector<std::string> PartsOf(const std::vector<std::string>& pieces) {
  Utf8Stream stream;
  std::vector<std::string> parts;
  for (const std::string& piece : pieces) parts.push_back(stream.Push(piece));
  parts.push_back(stream.End());
  return parts;
}

std::vector<std::string> BytesOf(const std::string& text) {
  std::vector<std::string> bytes;
  for (const char byte : text) bytes.emplace_back(1, byte);
  return bytes;
}

std::string Joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += part;
  return text;
}

bool IsValid(const std::string& text) {
  for (size_t at = 0; at < text.size();) {
    const Utf8Head head = Utf8HeadOf(text.data() + at, text.size() - at);
    if (head.kind != Utf8Head::Kind::kCharacter) return false;
    at += head.bytes;
  }
  return true;
}

// Characters told when the scanner says that a stop string has come; -1 when it never does.
int EndOf(const std::vector<std::string>& pieces, const std::vector<std::string>& stop) {
  StopScanner scanner(stop);
  size_t told = 0;
  for (const std::string& piece : pieces) {
    told += piece.size();
    if (scanner.Push(piece)) return static_cast<int>(told);
  }
  return -1;
}

}  // namespace

TEST("text cut into single bytes comes whole, character by character") {
  CHECK_EQ(PartsOf(BytesOf("aß日🙂")),
           (std::vector<std::string>{"a", "", "ß", "", "", "日", "", "", "", "🙂", ""}));
}

TEST("bytes that are no character show as one U+FFFD for each longest beginning of one") {
  const std::string mark = "\xef\xbf\xbd";
  CHECK_EQ(Joined(PartsOf({"\xf0\x9f\x92 a"})), mark + " a");
  CHECK_EQ(Joined(PartsOf({"\xe2\x82", "x"})), mark + "x");
  CHECK_EQ(Joined(PartsOf({"\xc0\x80"})), mark + mark);
  CHECK_EQ(Joined(PartsOf({"\xed\xa0\x80"})), mark + mark + mark);
  CHECK_EQ(Joined(PartsOf({"\xf5\x80"})), mark + mark);
  CHECK_EQ(Joined(PartsOf({"\xf4\x90\x80\x80"})), mark + mark + mark + mark);
  CHECK_EQ(PartsOf({"a", "\xe6"}), (std::vector<std::string>{"a", "", mark}));
}

TEST("bytes that never become a character are let go after 64 tokens") {
  const std::vector<std::string> parts = PartsOf(std::vector<std::string>(200, "\x80"));
  CHECK_EQ(parts[0], "");
  CHECK_EQ(parts[1], "\xef\xbf\xbd");
  CHECK_EQ(parts[63], "\xef\xbf\xbd\xef\xbf\xbd");
  CHECK_EQ(parts[64], "");
  CHECK_EQ(static_cast<int>(Joined(parts).size()), 600);
  // An unfinished character too, though its last byte may still come.
  std::vector<std::string> stalled(64, "");
  stalled[0] = "\xe6";
  stalled.push_back("\x97\xa5");
  CHECK_EQ(Joined(PartsOf(stalled)), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

TEST("any bytes in any pieces give valid text, and the same as in one piece") {
  Random random;
  const std::string alphabet[] = {"a", "\xc3", "\xa9", "\xe6\x97", "\xa5", "\xf0", "\x9f\x99\x82",
                                  "\xed", "\x9f", "\xef\xbf\xbd", "日"};
  for (int round = 0; round < 2000; round++) {
    std::vector<std::string> pieces;
    for (uint64_t left = random.Below(20); left > 0; left--) pieces.push_back(alphabet[random.Below(11)]);
    const std::vector<std::string> parts = PartsOf(pieces);
    for (const std::string& part : parts) CHECK(IsValid(part));
    CHECK_EQ(Joined(parts), Joined(PartsOf({Joined(pieces)})));
  }
}

TEST("a stop string is found within a piece, over pieces, and at the very end") {
  CHECK_EQ(EndOf({"ab", "END", "c"}, {"END"}), 5);
  CHECK_EQ(EndOf({"aE", "N", "", "Db"}, {"END"}), 5);
  CHECK_EQ(EndOf({"a", "\n", "\n"}, {"x", "\n\n"}), 3);
  CHECK_EQ(EndOf({"日", "本語"}, {"本"}), 9);
  CHECK_EQ(EndOf({"anything"}, {}), -1);
  CHECK_EQ(EndOf({"EN", "EN", "E", "N"}, {"END"}), -1);
  CHECK_EQ(EndOf({"", "a"}, {""}), 0);
}
