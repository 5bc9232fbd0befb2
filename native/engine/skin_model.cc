#include "skin_model.h"

#include <limits>
#include <utility>

namespace cfab {
namespace {

constexpr napi_type_tag kModelTag = {0x6d0c7f0fb6e3476d, 0x9a4a2d9b0c5e8f11};
constexpr int32_t kLayersMax = 65536;
// Of one value of the file's metadata; chat templates are the longest that are read.
constexpr size_t kMetadataBytesMax = 1 << 24;

struct ModelHandle {
  std::shared_ptr<const Model> model;
};

napi_value Tokenize(napi_env env, napi_callback_info info);
napi_value TokenizeWhole(napi_env env, napi_callback_info info);
napi_value Metadata(napi_env env, napi_callback_info info);
napi_value Piece(napi_env env, napi_callback_info info);
napi_value ControlTexts(napi_env env, napi_callback_info info);

std::string TokenText(const Model& model, TokenId id) {
  const char* text = id < 0 ? nullptr : model.libs().llama_vocab_get_text(model.vocab(), id);
  return text == nullptr ? "" : text;
}

std::string MetadataOf(const Model& model, const char* key) {
  const auto read = model.libs().llama_model_meta_val_str;
  std::string value(256, '\0');
  int32_t length = read(model.handle(), key, value.data(), value.size());
  if (length >= static_cast<int32_t>(value.size()) && static_cast<size_t>(length) < kMetadataBytesMax) {
    value.resize(static_cast<size_t>(length) + 1);
    length = read(model.handle(), key, value.data(), value.size());
  }
  value.resize(length < 0 || static_cast<size_t>(length) > value.size() ? 0 : static_cast<size_t>(length));
  return value;
}

std::string Description(const Model& model) {
  char text[128];
  const int32_t length = model.libs().llama_model_desc(model.handle(), text, sizeof text);
  return length < 0 ? "" : text;
}

napi_value Facts(napi_env env, const Model& model) {
  const Libs& libs = model.libs();
  const TokenId bos = libs.llama_vocab_bos(model.vocab()), eos = libs.llama_vocab_eos(model.vocab());
  const llama_model* handle = model.handle();
  return Made(env)
      .Set("vocabSize", MakeNumber(env, model.vocab_size()))
      .Set("contextTrained", MakeNumber(env, model.context_trained()))
      .Set("stopIds", MakeIds(env, model.stop_ids()))
      .Set("bosText", MakeText(env, TokenText(model, bos)))
      .Set("eosText", MakeText(env, TokenText(model, eos)))
      .Set("vectorSize", MakeNumber(env, libs.llama_model_n_embd_out(handle)))
      .Set("architecture", MakeText(env, MetadataOf(model, "general.architecture")))
      .Set("description", MakeText(env, Description(model)))
      .Set("parameterCount", MakeNumber(env, static_cast<double>(libs.llama_model_n_params(handle))))
      .Set("bytes", MakeNumber(env, static_cast<double>(libs.llama_model_size(handle))))
      .Set("isRecurrent", MakeFlag(env, libs.llama_model_is_recurrent(handle) || libs.llama_model_is_hybrid(handle)))
      .Method("tokenize", Tokenize)
      .Method("tokenizeWhole", TokenizeWhole)
      .Method("metadata", Metadata)
      .Method("piece", Piece)
      .Method("controlTexts", ControlTexts)
      .value();
}

class LoadWork : public AsyncWork {
 public:
  LoadWork(const Libs& libs, ModelSpec spec) : libs_(libs), spec_(std::move(spec)) {}

  void Run() override { model_ = Model::Load(libs_, spec_, &reason_); }

  napi_value Finish(napi_env env, std::string* error) override {
    if (model_ == nullptr) *error = reason_.empty() ? "refused" : reason_;
    if (!error->empty()) return nullptr;
    auto handle = std::make_unique<ModelHandle>();
    handle->model = std::move(model_);
    napi_value object = Facts(env, *handle->model);
    return object != nullptr && Wrap(env, object, kModelTag, std::move(handle)) ? object : nullptr;
  }

 private:
  const Libs& libs_;
  const ModelSpec spec_;
  std::unique_ptr<Model> model_;
  std::string reason_;
};

enum class TextKind { kPlain, kRendered, kWhole };

class TokenizeWork : public AsyncWork {
 public:
  TokenizeWork(std::shared_ptr<const Model> model, std::string text, TextKind kind)
      : model_(std::move(model)), text_(std::move(text)), kind_(kind) {}

  void Run() override {
    const bool is_whole = kind_ == TextKind::kWhole;
    ids_ = is_whole ? model_->TokenizeWhole(text_) : model_->Tokenize(text_, kind_ == TextKind::kRendered);
  }
  napi_value Finish(napi_env env, std::string*) override { return MakeIds(env, ids_); }

 private:
  const std::shared_ptr<const Model> model_;
  const std::string text_;
  const TextKind kind_;
  std::vector<TokenId> ids_;
};

bool ReadTokenizable(napi_env env, napi_value value, std::string* text) {
  return ReadText(env, value, text) && text->size() <= static_cast<size_t>(std::numeric_limits<int32_t>::max());
}

// tokenize(text: string, parseSpecial: boolean): Promise<Uint32Array>
napi_value Tokenize(napi_env env, napi_callback_info info) {
  const Args<2> args(env, info);
  const auto model = ModelOf(env, args.self);
  std::string text;
  bool parse_special = false;
  if (model == nullptr) return nullptr;
  if (!ReadTokenizable(env, args.values[0], &text) || !ReadFlag(env, args.values[1], &parse_special)) {
    return ThrowType(env, "tokenize takes a text and a flag");
  }
  const TextKind kind = parse_special ? TextKind::kRendered : TextKind::kPlain;
  return StartWork(env, std::make_unique<TokenizeWork>(model, std::move(text), kind));
}

// tokenizeWhole(text: string): Promise<Uint32Array>
napi_value TokenizeWhole(napi_env env, napi_callback_info info) {
  const Args<1> args(env, info);
  const auto model = ModelOf(env, args.self);
  std::string text;
  if (model == nullptr) return nullptr;
  if (!ReadTokenizable(env, args.values[0], &text)) return ThrowType(env, "tokenizeWhole takes a text");
  return StartWork(env, std::make_unique<TokenizeWork>(model, std::move(text), TextKind::kWhole));
}

// metadata(key: string): string, '' where the file has none
napi_value Metadata(napi_env env, napi_callback_info info) {
  const Args<1> args(env, info);
  const auto model = ModelOf(env, args.self);
  std::string key;
  if (model == nullptr) return nullptr;
  if (!ReadText(env, args.values[0], &key)) return ThrowType(env, "metadata takes a key");
  return MakeText(env, MetadataOf(*model, key.c_str()));
}

// piece(id: number, special: boolean): Uint8Array
napi_value Piece(napi_env env, napi_callback_info info) {
  const Args<2> args(env, info);
  const auto model = ModelOf(env, args.self);
  uint32_t id = 0;
  bool is_special = false;
  if (model == nullptr) return nullptr;
  if (!ReadCount(env, args.values[0], 0, static_cast<uint32_t>(model->vocab_size()) - 1, &id) ||
      !ReadFlag(env, args.values[1], &is_special)) {
    return ThrowType(env, "piece takes an id of the vocabulary and a flag");
  }
  const std::string& bytes = model->Piece(static_cast<TokenId>(id), is_special);
  return MakeBytes(env, bytes.data(), bytes.size());
}

// controlTexts(): string[], the texts of all control tokens
napi_value ControlTexts(napi_env env, napi_callback_info info) {
  const Args<0> args(env, info);
  const auto model = ModelOf(env, args.self);
  napi_value texts = nullptr;
  if (model == nullptr || napi_create_array(env, &texts) != napi_ok) return nullptr;
  uint32_t count = 0;
  for (TokenId id = 0; id < model->vocab_size(); id++) {
    if (!model->IsControl(id)) continue;
    napi_value text = MakeText(env, TokenText(*model, id));
    if (text == nullptr || napi_set_element(env, texts, count++, text) != napi_ok) return nullptr;
  }
  return texts;
}

}  // namespace

napi_value LoadModel(napi_env env, const Libs& libs, napi_value spec) {
  Fields fields(env, "loadModel", spec);
  ModelSpec model;
  model.path = fields.Text("path");
  model.gpu_layers = fields.Integer("gpuLayers", -1, kLayersMax);
  model.tensor_split = fields.Floats("tensorSplit");
  model.vocab_only = fields.Flag("vocabOnly");
  return fields.Check() ? StartWork(env, std::make_unique<LoadWork>(libs, std::move(model))) : nullptr;
}

std::shared_ptr<const Model> ModelOf(napi_env env, napi_value object) {
  const auto* handle = Unwrap<ModelHandle>(env, object, kModelTag);
  return handle == nullptr ? nullptr : handle->model;
}

}  // namespace cfab
