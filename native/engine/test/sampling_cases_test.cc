// Answers cases that another program wrote to a file, for test/unit/native/engine-sampling.test.ts, which knows the right
// answers.
//
// Both files are little-endian: a byte that names the case, its fields; then for each case the fields of the answer.
#include <cstring>
#include <fstream>
#include <iterator>

#include "../gumbel.h"
#include "../log.h"
#include "../sampling.h"
#include "../text.h"
#include "check.h"
#include "fixtures.h"

using namespace cfab;
using namespace cfab::test;

namespace {

class Reader {
 public:
  explicit Reader(std::string data) : data_(std::move(data)) {}

  bool IsAtEnd() const { return at_ >= data_.size(); }

  template <typename T>
  T Read() {
    T value{};
    if (data_.size() - at_ >= sizeof value) std::memcpy(&value, data_.data() + at_, sizeof value);
    at_ += sizeof value;
    return value;
  }

  std::string ReadText() {
    const auto length = Read<uint32_t>();
    std::string text = data_.substr(at_, length);
    at_ += length;
    return text;
  }

  std::vector<std::string> ReadTexts() {
    std::vector<std::string> texts(Read<uint32_t>());
    for (std::string& text : texts) text = ReadText();
    return texts;
  }

 private:
  const std::string data_;
  size_t at_ = 0;
};

class Writer {
 public:
  template <typename T>
  void Write(T value) {
    data_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }

  void WriteText(const std::string& text) {
    Write(static_cast<uint32_t>(text.size()));
    data_ += text;
  }

  const std::string& data() const { return data_; }

 private:
  std::string data_;
};

Candidates ReadCandidates(Reader& in) {
  Candidates candidates;
  candidates.count = in.Read<int32_t>();
  for (int rank = 0; rank < candidates.count; rank++) {
    candidates.top[rank].id = in.Read<int32_t>();
    candidates.top[rank].logit = in.Read<float>();
  }
  return candidates;
}

void AnswerNumbers(Reader& in, Writer& out, double (*function)(double)) {
  for (auto left = in.Read<uint32_t>(); left > 0; left--) out.Write(function(in.Read<double>()));
}

void AnswerTop(Reader& in, Writer& out) {
  std::vector<float> row(in.Read<uint32_t>());
  for (float& logit : row) logit = in.Read<float>();
  Candidates found;
  SelectTop(row.data(), static_cast<int32_t>(row.size()), &found);
  out.Write(found.count);
  for (int rank = 0; rank < found.count; rank++) {
    out.Write(found.top[rank].id);
    out.Write(found.top[rank].logit);
  }
}

void AnswerGumbel(Reader& in, Writer& out) {
  GumbelSpec spec;
  for (uint8_t& byte : spec.seed) byte = in.Read<uint8_t>();
  spec.temperature = in.Read<double>();
  spec.top_k = in.Read<int32_t>();
  const auto t = in.Read<uint32_t>();
  const auto claimed = in.Read<TokenId>();
  const Candidates candidates = ReadCandidates(in);
  const Margin margin = MarginOf(candidates, claimed, spec, t);
  out.Write(ChooseGumbel(candidates, spec, t));
  out.Write(margin.nats);
  out.Write(margin.rank);
  out.Write(LogProbability(candidates, claimed));
  for (const uint8_t byte : PositionHash(spec.seed, t)) out.Write(byte);
  out.Write(spec.temperature == 0 ? 0 : PositionScorer(spec, t).Noise(claimed));
}

void AnswerLlama(Reader& in, Writer& out) {
  LlamaSpec spec;
  spec.temperature = in.Read<double>();
  spec.top_k = in.Read<uint32_t>();
  spec.top_p = in.Read<double>();
  spec.min_p = in.Read<double>();
  spec.frequency_penalty = in.Read<double>();
  spec.presence_penalty = in.Read<double>();
  spec.seed = in.Read<uint32_t>();
  const auto t = in.Read<uint32_t>();
  TokenCounts counts;
  for (auto left = in.Read<uint32_t>(); left > 0; left--) {
    const auto id = in.Read<TokenId>();
    counts[id] = in.Read<int32_t>();
  }
  out.Write(ChooseLlama(ReadCandidates(in), spec, counts, t));
}

void AnswerText(Reader& in, Writer& out) {
  Utf8Stream stream;
  for (const std::string& piece : in.ReadTexts()) out.WriteText(stream.Push(piece));
  out.WriteText(stream.End());
}

void AnswerStop(Reader& in, Writer& out) {
  StopScanner scanner(in.ReadTexts());
  for (const std::string& piece : in.ReadTexts()) out.Write(static_cast<uint8_t>(scanner.Push(piece)));
}

bool Answer(Reader& in, Writer& out) {
  switch (in.Read<uint8_t>()) {
    case 'l': AnswerNumbers(in, out, Log); return true;
    case 'e': AnswerNumbers(in, out, Exp); return true;
    case 'r': AnswerTop(in, out); return true;
    case 'g': AnswerGumbel(in, out); return true;
    case 's': AnswerLlama(in, out); return true;
    case 't': AnswerText(in, out); return true;
    case 'x': AnswerStop(in, out); return true;
    default: return false;
  }
}

}  // namespace

TEST("cases of a file are answered") {
  const std::string cases = Environment("CFAB_TEST_CASES");
  if (cases.empty()) SKIP("CFAB_TEST_CASES names no file");
  std::ifstream file(cases, std::ios::binary);
  Reader in(std::string(std::istreambuf_iterator<char>(file), {}));
  Writer out;
  while (!in.IsAtEnd()) REQUIRE(Answer(in, out));
  std::ofstream(Environment("CFAB_TEST_ANSWERS"), std::ios::binary) << out.data();
}
