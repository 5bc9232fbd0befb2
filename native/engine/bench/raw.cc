// A bare loop over llama.cpp: as fast as the same libraries go with nothing around them. Greedy, contiguous sequences.
//
//   raw --libraries=folder --model=file [--streams=1] [--threads=1] [--context=512] [--prompt=16] [--tokens=128] [--chunk=63]
// [--repeats=3] [--sample=argmax|none] [--pool=1]
//
// Prints one line of JSON for each repeat: {"prefill_tokens_per_s", "decode_tokens_per_s", "decode_ms_per_step", ...}. `--prompt`
// tokens are read into each stream in passes of `--chunk`, then each stream takes `--tokens` steps. `--pool=0` lets llama.cpp
// make threads for each pass, as programs do that attach none. Variants of the processor's backend are chosen as the tests choose
// them.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "../batch.h"
#include "../test/fixtures.h"
#include "../threads.h"

using namespace cfab;

namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::map<std::string, std::string> values;

  std::string Text(const std::string& name, const std::string& fallback) const {
    const auto found = values.find(name);
    return found == values.end() ? fallback : found->second;
  }
  uint32_t Number(const std::string& name, uint32_t fallback) const {
    return static_cast<uint32_t>(std::strtoul(Text(name, std::to_string(fallback)).c_str(), nullptr, 10));
  }
};

Options Parse(int argc, char** argv) {
  Options options;
  for (int at = 1; at < argc; at++) {
    const std::string argument = argv[at];
    const size_t equals = argument.find('=');
    if (argument.rfind("--", 0) != 0 || equals == std::string::npos) {
      std::fprintf(stderr, "not an option: %s\n", argument.c_str());
      std::exit(64);
    }
    options.values[argument.substr(2, equals - 2)] = argument.substr(equals + 1);
  }
  return options;
}

double SecondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

class Loop {
 public:
  Loop(const Model& model, const Options& options)
      : libs_(model.libs()),
        vocab_size_(model.vocab_size()),
        streams_(options.Number("streams", 1)),
        chunk_(options.Number("chunk", 63)),
        prompt_(options.Number("prompt", 16)),
        chooses_(options.Text("sample", "argmax") == "argmax"),
        batch_(std::max(chunk_, streams_), streams_) {
    const auto threads = static_cast<int32_t>(options.Number("threads", 1));
    llama_context_params params = libs_.llama_context_default_params();
    params.n_ctx = options.Number("context", 512) * streams_;
    params.n_seq_max = streams_;
    params.n_batch = params.n_ubatch = std::max({chunk_, streams_, 32u});
    params.n_threads = params.n_threads_batch = threads;
    params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED;
    params.swa_full = false;
    params.no_perf = true;
    context_ = libs_.llama_init_from_model(model.handle(), params);
    if (context_ == nullptr) std::exit(70);
    if (options.Number("pool", 1) == 1) threads_ = Threads::Create(libs_, threads);
    if (threads_ != nullptr) libs_.llama_attach_threadpool(context_, threads_->handle(), threads_->handle());
  }

  ~Loop() { libs_.llama_free(context_); }

  // Reads the prompt into every stream.
  void Prefill() {
    libs_.llama_memory_clear(libs_.llama_get_memory(context_), false);
    last_.assign(streams_, 0);
    for (uint32_t stream = 0; stream < streams_; stream++) {
      for (uint32_t from = 0; from < prompt_; from += chunk_) ReadChunk(stream, from, std::min(prompt_, from + chunk_));
    }
  }

  // One token of every stream.
  void Step(uint32_t position) {
    batch_.Clear();
    for (uint32_t stream = 0; stream < streams_; stream++) batch_.Add(last_[stream], position, stream, true);
    Decode();
    for (uint32_t stream = 0; stream < streams_; stream++) last_[stream] = Choose(stream);
  }

 private:
  void ReadChunk(uint32_t stream, uint32_t from, uint32_t to) {
    batch_.Clear();
    for (uint32_t at = from; at < to; at++) {
      const auto id = static_cast<TokenId>(3 + (at * 7919u + stream * 104729u) % static_cast<uint32_t>(vocab_size_ - 4));
      batch_.Add(id, at, stream, at + 1 == prompt_);
    }
    Decode();
    if (to == prompt_) last_[stream] = Choose(to - from - 1);
  }

  void Decode() {
    if (libs_.llama_decode(context_, batch_.View()) != 0) std::exit(70);
    libs_.llama_synchronize(context_);
  }

  TokenId Choose(uint32_t at) const {
    if (!chooses_) return 5;
    const float* row = libs_.llama_get_logits_ith(context_, static_cast<int32_t>(at));
    return static_cast<TokenId>(std::max_element(row, row + vocab_size_) - row);
  }

  const Libs& libs_;
  const int32_t vocab_size_;
  const uint32_t streams_;
  const uint32_t chunk_;
  const uint32_t prompt_;
  const bool chooses_;
  Batch batch_;
  std::unique_ptr<Threads> threads_;
  llama_context* context_ = nullptr;
  std::vector<TokenId> last_;
};

void Repeat(Loop* loop, const Options& options) {
  const uint32_t streams = options.Number("streams", 1);
  const uint32_t prompt = options.Number("prompt", 16);
  const uint32_t tokens = options.Number("tokens", 128);
  auto start = Clock::now();
  loop->Prefill();
  const double prefill_s = SecondsSince(start);
  start = Clock::now();
  for (uint32_t step = 0; step < tokens; step++) loop->Step(prompt + step);
  const double decode_s = SecondsSince(start);
  std::printf("{\"streams\":%u,\"threads\":%u,\"prefill_tokens\":%u,\"prefill_s\":%.6f,\"prefill_tokens_per_s\":%.2f,", streams,
              options.Number("threads", 1), prompt * streams, prefill_s, prompt * streams / prefill_s);
  std::printf("\"decode_tokens\":%u,\"decode_s\":%.6f,\"decode_tokens_per_s\":%.2f,\"decode_ms_per_step\":%.4f}\n",
              tokens * streams, decode_s, tokens * streams / decode_s, decode_s * 1000 / tokens);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = Parse(argc, argv);
  // Where the fixtures look.
  setenv("CFAB_TEST_LIBRARIES", options.Text("libraries", test::Environment("CFAB_TEST_LIBRARIES")).c_str(), 1);
  setenv("CFAB_TEST_MODEL", options.Text("model", test::Environment("CFAB_TEST_MODEL")).c_str(), 1);
  Loop loop(test::TestModel(), options);
  for (uint32_t repeat = 0; repeat < options.Number("repeats", 3); repeat++) Repeat(&loop, options);
}
