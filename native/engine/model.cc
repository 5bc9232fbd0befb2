#include "model.h"

#include <pthread.h>

#include <algorithm>

namespace cfab {
namespace {

// Most pieces are shorter; the others are asked for twice.
constexpr int32_t kPieceBytes = 64;
// What a model may want around a text: a start and an end.
constexpr size_t kFrameTokens = 2;
constexpr int kNoText = LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_UNKNOWN;

// libstdc++ matches regular expressions by recursion, 356 bytes of stack for each byte of a word, and llama.cpp splits the text of some
// models with them: a text of 25 kB without a space ends the process on a usual stack.
constexpr size_t kStackBytesPerByte = 512;
constexpr size_t kStackBytes = 1 << 20;
constexpr size_t kShortTextBytes = 1024;

// Runs `work` on a stack that is large enough for a text; memory is taken only for what is used of it.
template <typename Work>
void WithStackFor(size_t text_bytes, Work work) {
  pthread_attr_t attributes;
  pthread_t thread;
  const size_t page_bytes = 65'536;
  const size_t stack_bytes = (kStackBytes + text_bytes * kStackBytesPerByte) / page_bytes * page_bytes;
  bool is_started = false;
  if (text_bytes > kShortTextBytes && pthread_attr_init(&attributes) == 0) {
    const auto run = [](void* argument) -> void* {
      (*static_cast<Work*>(argument))();
      return nullptr;
    };
    is_started = pthread_attr_setstacksize(&attributes, stack_bytes) == 0 &&
                 pthread_create(&thread, &attributes, run, &work) == 0;
    pthread_attr_destroy(&attributes);
  }
  // Without a thread most texts do well on the present stack.
  if (is_started) {
    pthread_join(thread, nullptr);
  } else {
    work();
  }
}

std::string PieceOf(const Libs& libs, const llama_vocab* vocab, TokenId id) {
  std::string piece(kPieceBytes, '\0');
  int32_t bytes = libs.llama_token_to_piece(vocab, id, piece.data(), kPieceBytes, 0, true);
  if (bytes < 0) {
    piece.resize(static_cast<size_t>(-bytes));
    bytes = libs.llama_token_to_piece(vocab, id, piece.data(), -bytes, 0, true);
  }
  piece.resize(static_cast<size_t>(std::max(bytes, 0)));
  return piece;
}

const char* ReasonOf(const ErrorLog& errors) {
  if (errors.Says("unknown model architecture")) return "architecture_unknown";
  if (errors.IsOutOfMemory()) return "out_of_memory";
  return errors.Says("error loading model") || errors.Says("failed to load model") ? "file_invalid" : "refused";
}

}  // namespace

std::unique_ptr<Model> Model::Load(const Libs& libs, const ModelSpec& spec, std::string* error) {
  llama_model_params params = libs.llama_model_default_params();
  params.n_gpu_layers = spec.gpu_layers;
  params.vocab_only = spec.vocab_only;
  // All of a tensor is read at the start: otherwise a step may have to wait for the disk.
  params.lazy_mode = LLAMA_LAZY_MODE_OFF;
  // llama.cpp reads as many numbers as there can be devices.
  std::vector<float> tensor_split = spec.tensor_split;
  tensor_split.resize(libs.llama_max_devices(), 0.0f);
  if (!spec.tensor_split.empty()) params.tensor_split = tensor_split.data();

  const ErrorLog errors;
  llama_model* handle = libs.llama_model_load_from_file(spec.path.c_str(), params);
  if (handle == nullptr) {
    *error = ReasonOf(errors);
    return nullptr;
  }
  // llama.cpp ends the process when it is asked about the tokens of a model that has none.
  if (libs.llama_vocab_type(libs.llama_model_get_vocab(handle)) == LLAMA_VOCAB_TYPE_NONE) {
    libs.llama_model_free(handle);
    *error = "file_invalid";
    return nullptr;
  }
  return std::unique_ptr<Model>(new Model(libs, handle));
}

Model::Model(const Libs& libs, llama_model* handle)
    : libs_(libs),
      handle_(handle),
      vocab_(libs.llama_model_get_vocab(handle)),
      vocab_size_(libs.llama_vocab_n_tokens(vocab_)),
      context_trained_(libs.llama_model_n_ctx_train(handle)) {
  attributes_.reserve(static_cast<size_t>(vocab_size_));
  pieces_.reserve(static_cast<size_t>(vocab_size_));
  for (TokenId id = 0; id < vocab_size_; id++) {
    attributes_.push_back(libs.llama_vocab_get_attr(vocab_, id));
    pieces_.push_back(PieceOf(libs, vocab_, id));
    piece_bytes_max_ = std::max(piece_bytes_max_, pieces_.back().size());
  }
  stop_ids_ = FindStopIds();
  start_token_ = StartToken();
}

Model::~Model() { libs_.llama_model_free(handle_); }

bool Model::HasAttribute(TokenId id, int attributes) const {
  return id >= 0 && id < vocab_size_ && (attributes_[static_cast<size_t>(id)] & attributes) != 0;
}

// node-llama-cpp counts the ends of text and of turn too, also where llama.cpp does not; nodes must agree on where an answer ends.
std::vector<TokenId> Model::FindStopIds() const {
  const TokenId eos = libs_.llama_vocab_eos(vocab_);
  const TokenId eot = libs_.llama_vocab_eot(vocab_);
  std::vector<TokenId> ids;
  for (TokenId id = 0; id < vocab_size_; id++) {
    const bool is_eos = id == eos && HasAttribute(id, LLAMA_TOKEN_ATTR_CONTROL);
    const bool is_eot = id == eot && !HasAttribute(id, LLAMA_TOKEN_ATTR_UNKNOWN);
    if (is_eos || is_eot || libs_.llama_vocab_is_eog(vocab_, id)) ids.push_back(id);
  }
  return ids;
}

// As node-llama-cpp sees it: a start token of another kind is none.
TokenId Model::StartToken() const {
  const TokenId bos = libs_.llama_vocab_bos(vocab_);
  return HasAttribute(bos, LLAMA_TOKEN_ATTR_CONTROL) && libs_.llama_vocab_get_add_bos(vocab_) ? bos : -1;
}

bool Model::IsStop(TokenId id) const { return std::binary_search(stop_ids_.begin(), stop_ids_.end(), id); }

bool Model::IsControl(TokenId id) const { return HasAttribute(id, LLAMA_TOKEN_ATTR_CONTROL); }

std::vector<TokenId> Model::Tokenize(const std::string& text, bool parse_special) const {
  // Room for the start token in front.
  std::vector<TokenId> ids(1);
  if (!text.empty()) AppendTokens(text, false, parse_special, &ids);
  const bool is_missing = parse_special && start_token_ >= 0 && (ids.size() == 1 || ids[1] != start_token_);
  ids[0] = start_token_;
  if (!is_missing) ids.erase(ids.begin());
  return ids;
}

std::vector<TokenId> Model::TokenizeWhole(const std::string& text) const {
  std::vector<TokenId> ids;
  AppendTokens(text, true, false, &ids);
  return ids;
}

void Model::AppendTokens(const std::string& text, bool add_special, bool parse_special, std::vector<TokenId>* ids) const {
  const size_t before = ids->size();
  int32_t count = 0;
  const auto tokenize = [&] {
    const auto bytes = static_cast<int32_t>(text.size());
    const auto count_max = static_cast<int32_t>(ids->size() - before);
    count = libs_.llama_tokenize(vocab_, text.data(), bytes, ids->data() + before, count_max, add_special, parse_special);
  };
  ids->resize(before + text.size() + kFrameTokens);
  WithStackFor(text.size(), tokenize);
  if (count < 0) {
    ids->resize(before + static_cast<size_t>(-count));
    WithStackFor(text.size(), tokenize);
  }
  ids->resize(before + static_cast<size_t>(std::max(count, 0)));
}

size_t Model::TokensMin(size_t text_bytes) const {
  const auto type = libs_.llama_vocab_type(vocab_);
  const bool keeps_all = type == LLAMA_VOCAB_TYPE_SPM || type == LLAMA_VOCAB_TYPE_BPE;
  return keeps_all ? text_bytes / piece_bytes_max_ : 0;
}

const std::string& Model::Piece(TokenId id, bool special) const {
  static const std::string none;
  const bool is_shown = id >= 0 && id < vocab_size_ && (special || !HasAttribute(id, kNoText));
  return is_shown ? pieces_[static_cast<size_t>(id)] : none;
}

}  // namespace cfab
