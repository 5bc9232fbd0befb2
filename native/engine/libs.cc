#include "libs.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <iterator>
#include <mutex>
#include <new>

namespace cfab {

namespace {
// The one that lives on this thread.
thread_local ErrorLog* error_log = nullptr;
}  // namespace

// What llama.cpp says besides errors is of no use to whoever runs a node.
void LogError(ggml_log_level level, const char* text, void*) {
  static thread_local bool is_error = false;
  if (level != GGML_LOG_LEVEL_CONT) is_error = level == GGML_LOG_LEVEL_ERROR;
  if (!is_error) return;
  if (error_log == nullptr || !error_log->is_quiet_) std::fputs(text, stderr);
  if (error_log != nullptr) error_log->text_.append(text);
}

ErrorLog::ErrorLog(bool is_quiet) : is_quiet_(is_quiet) { error_log = this; }
ErrorLog::~ErrorLog() { error_log = nullptr; }

bool ErrorLog::IsOutOfMemory() const {
  constexpr const char* kWords[] = {"failed to allocate", "unable to allocate", "Cannot allocate", "bad_alloc", "out of memory"};
  return std::any_of(std::begin(kWords), std::end(kWords), [this](const char* words) { return Says(words); });
}

namespace {

bool operator==(const LibraryPaths& a, const LibraryPaths& b) {
  return a.ggml_base == b.ggml_base && a.ggml == b.ggml && a.llama == b.llama && a.backends == b.backends;
}

// Finds functions in an opened library; the first that is missing is remembered.
class Finder {
 public:
  Finder(void* library, std::string* error) : library_(library), error_(error) {}

  template <typename Function>
  void Find(const char* name, Function* function) {
    *function = reinterpret_cast<Function>(dlsym(library_, name));
    if (*function == nullptr && error_->empty()) *error_ = std::string("missing function ") + name;
  }

 private:
  void* const library_;
  std::string* const error_;
};

// dlopen of a bare name would search the system's folders.
bool AreAbsolute(const LibraryPaths& paths, std::string* error) {
  std::vector<std::string> all = paths.backends;
  all.insert(all.end(), {paths.ggml_base, paths.ggml, paths.llama});
  for (const std::string& path : all) {
    if (path.empty() || path[0] != '/') *error = "not an absolute path: " + path;
  }
  if (paths.backends.empty()) *error = "no backend is named";
  return error->empty();
}

void* Open(const std::string& path, std::string* error) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) *error = dlerror();
  return library;
}

// Registers the backends, the processor's first, and takes from that what its headers do not export.
bool LoadBackends(const std::vector<std::string>& paths, Libs* libs, std::string* error) {
  for (const std::string& path : paths) {
    // Null where the library needs an instruction that this processor lacks, or was built against another ggml.
    if (libs->ggml_backend_load(path.c_str()) == nullptr) *error = "refused: " + path;
    if (!error->empty()) return false;
  }
  ggml_backend_dev_t cpu = libs->ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
  if (cpu == nullptr) {
    *error = "no backend for the processor";
    return false;
  }
  ggml_backend_reg_t registry = libs->ggml_backend_dev_backend_reg(cpu);
  const auto find = libs->ggml_backend_reg_get_proc_address;
  libs->threadpool_new = reinterpret_cast<decltype(libs->threadpool_new)>(find(registry, "ggml_threadpool_new"));
  libs->threadpool_free = reinterpret_cast<decltype(libs->threadpool_free)>(find(registry, "ggml_threadpool_free"));
  return true;
}

bool OpenAll(const LibraryPaths& paths, Libs* libs, std::string* error) {
  void* ggml_base = Open(paths.ggml_base, error);
  void* ggml = ggml_base == nullptr ? nullptr : Open(paths.ggml, error);
  void* llama = ggml == nullptr ? nullptr : Open(paths.llama, error);
  if (llama == nullptr) return false;
  Finder in_base(ggml_base, error), in_ggml(ggml, error), in_llama(llama, error);
#define CFAB_FIND_IN_BASE(name) in_base.Find(#name, &libs->name);
#define CFAB_FIND_IN_GGML(name) in_ggml.Find(#name, &libs->name);
#define CFAB_FIND_IN_LLAMA(name) in_llama.Find(#name, &libs->name);
  CFAB_GGML_BASE_FUNCTIONS(CFAB_FIND_IN_BASE)
  CFAB_GGML_FUNCTIONS(CFAB_FIND_IN_GGML)
  CFAB_LLAMA_FUNCTIONS(CFAB_FIND_IN_LLAMA)
#undef CFAB_FIND_IN_BASE
#undef CFAB_FIND_IN_GGML
#undef CFAB_FIND_IN_LLAMA
  if (!error->empty()) return false;
  libs->llama_log_set(LogError, nullptr);
  if (!LoadBackends(paths.backends, libs, error)) return false;
  libs->llama_backend_init();
  return true;
}

// What a function writes into memory full of `fill`.
//
// The barrier is there because a compiler may leave out writes to memory in which an object is about to begin its life.
template <typename Params>
std::array<unsigned char, sizeof(Params)> BytesOf(Params (*defaults)(), unsigned char fill) {
  alignas(Params) std::array<unsigned char, sizeof(Params)> bytes;
  bytes.fill(fill);
  __asm__ volatile("" : : "r"(bytes.data()) : "memory");
  new (bytes.data()) Params(defaults());
  return bytes;
}

template <typename Params>
std::string HexOf(Params (*defaults)()) {
  const auto over_zeros = BytesOf(defaults, 0x00);
  const auto over_ones = BytesOf(defaults, 0xff);
  std::string hex;
  for (size_t at = 0; at < sizeof(Params); at++) {
    char pair[3] = "..";
    if (over_zeros[at] == over_ones[at]) std::snprintf(pair, sizeof pair, "%02x", over_zeros[at]);
    hex += pair;
  }
  return hex + "\n";
}

}  // namespace

const Libs* OpenLibs(const LibraryPaths& paths, std::string* error) {
  static std::mutex mutex;
  // Kept until the process ends: threads of a backend may outlive whoever opened it.
  static Libs* opened = nullptr;
  static LibraryPaths tried;
  const std::lock_guard<std::mutex> lock(mutex);
  error->clear();
  // A failure is final too: what was mapped stays mapped, and must not be mixed with another build.
  const bool is_first = tried.llama.empty();
  if (!is_first && !(tried == paths)) *error = "other libraries were opened in this process";
  if (!is_first && error->empty() && opened == nullptr) *error = "an earlier attempt failed";
  if (!error->empty()) return nullptr;
  if (!is_first) return opened;
  if (!AreAbsolute(paths, error)) return nullptr;
  tried = paths;
  auto libs = std::make_unique<Libs>();
  if (OpenAll(paths, libs.get(), error)) opened = libs.release();
  return opened;
}

std::string DefaultsOf(const Libs& libs) {
  return HexOf(libs.llama_model_default_params) + HexOf(libs.llama_context_default_params) +
         HexOf(libs.llama_model_quantize_default_params);
}

}  // namespace cfab
