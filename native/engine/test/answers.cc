#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <sstream>

#include "fixtures.h"
#include "runner.h"

namespace cfab::test {
namespace {

std::string BytesOf(const std::string& hex) {
  std::string bytes;
  for (size_t at = 0; at + 1 < hex.size(); at += 2) {
    bytes += static_cast<char>(std::strtoul(hex.substr(at, 2).c_str(), nullptr, 16));
  }
  return bytes;
}

std::string HexOf(const std::string& bytes) {
  std::string hex;
  for (const char byte : bytes) {
    char pair[3];
    std::snprintf(pair, sizeof pair, "%02x", static_cast<unsigned char>(byte));
    hex += pair;
  }
  return hex;
}

std::string Answer(const Model& model, std::istringstream& request) {
  std::string what, hex, text;
  request >> what;
  std::vector<TokenId> ids;
  if (what == "facts") {
    ids = {model.vocab_size(), model.context_trained()};
    ids.insert(ids.end(), model.stop_ids().begin(), model.stop_ids().end());
  } else if (what == "pieces") {
    for (TokenId id = 0; request >> id;) text += model.Piece(id, false);
    return HexOf(text);
  } else {
    request >> hex;
    ids = model.Tokenize(BytesOf(hex), what == "special");
  }
  std::string line;
  for (const TokenId id : ids) line += (line.empty() ? "" : " ") + std::to_string(id);
  return line;
}

}  // namespace

int AnswerLines() {
  ModelSpec spec;
  spec.path = TestModelPath();
  spec.vocab_only = true;
  std::string error;
  const std::unique_ptr<Model> model = Model::Load(TestLibs(), spec, &error);
  if (model == nullptr) {
    std::printf("%s\n", error.c_str());
    return 1;
  }
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream request(line);
    std::printf("%s\n", Answer(*model, request).c_str());
  }
  return 0;
}

}  // namespace cfab::test
