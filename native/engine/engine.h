// Runs one model for many callers: continuous batching on a thread of its own. Plain C++; skin.cc shows it to JavaScript.
//
// A step: admit what waits into free slots, decode one token of every running sequence in one pass, read a chunk of a prompt or
// of an audit in another, choose tokens, report, retire what ended. Slots that generate stay contiguous: sequences move down into
// gaps.
//
// A chunk is computed as one pass that holds nothing but chunks of the same size, so that a committed schedule is what really
// ran: on a processor the same chunks give the same bits alone, with others, and for any count of threads. So does an output, fed
// token by token or in chunks up to 63, where weights are quantized; with two or more threads a stream that decodes alone beyond
// 256 tokens gives other last bits, as does any stream of float weights that decodes alone.
//
// Every method may be called from any thread; none waits for a step but Drain and the destructor, which ends all jobs as aborted.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "model.h"
#include "sampling.h"

namespace cfab {

using CallId = uint32_t;

struct ContextSpec {
  uint32_t context_tokens = 0;  // of one sequence
  uint32_t slot_count = 1;
  int32_t threads = 1;
  uint32_t prefill_tokens_max = 512;  // the largest prompt chunk of any job: the physical batch
  ggml_type kv_type = GGML_TYPE_F16;
  bool flash_attention = true;
  bool offload_kv = true;
  // Jobs that wait for a slot; one more is refused with kQueueFull.
  uint32_t waiting_max = 1024;
  // Sequences kept for a later prompt with the same beginning, in slots where nobody runs; 0 turns the prefix cache off.
  uint32_t cached_sequences_max = 0;
};

enum class Priority : uint8_t { kNormal, kLow };
enum class Finish : uint8_t { kNone, kStop, kLength, kAborted };
// kDecodeFailed also for what no pass can compute: ids that the model does not have, more tokens than the context holds, chunks
// that do not sum to the prompt, a job that is not for this kind of model.
enum class Failure : uint8_t { kNone, kQueueFull, kDecodeFailed, kGrammarInvalid, kGrammarStuck };

struct GenerateJob {
  CallId call = 0;
  std::vector<TokenId> prompt;
  // Sizes of the forward passes that read the prompt, each <= prefill_tokens_max; they sum to its length.
  std::vector<uint32_t> chunks;
  // The output's first tokens where another has said them already: read behind the prompt in chunks that give the bits of single
  // tokens, and the output goes on after them. Fewer than max_tokens, which counts them, and none that ends an output.
  std::vector<TokenId> prefix;
  SamplingSpec sampling;
  std::string grammar;
  uint32_t max_tokens = 1;
  std::vector<std::string> stop;
  // -1: no alternatives.
  int32_t top_logprobs = -1;
  // Control tokens that do not end the output appear in its text.
  bool show_control = false;
  Priority priority = Priority::kNormal;
  // Prompts of the same key may share what was computed for their common beginning; '' shares nothing.
  std::string cache_key;
};

struct AuditJob {
  CallId call = 0;
  std::vector<TokenId> prompt;
  std::vector<uint32_t> chunks;
  std::vector<TokenId> output;
  GumbelSpec sampling;
  Priority priority = Priority::kLow;
};

// Needs a model that pools; each text is one sequence, at most context_tokens long.
struct EmbedJob {
  CallId call = 0;
  std::vector<std::vector<TokenId>> texts;
};

struct Alternative {
  TokenId id;
  double logprob;
};

// One step's token of one sequence. The first alternative is the chosen token itself, the others the best, best first.
struct TokenReport {
  CallId call;
  uint32_t slot;  // may change from one report to the next
  TokenId id;     // -1 on a last report without a token
  double logprob;
  std::string text;
  Finish finish = Finish::kNone;
  std::vector<Alternative> alternatives;
  // Whether control tokens among the alternatives have a text, as GenerateJob has it.
  bool show_control = false;
};

struct AuditPosition {
  Margin margin;
  Candidates candidates;
};

struct AuditReport {
  CallId call;
  std::vector<AuditPosition> positions;  // one for each output id; empty: aborted
};

struct EmbedReport {
  CallId call;
  std::vector<std::vector<float>> vectors;  // unit length; empty: aborted
};

struct FailureReport {
  CallId call;
  Failure failure;
};

// All that one pass produced; also sent when that is nothing: a sign of life. A call's reports end with one that has a finish, an
// audit, an embed or a failure, and nothing of it follows.
struct StepReport {
  std::vector<TokenReport> tokens;
  std::vector<AuditReport> audits;
  std::vector<EmbedReport> embeds;
  std::vector<FailureReport> failures;
};

struct EngineMetrics {
  uint32_t slots_busy = 0;
  uint32_t jobs_waiting = 0;
  uint64_t steps = 0;
  uint64_t tokens_decoded = 0;
  uint64_t tokens_prefilled = 0;
  uint64_t tokens_audited = 0;
  uint64_t tokens_from_cache = 0;
  // Nanoseconds since the start, by what they went to.
  uint64_t decode_ns = 0;
  uint64_t prefill_ns = 0;
  uint64_t sample_ns = 0;
  uint64_t idle_ns = 0;
  uint64_t kv_tokens_used = 0;
};

// Called on the engine's thread; must not block and must not call back into the engine's Drain or destructor.
using OnStep = std::function<void(StepReport&&)>;

class Engine {
 public:
  // Null with a reason in `error`: "out_of_memory", "refused", or the kind of model that there are no steps for
  // ("encoder_unsupported", "encoder_decoder_unsupported", "diffusion_unsupported", "reranker_unsupported"). `model` must outlive
  // the engine. Models that pool only embed, all others only generate and audit. Models with a state in place of positions
  // (recurrent, hybrid) keep no prefixes.
  static std::unique_ptr<Engine> Create(const Model& model, const ContextSpec& spec, OnStep on_step, std::string* error);
  virtual ~Engine() = default;

  virtual void Generate(GenerateJob job) = 0;
  virtual void Audit(AuditJob job) = 0;
  virtual void Embed(EmbedJob job) = 0;
  // Ends a job within one step as kAborted; unknown or ended ones are none of our business.
  virtual void Cancel(CallId call) = 0;
  // Ends every generation, running or waiting; audits and embeddings go on.
  virtual void AbortGenerations() = 0;
  // Nothing is computed until Resume; jobs are still taken and can be cancelled.
  virtual void Pause() = 0;
  virtual void Resume() = 0;
  // Ends all jobs as aborted, and takes no more; does not wait for that.
  virtual void Stop() = 0;
  // Waits until nothing runs or waits; false when `timeout_ms` passes or the engine is stopped first.
  virtual bool Drain(uint32_t timeout_ms) = 0;
  virtual EngineMetrics Metrics() const = 0;
  // Tokens of one sequence that the context really has.
  virtual uint32_t context_tokens() const = 0;
};

}  // namespace cfab
