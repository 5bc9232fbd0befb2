// The functions of llama.cpp and ggml that the engine calls, taken at run time from libraries that somebody else built.
//
// Why not linked: the prebuilt libraries are an exact version inside an npm package, in one folder for each kind of device; which of
// them fits this machine is known when the program runs. Only the C API is used.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ggml-backend.h"
#include "ggml.h"
#include "llama.h"

namespace cfab {

// Absolute paths. They are opened in this order, never closed, and their symbols stay local to each.
struct LibraryPaths {
  std::string ggml_base;
  std::string ggml;
  std::string llama;
  // Compute backends to register, the processor's own variant first: exactly one of those, then devices.
  std::vector<std::string> backends;
};

// X(name): one member `name` of the function's own type for each.
#define CFAB_LLAMA_FUNCTIONS(X)      \
  X(llama_attach_threadpool)         \
  X(llama_backend_init)              \
  X(llama_context_default_params)    \
  X(llama_decode)                    \
  X(llama_free)                      \
  X(llama_get_embeddings_seq)        \
  X(llama_get_logits_ith)            \
  X(llama_get_memory)                \
  X(llama_init_from_model)           \
  X(llama_log_set)                   \
  X(llama_max_devices)               \
  X(llama_memory_clear)              \
  X(llama_memory_seq_cp)             \
  X(llama_memory_seq_pos_min)        \
  X(llama_memory_seq_rm)             \
  X(llama_model_default_params)      \
  X(llama_model_desc)                \
  X(llama_model_free)                \
  X(llama_model_get_vocab)           \
  X(llama_model_has_encoder)         \
  X(llama_model_is_diffusion)        \
  X(llama_model_is_hybrid)           \
  X(llama_model_is_recurrent)        \
  X(llama_model_load_from_file)      \
  X(llama_model_meta_val_str)        \
  X(llama_model_n_ctx_train)         \
  X(llama_model_n_embd_out)          \
  X(llama_model_n_params)            \
  X(llama_model_n_swa)               \
  X(llama_model_quantize_default_params) \
  X(llama_model_size)                \
  X(llama_n_ctx_seq)                 \
  X(llama_sampler_accept)            \
  X(llama_sampler_apply)             \
  X(llama_sampler_free)              \
  X(llama_sampler_init_grammar)      \
  X(llama_set_abort_callback)        \
  X(llama_synchronize)               \
  X(llama_token_to_piece)            \
  X(llama_tokenize)                  \
  X(llama_version)                   \
  X(llama_vocab_bos)                 \
  X(llama_vocab_eos)                 \
  X(llama_vocab_eot)                 \
  X(llama_vocab_get_add_bos)         \
  X(llama_vocab_get_attr)            \
  X(llama_vocab_get_text)            \
  X(llama_vocab_is_eog)              \
  X(llama_vocab_n_tokens)            \
  X(llama_vocab_type)

#define CFAB_GGML_FUNCTIONS(X)         \
  X(ggml_backend_dev_by_type)          \
  X(ggml_backend_dev_backend_reg)      \
  X(ggml_backend_dev_count)            \
  X(ggml_backend_dev_description)      \
  X(ggml_backend_dev_get)              \
  X(ggml_backend_dev_memory)           \
  X(ggml_backend_dev_name)             \
  X(ggml_backend_dev_type)             \
  X(ggml_backend_load)                 \
  X(ggml_backend_reg_get_proc_address)

#define CFAB_GGML_BASE_FUNCTIONS(X) X(ggml_threadpool_params_default)

struct Libs {
#define CFAB_MEMBER(name) decltype(&::name) name = nullptr;
  CFAB_LLAMA_FUNCTIONS(CFAB_MEMBER)
  CFAB_GGML_FUNCTIONS(CFAB_MEMBER)
  CFAB_GGML_BASE_FUNCTIONS(CFAB_MEMBER)
#undef CFAB_MEMBER
  // Of the processor's backend; null where it has none.
  ggml_threadpool* (*threadpool_new)(ggml_threadpool_params* params) = nullptr;
  void (*threadpool_free)(ggml_threadpool* pool) = nullptr;
};

// Opens the libraries once in a process: a second folder in one process would give a graph of two builds.
//
// Returns null with the reason in `error`: a file that cannot be opened, a function that is missing, a backend that refuses this
// processor, another set of paths than an earlier call's, or that an earlier call failed.
const Libs* OpenLibs(const LibraryPaths& paths, std::string* error);

// The bytes of the default-parameter structs (model, context, quantization), one hexadecimal line each; ".." for a byte that the library
// does not write. Equal to those of the build, or the headers are not those of the libraries.
std::string DefaultsOf(const Libs& libs);

// Keeps what llama.cpp logs as an error on this thread while it lives; standard error shows it too, unless it is a quiet one. One at a
// time on a thread.
class ErrorLog {
 public:
  explicit ErrorLog(bool is_quiet = false);
  ~ErrorLog();
  ErrorLog(const ErrorLog&) = delete;
  ErrorLog& operator=(const ErrorLog&) = delete;
  const std::string& text() const { return text_; }
  bool Says(const char* words) const { return text_.find(words) != std::string::npos; }
  // llama.cpp says what went wrong in words only.
  bool IsOutOfMemory() const;

 private:
  friend void LogError(ggml_log_level level, const char* text, void*);
  const bool is_quiet_;
  std::string text_;
};

}  // namespace cfab
