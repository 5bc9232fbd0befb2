// A model file in memory: weights, vocabulary, and the way from text to ids and back to bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "libs.h"

namespace cfab {

using TokenId = int32_t;

struct ModelSpec {
  std::string path;
  // Layers on the device; 0 keeps all on the processor, -1 puts all there.
  int32_t gpu_layers = 0;
  // Proportion for each device, the rest gets nothing; empty lets llama.cpp choose.
  std::vector<float> tensor_split;
  bool vocab_only = false;
};

class Model {
 public:
  // Returns null with a reason for `error` ("file_invalid", "architecture_unknown", "out_of_memory", "refused") on failure; llama.cpp's
  // own words are on standard error.
  static std::unique_ptr<Model> Load(const Libs& libs, const ModelSpec& spec, std::string* error);
  ~Model();
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  const Libs& libs() const { return libs_; }
  llama_model* handle() const { return handle_; }
  const llama_vocab* vocab() const { return vocab_; }
  int32_t vocab_size() const { return vocab_size_; }
  int32_t context_trained() const { return context_trained_; }
  // End-of-generation ids, ascending.
  const std::vector<TokenId>& stop_ids() const { return stop_ids_; }
  bool IsStop(TokenId id) const;
  bool IsControl(TokenId id) const;

  // `parse_special`: rendered templates; false for plain user text. The start token is put first where `parse_special` is set, the model
  // wants one, and the text does not begin with it: as models/llama.ts does. Text is UTF-8; invalid bytes are the caller's bug.
  std::vector<TokenId> Tokenize(const std::string& text, bool parse_special) const;
  // Plain text that is read for itself, not to be gone on with: the tokens that the model wants around a text are put there.
  std::vector<TokenId> TokenizeWhole(const std::string& text) const;
  // Fewer tokens than this a text of so many bytes cannot have, so that what is too long for a context need not be tokenized: for some
  // texts llama.cpp takes time with the square of their length. But for spaces that some control tokens swallow; 0 for a vocabulary
  // that leaves out what it does not know.
  size_t TokensMin(size_t text_bytes) const;
  // The bytes of one token as it continues a text: a piece may end inside a character. Control tokens are empty unless `special`; what
  // is no id of the vocabulary is empty too.
  const std::string& Piece(TokenId id, bool special) const;

 private:
  Model(const Libs& libs, llama_model* handle);

  bool HasAttribute(TokenId id, int attributes) const;
  void AppendTokens(const std::string& text, bool add_special, bool parse_special, std::vector<TokenId>* ids) const;
  // The start token where a text must begin with it, else -1.
  TokenId StartToken() const;
  std::vector<TokenId> FindStopIds() const;

  const Libs& libs_;
  llama_model* const handle_;
  const llama_vocab* const vocab_;
  const int32_t vocab_size_;
  const int32_t context_trained_;
  // llama_token_attr of each id.
  std::vector<int> attributes_;
  std::vector<std::string> pieces_;
  size_t piece_bytes_max_ = 1;
  std::vector<TokenId> stop_ids_;
  TokenId start_token_ = -1;
};

}  // namespace cfab
