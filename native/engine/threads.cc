#include "threads.h"

namespace cfab {
namespace {

// How long a thread that is out of work spins before it sleeps, in ggml's unit of 131,072 pauses: some milliseconds, so that the
// choice of tokens between two passes does not cost a wake-up, and no processor is burned while the engine idles. ggml's own 50
// spins for a quarter of a second.
constexpr uint32_t kPollLevel = 1;

}  // namespace

std::unique_ptr<Threads> Threads::Create(const Libs& libs, int32_t count) {
  if (libs.threadpool_new == nullptr || libs.threadpool_free == nullptr) return nullptr;
  ggml_threadpool_params params = libs.ggml_threadpool_params_default(count);
  params.poll = kPollLevel;
  ggml_threadpool* handle = libs.threadpool_new(&params);
  return handle == nullptr ? nullptr : std::unique_ptr<Threads>(new Threads(libs, handle));
}

Threads::~Threads() { libs_.threadpool_free(handle_); }

}  // namespace cfab
