#include "skin_engine.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "engine.h"
#include "skin_jobs.h"
#include "skin_model.h"
#include "skin_steps.h"

namespace cfab {
namespace {

constexpr napi_type_tag kEngineTag = {0x2f0b5d1c7e6a4c39, 0xb1d86f3a90274e55};
constexpr uint32_t kContextTokensMax = 1 << 22;
constexpr uint32_t kSlotsMax = 64;
constexpr uint32_t kThreadsMax = 512;
constexpr uint32_t kWaitingMax = 65536;
constexpr uint32_t kDrainMsMax = 600'000;

// The engine goes before the model that it reads.
struct Running {
  std::shared_ptr<const Model> model;
  std::unique_ptr<Engine> engine;
};

struct EngineHandle {
  std::shared_ptr<Running> running;  // null once closed
  std::shared_ptr<StepQueue> queue;
  JobLimits limits;
};

// How long the end of a process waits for work on other threads to let go of an engine.
constexpr auto kLetGoMax = std::chrono::seconds(2);

// The engines of all environments of the process.
std::mutex handles_mutex;
std::multimap<napi_env, EngineHandle*> handles;

void Keep(napi_env env, EngineHandle* handle) {
  const std::lock_guard<std::mutex> lock(handles_mutex);
  handles.emplace(env, handle);
}

void Forget(napi_env env, const EngineHandle* handle) {
  const std::lock_guard<std::mutex> lock(handles_mutex);
  const auto range = handles.equal_range(env);
  const auto found = std::find_if(range.first, range.second, [handle](const auto& kept) { return kept.second == handle; });
  if (found != range.second) handles.erase(found);
}

// No thread may call into the environment any more, nor compute: what the libraries need for that is torn down soon.
void StopEngines(void* data) {
  std::vector<std::weak_ptr<Running>> stopping;
  {
    const std::lock_guard<std::mutex> lock(handles_mutex);
    const auto range = handles.equal_range(static_cast<napi_env>(data));
    for (auto kept = range.first; kept != range.second; ++kept) {
      std::shared_ptr<Running>& running = kept->second->running;
      kept->second->queue->Detach();
      if (running != nullptr) running->engine->Stop();
      stopping.push_back(running);
      running.reset();
    }
  }
  const auto deadline = std::chrono::steady_clock::now() + kLetGoMax;
  for (const std::weak_ptr<Running>& running : stopping) {
    while (!running.expired() && std::chrono::steady_clock::now() < deadline) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

napi_value OnExit(napi_env env, napi_callback_info) {
  StopEngines(env);
  return nullptr;
}

void Free(napi_env env, void* data, void*) {
  const std::unique_ptr<EngineHandle> handle(static_cast<EngineHandle*>(data));
  Forget(env, handle.get());
}

// Null with an error thrown for another object, and for an engine that was closed.
EngineHandle* HandleOf(napi_env env, napi_value object) {
  auto* handle = Unwrap<EngineHandle>(env, object, kEngineTag);
  if (handle != nullptr && handle->running == nullptr) napi_throw_error(env, nullptr, "the engine is closed");
  return handle == nullptr || handle->running == nullptr ? nullptr : handle;
}

Engine* EngineOf(napi_env env, napi_callback_info info) {
  const EngineHandle* handle = HandleOf(env, Args<0>(env, info).self);
  return handle == nullptr ? nullptr : handle->running->engine.get();
}

// generate(job): void; the job's fields are those that skin_jobs.cc reads
napi_value Generate(napi_env env, napi_callback_info info) {
  const Args<1> args(env, info);
  const EngineHandle* handle = HandleOf(env, args.self);
  GenerateJob job;
  if (handle == nullptr) return nullptr;
  // A getter of the job's may close the engine.
  const std::shared_ptr<Running> running = handle->running;
  if (ReadGenerate(env, args.values[0], handle->limits, &job)) running->engine->Generate(std::move(job));
  return nullptr;
}

// audit(job): void
napi_value Audit(napi_env env, napi_callback_info info) {
  const Args<1> args(env, info);
  const EngineHandle* handle = HandleOf(env, args.self);
  AuditJob job;
  if (handle == nullptr) return nullptr;
  const std::shared_ptr<Running> running = handle->running;
  if (ReadAudit(env, args.values[0], handle->limits, &job)) running->engine->Audit(std::move(job));
  return nullptr;
}

// embed(call: number, texts: Uint32Array[]): void
napi_value Embed(napi_env env, napi_callback_info info) {
  const Args<2> args(env, info);
  const EngineHandle* handle = HandleOf(env, args.self);
  EmbedJob job;
  if (handle == nullptr) return nullptr;
  const std::shared_ptr<Running> running = handle->running;
  if (ReadEmbed(env, args.values[0], args.values[1], handle->limits, &job)) running->engine->Embed(std::move(job));
  return nullptr;
}

// cancel(call: number): void
napi_value Cancel(napi_env env, napi_callback_info info) {
  const Args<1> args(env, info);
  const EngineHandle* handle = HandleOf(env, args.self);
  uint32_t call = 0;
  if (handle == nullptr) return nullptr;
  if (!ReadCount(env, args.values[0], 0, std::numeric_limits<uint32_t>::max(), &call)) return ThrowType(env, "cancel takes a call");
  handle->running->engine->Cancel(call);
  return nullptr;
}

// abortGenerations(): void
napi_value AbortGenerations(napi_env env, napi_callback_info info) {
  Engine* engine = EngineOf(env, info);
  if (engine != nullptr) engine->AbortGenerations();
  return nullptr;
}

// pause(): void
napi_value Pause(napi_env env, napi_callback_info info) {
  Engine* engine = EngineOf(env, info);
  if (engine != nullptr) engine->Pause();
  return nullptr;
}

// resume(): void
napi_value Resume(napi_env env, napi_callback_info info) {
  Engine* engine = EngineOf(env, info);
  if (engine != nullptr) engine->Resume();
  return nullptr;
}

// metrics(): the fields of EngineMetrics, nanoseconds as numbers
napi_value Metrics(napi_env env, napi_callback_info info) {
  const Engine* engine = EngineOf(env, info);
  if (engine == nullptr) return nullptr;
  const EngineMetrics metrics = engine->Metrics();
  const auto number = [env](uint64_t value) { return MakeNumber(env, static_cast<double>(value)); };
  return Made(env)
      .Set("slotsBusy", number(metrics.slots_busy))
      .Set("jobsWaiting", number(metrics.jobs_waiting))
      .Set("steps", number(metrics.steps))
      .Set("tokensDecoded", number(metrics.tokens_decoded))
      .Set("tokensPrefilled", number(metrics.tokens_prefilled))
      .Set("tokensAudited", number(metrics.tokens_audited))
      .Set("tokensFromCache", number(metrics.tokens_from_cache))
      .Set("decodeNs", number(metrics.decode_ns))
      .Set("prefillNs", number(metrics.prefill_ns))
      .Set("sampleNs", number(metrics.sample_ns))
      .Set("idleNs", number(metrics.idle_ns))
      .Set("kvTokensUsed", number(metrics.kv_tokens_used))
      .value();
}

class DrainWork : public AsyncWork {
 public:
  DrainWork(std::shared_ptr<Running> running, uint32_t timeout_ms) : running_(std::move(running)), timeout_ms_(timeout_ms) {}
  void Run() override {
    is_drained_ = running_->engine->Drain(timeout_ms_);
    // Here, should it be the last to hold the engine: freeing one waits for its thread.
    running_.reset();
  }
  napi_value Finish(napi_env env, std::string*) override { return MakeFlag(env, is_drained_); }

 private:
  std::shared_ptr<Running> running_;
  const uint32_t timeout_ms_;
  bool is_drained_ = false;
};

// drain(timeoutMs: number): Promise<boolean>
napi_value Drain(napi_env env, napi_callback_info info) {
  const Args<1> args(env, info);
  const EngineHandle* handle = HandleOf(env, args.self);
  uint32_t timeout_ms = 0;
  if (handle == nullptr) return nullptr;
  if (!ReadCount(env, args.values[0], 0, kDrainMsMax, &timeout_ms)) return ThrowType(env, "drain takes milliseconds");
  return StartWork(env, std::make_unique<DrainWork>(handle->running, timeout_ms));
}

class CloseWork : public AsyncWork {
 public:
  explicit CloseWork(std::shared_ptr<Running> running) : running_(std::move(running)) {}
  void Run() override { running_.reset(); }
  napi_value Finish(napi_env env, std::string*) override { return Undefined(env); }

 private:
  std::shared_ptr<Running> running_;
};

// close(): Promise<void>; ends what runs as aborted, which is still told, and frees the context
napi_value Close(napi_env env, napi_callback_info info) {
  EngineHandle* handle = HandleOf(env, Args<0>(env, info).self);
  if (handle == nullptr) return nullptr;
  handle->running->engine->Stop();
  return StartWork(env, std::make_unique<CloseWork>(std::exchange(handle->running, nullptr)));
}

class CreateWork : public AsyncWork {
 public:
  CreateWork(std::shared_ptr<const Model> model, const ContextSpec& spec, std::shared_ptr<StepQueue> queue, OnStep on_step)
      : spec_(spec), queue_(std::move(queue)), on_step_(std::move(on_step)), running_(std::make_shared<Running>()) {
    running_->model = std::move(model);
  }

  void Run() override { running_->engine = Engine::Create(*running_->model, spec_, std::exchange(on_step_, nullptr), &reason_); }

  napi_value Finish(napi_env env, std::string* error) override {
    if (running_->engine == nullptr) *error = reason_.empty() ? "refused" : reason_;
    if (!error->empty()) return nullptr;
    auto* handle = new EngineHandle;
    handle->limits = {running_->model->vocab_size(), running_->engine->context_tokens(), spec_.prefill_tokens_max};
    handle->queue = std::move(queue_);
    handle->running = std::move(running_);
    napi_value object = Methods(env, handle->limits.context_tokens);
    Keep(env, handle);
    if (object == nullptr || napi_type_tag_object(env, object, &kEngineTag) != napi_ok ||
        napi_wrap(env, object, handle, Free, nullptr, nullptr) != napi_ok) {
      Free(env, handle, nullptr);
      return nullptr;
    }
    return object;
  }

 private:
  static napi_value Methods(napi_env env, uint32_t context_tokens) {
    return Made(env)
        .Set("contextTokens", MakeNumber(env, context_tokens))
        .Method("generate", Generate)
        .Method("audit", Audit)
        .Method("embed", Embed)
        .Method("cancel", Cancel)
        .Method("abortGenerations", AbortGenerations)
        .Method("pause", Pause)
        .Method("resume", Resume)
        .Method("drain", Drain)
        .Method("metrics", Metrics)
        .Method("close", Close)
        .value();
  }

  const ContextSpec spec_;
  std::shared_ptr<StepQueue> queue_;
  OnStep on_step_;
  std::shared_ptr<Running> running_;
  std::string reason_;
};

bool ReadSpec(napi_env env, napi_value object, ContextSpec* spec) {
  Fields fields(env, "createEngine", object);
  spec->context_tokens = fields.Count("contextTokens", 1, kContextTokensMax);
  spec->slot_count = fields.Count("slotCount", 1, kSlotsMax);
  spec->threads = fields.Integer("threads", 1, kThreadsMax);
  spec->prefill_tokens_max = fields.Count("prefillTokensMax", 1, kContextTokensMax);
  spec->flash_attention = fields.Flag("flashAttention");
  spec->offload_kv = fields.Flag("offloadKv");
  spec->waiting_max = fields.Count("waitingMax", 0, kWaitingMax);
  spec->cached_sequences_max = fields.Count("cachedSequences", 0, kSlotsMax);
  const std::string type = fields.Text("kvType");
  fields.Demand(type == "f16" || type == "q8_0", "kvType");
  spec->kv_type = type == "q8_0" ? GGML_TYPE_Q8_0 : GGML_TYPE_F16;
  return fields.Check();
}

}  // namespace

bool StopEnginesAtExit(napi_env env) {
  napi_value global = nullptr, process = nullptr, once = nullptr, call = nullptr;
  if (napi_add_env_cleanup_hook(env, StopEngines, env) != napi_ok || napi_get_global(env, &global) != napi_ok ||
      napi_get_named_property(env, global, "process", &process) != napi_ok ||
      napi_get_named_property(env, process, "once", &once) != napi_ok ||
      napi_create_function(env, "stopEngines", NAPI_AUTO_LENGTH, OnExit, nullptr, &call) != napi_ok) {
    return false;
  }
  napi_value arguments[] = {MakeText(env, "exit"), call};
  return arguments[0] != nullptr && napi_call_function(env, process, once, 2, arguments, nullptr) == napi_ok;
}

napi_value CreateEngine(napi_env env, napi_value model_object, napi_value spec_object, napi_value on_step) {
  const auto model = ModelOf(env, model_object);
  ContextSpec spec;
  if (model == nullptr || !ReadSpec(env, spec_object, &spec)) return nullptr;
  if (!IsFunction(env, on_step)) return ThrowType(env, "createEngine wants a function to call");
  const auto queue = std::make_shared<StepQueue>(model);
  OnStep report = StepQueue::Connect(env, on_step, queue);
  if (report == nullptr) return nullptr;
  return StartWork(env, std::make_unique<CreateWork>(model, spec, queue, std::move(report)));
}

}  // namespace cfab
