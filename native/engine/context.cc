#include "context.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

namespace cfab {
namespace {

// llama.cpp's own step of context sizes.
constexpr uint32_t kContextPad = 256;
// Memory for the rows of logits of one pass.
constexpr uint64_t kRowsBytes = 32 << 20;
constexpr uint32_t kRowsMin = 64;
constexpr uint32_t kRowsMax = 256;

std::string MetaOf(const Model& model, const std::string& key) {
  std::array<char, 128> value{};
  const int32_t length = model.libs().llama_model_meta_val_str(model.handle(), key.c_str(), value.data(), value.size());
  return length < 0 ? "" : value.data();
}

// As the file says it: the context knows only after it was made, and must be made otherwise.
enum llama_pooling_type PoolingOf(const Model& model) {
  const std::string value = MetaOf(model, MetaOf(model, "general.architecture") + ".pooling_type");
  return value.empty() ? LLAMA_POOLING_TYPE_NONE : static_cast<enum llama_pooling_type>(std::atoi(value.c_str()));
}

bool Pools(const Model& model) {
  const enum llama_pooling_type type = PoolingOf(model);
  return type == LLAMA_POOLING_TYPE_MEAN || type == LLAMA_POOLING_TYPE_CLS || type == LLAMA_POOLING_TYPE_LAST;
}

// What kinds of models there are no steps for; "" for the others.
std::string UnsupportedKind(const Model& model) {
  const Libs& libs = model.libs();
  if (PoolingOf(model) == LLAMA_POOLING_TYPE_RANK) return "reranker_unsupported";
  if (libs.llama_model_is_diffusion(model.handle())) return "diffusion_unsupported";
  if (libs.llama_model_has_encoder(model.handle())) return "encoder_decoder_unsupported";
  return "";
}

bool IsPositional(const Model& model) {
  return !model.libs().llama_model_is_recurrent(model.handle()) && !model.libs().llama_model_is_hybrid(model.handle());
}

uint32_t Padded(uint32_t tokens) { return (tokens + kContextPad - 1) / kContextPad * kContextPad; }

uint32_t PassTokens(const ContextSpec& spec, bool pools) {
  const uint32_t tokens = std::max(spec.prefill_tokens_max, spec.slot_count);
  // A text is pooled in one pass.
  if (pools) return std::max(tokens, spec.context_tokens);
  return std::min(tokens, Padded(spec.context_tokens * spec.slot_count));
}

// Every token of a pass may ask, but the memory for that would be larger than the model's where the vocabulary is large.
uint32_t PassRows(const Model& model, const ContextSpec& spec, uint32_t pass_tokens) {
  const uint64_t row_bytes = sizeof(float) * static_cast<uint64_t>(std::max(model.vocab_size(), 1));
  const auto rows = static_cast<uint32_t>(std::min<uint64_t>(kRowsBytes / row_bytes, kRowsMax));
  return std::min(pass_tokens, std::max({rows, kRowsMin, spec.slot_count}));
}

}  // namespace

Context::Context(const Model& model, const ContextSpec& spec)
    : model_(model),
      libs_(model.libs()),
      spec_(spec),
      pools_(Pools(model)),
      is_positional_(IsPositional(model)),
      window_tokens_(static_cast<uint32_t>(std::max(model.libs().llama_model_n_swa(model.handle()), 0))),
      pass_tokens_max_(PassTokens(spec, pools_)),
      pass_rows_max_(PassRows(model, spec, pass_tokens_max_)) {}

std::unique_ptr<Context> Context::Create(const Model& model, const ContextSpec& spec, std::string* error) {
  *error = UnsupportedKind(model);
  if (spec.context_tokens == 0 || spec.slot_count == 0 || spec.threads < 1) *error = "refused";
  if (!error->empty()) return nullptr;
  std::unique_ptr<Context> context(new Context(model, spec));
  return context->Open(error) ? std::move(context) : nullptr;
}

bool Context::Open(std::string* error) {
  const ErrorLog errors;
  handle_ = libs_.llama_init_from_model(model_.handle(), Params());
  if (handle_ == nullptr) {
    *error = errors.IsOutOfMemory() ? "out_of_memory" : "refused";
    return false;
  }
  memory_ = libs_.llama_get_memory(handle_);
  if (memory_ == nullptr && !pools_) {
    *error = "encoder_unsupported";
    return false;
  }
  context_tokens_ = pools_ ? spec_.context_tokens : libs_.llama_n_ctx_seq(handle_);
  // What a recurrent model has half computed cannot be taken back.
  if (is_positional_) libs_.llama_set_abort_callback(handle_, IsAborted, this);
  TakeThreads();
  return true;
}

void Context::TakeThreads() {
  threads_ = Threads::Create(libs_, spec_.threads);
  if (threads_ != nullptr) libs_.llama_attach_threadpool(handle_, threads_->handle(), threads_->handle());
}

Context::~Context() {
  if (handle_ != nullptr) libs_.llama_free(handle_);
}

// As node-llama-cpp's add-on sets them, so that both drivers compute the same bits; only the size of a pass is our own.
llama_context_params Context::Params() const {
  llama_context_params params = libs_.llama_context_default_params();
  params.n_ctx = pools_ ? Padded(pass_tokens_max_) : Padded(spec_.context_tokens * spec_.slot_count);
  params.n_batch = pass_tokens_max_;
  params.n_ubatch = pass_tokens_max_;
  params.n_seq_max = spec_.slot_count;
  params.n_threads = spec_.threads;
  params.n_threads_batch = spec_.threads;
  params.flash_attn_type = spec_.flash_attention ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
  params.type_k = spec_.kv_type;
  params.type_v = spec_.kv_type;
  params.offload_kqv = spec_.offload_kv;
  params.no_perf = true;
  params.swa_full = false;
  // Texts of different lengths must not be split into passes of one length, as they are where each sequence has memory of its
  // own.
  params.kv_unified = pools_;
  params.embeddings = pools_;
  if (!pools_) params.n_outputs_max = pass_rows_max_;
  return params;
}

bool Context::IsAborted(void* context) { return static_cast<Context*>(context)->aborts_.load(std::memory_order_relaxed); }

Context::Passed Context::Run(Batch* batch) {
  int32_t result = 0;
  {
    // An abort is no error.
    const ErrorLog errors(true);
    result = libs_.llama_decode(handle_, batch->View());
    if (result == 0) libs_.llama_synchronize(handle_);
    if (result != 0 && result != 2) std::fputs(errors.text().c_str(), stderr);
  }
  if (result == 0) return Passed::kDone;
  return result == 2 ? Passed::kAborted : Passed::kFailed;
}

const float* Context::LogitsOf(uint32_t at) const { return libs_.llama_get_logits_ith(handle_, static_cast<int32_t>(at)); }

const float* Context::VectorOf(uint32_t slot) const {
  return libs_.llama_get_embeddings_seq(handle_, static_cast<llama_seq_id>(slot));
}

void Context::Forget(uint32_t slot) { libs_.llama_memory_seq_rm(memory_, static_cast<llama_seq_id>(slot), -1, -1); }

void Context::ForgetAll() {
  if (memory_ != nullptr) libs_.llama_memory_clear(memory_, false);
}

bool Context::ForgetFrom(uint32_t slot, uint32_t kept) {
  const auto sequence = static_cast<llama_seq_id>(slot);
  if (!is_positional_) return false;
  // A window may have let go of what the next token looks back on.
  const llama_pos first = libs_.llama_memory_seq_pos_min(memory_, sequence);
  const llama_pos needed = kept > window_tokens_ ? static_cast<llama_pos>(kept - window_tokens_) : 0;
  if (first < 0 || (first > 0 && (window_tokens_ == 0 || first > needed))) return false;
  return libs_.llama_memory_seq_rm(memory_, sequence, static_cast<llama_pos>(kept), -1);
}

void Context::Move(uint32_t from, uint32_t to) {
  libs_.llama_memory_seq_cp(memory_, static_cast<llama_seq_id>(from), static_cast<llama_seq_id>(to), -1, -1);
  Forget(from);
}

}  // namespace cfab
