#include "skin_steps.h"

#include <iterator>
#include <utility>

#include "skin_frame.h"

namespace cfab {

// What the engine holds of a queue: when it is gone, nobody reports any more.
class StepSink {
 public:
  explicit StepSink(std::shared_ptr<StepQueue> queue) : queue_(std::move(queue)) {}
  ~StepSink() { queue_->Leave(); }
  StepSink(const StepSink&) = delete;
  StepSink& operator=(const StepSink&) = delete;
  void Push(StepReport&& report) { queue_->Push(std::move(report)); }

 private:
  const std::shared_ptr<StepQueue> queue_;
};

namespace {

template <typename T>
void Append(std::vector<T>* all, std::vector<T>&& more) {
  if (all->empty()) {
    *all = std::move(more);
  } else {
    all->insert(all->end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  }
}

// Makes an array of what `make` gives for each item.
template <typename T, typename Make>
napi_value MakeList(napi_env env, const std::vector<T>& items, Make make) {
  napi_value list = nullptr;
  if (napi_create_array_with_length(env, items.size(), &list) != napi_ok) return nullptr;
  for (uint32_t at = 0; at < items.size(); at++) {
    napi_value value = make(items[at]);
    if (value == nullptr || napi_set_element(env, list, at, value) != napi_ok) return nullptr;
  }
  return list;
}

template <typename T>
napi_value MakeRaw(napi_env env, const std::vector<T>& values) {
  return MakeBytes(env, values.data(), values.size() * sizeof(T));
}

// { call, margins: bytes of f64, ranks: of i32, counts: of i32, ids: of i32, logits: of f32 }; candidates of all positions in a row.
napi_value MakeAudit(napi_env env, const AuditReport& audit) {
  std::vector<double> margins;
  std::vector<int32_t> ranks, counts;
  std::vector<TokenId> ids;
  std::vector<float> logits;
  for (const AuditPosition& position : audit.positions) {
    margins.push_back(position.margin.nats);
    ranks.push_back(position.margin.rank);
    counts.push_back(position.candidates.count);
    for (int at = 0; at < position.candidates.count; at++) {
      ids.push_back(position.candidates.top[static_cast<size_t>(at)].id);
      logits.push_back(position.candidates.top[static_cast<size_t>(at)].logit);
    }
  }
  return Made(env)
      .Set("call", MakeNumber(env, audit.call))
      .Set("margins", MakeRaw(env, margins))
      .Set("ranks", MakeRaw(env, ranks))
      .Set("counts", MakeRaw(env, counts))
      .Set("ids", MakeRaw(env, ids))
      .Set("logits", MakeRaw(env, logits))
      .value();
}

napi_value MakeEmbed(napi_env env, const EmbedReport& embed) {
  const auto vector = [env](const std::vector<float>& values) { return MakeFloats(env, values); };
  return Made(env).Set("call", MakeNumber(env, embed.call)).Set("vectors", MakeList(env, embed.vectors, vector)).value();
}

napi_value MakeFailure(napi_env env, const FailureReport& failure) {
  static constexpr const char* kNames[] = {"none", "queue_full", "decode_failed", "grammar_invalid", "grammar_stuck"};
  return Made(env)
      .Set("call", MakeNumber(env, failure.call))
      .Set("failure", MakeText(env, kNames[static_cast<size_t>(failure.failure)]))
      .value();
}

// Undefined after most steps: { ended: calls whose generation is over, audits, embeds, failures }.
napi_value MakeExtra(napi_env env, const StepReport& report) {
  std::vector<int32_t> ended;
  for (const TokenReport& token : report.tokens) {
    if (token.finish != Finish::kNone) ended.push_back(static_cast<int32_t>(token.call));
  }
  if (ended.empty() && report.audits.empty() && report.embeds.empty() && report.failures.empty()) return Undefined(env);
  return Made(env)
      .Set("ended", MakeIds(env, ended))
      .Set("audits", MakeList(env, report.audits, [env](const AuditReport& audit) { return MakeAudit(env, audit); }))
      .Set("embeds", MakeList(env, report.embeds, [env](const EmbedReport& embed) { return MakeEmbed(env, embed); }))
      .Set("failures", MakeList(env, report.failures, [env](const FailureReport& failure) { return MakeFailure(env, failure); }))
      .value();
}

}  // namespace

OnStep StepQueue::Connect(napi_env env, napi_value on_step, const std::shared_ptr<StepQueue>& queue) {
  auto context = std::make_unique<std::shared_ptr<StepQueue>>(queue);
  napi_value name = MakeText(env, "cfab_engine");
  // Calls that were not made before the end are not made after it either; the context stays until then.
  const auto finalize = [](napi_env, void*, void* kept) { delete static_cast<std::shared_ptr<StepQueue>*>(kept); };
  if (name == nullptr || napi_create_threadsafe_function(env, on_step, nullptr, name, 0, 1, nullptr, finalize, context.get(), Call,
                                                         &queue->function_) != napi_ok) {
    return nullptr;
  }
  context.release();
  // An engine alone keeps no process alive.
  napi_unref_threadsafe_function(env, queue->function_);
  // std::function wants something that can be copied.
  return [sink = std::make_shared<StepSink>(queue)](StepReport&& report) { sink->Push(std::move(report)); };
}

void StepQueue::Detach() {
  const std::lock_guard<std::mutex> lock(mutex_);
  function_ = nullptr;
}

void StepQueue::Leave() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (function_ != nullptr) napi_release_threadsafe_function(function_, napi_tsfn_release);
  function_ = nullptr;
}

void StepQueue::Push(StepReport&& report) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (function_ == nullptr) return;
  Append(&report_.tokens, std::move(report.tokens));
  Append(&report_.audits, std::move(report.audits));
  Append(&report_.embeds, std::move(report.embeds));
  Append(&report_.failures, std::move(report.failures));
  if (!is_called_) is_called_ = napi_call_threadsafe_function(function_, nullptr, napi_tsfn_nonblocking) == napi_ok;
}

StepReport StepQueue::Take() {
  const std::lock_guard<std::mutex> lock(mutex_);
  is_called_ = false;
  return std::exchange(report_, StepReport());
}

// An exception of `on_step` becomes an uncaught one. Node.js by itself would only warn of it, and what was reported would be lost.
void StepQueue::Call(napi_env env, napi_value on_step, void* context, void*) {
  if (env == nullptr) return;
  StepQueue& queue = **static_cast<std::shared_ptr<StepQueue>*>(context);
  const StepReport report = queue.Take();
  const std::string body = StepBody(report.tokens, *queue.model_);
  napi_value arguments[] = {MakeBytes(env, body.data(), body.size()), MakeExtra(env, report)};
  napi_value self = Undefined(env);
  if (self == nullptr || arguments[0] == nullptr || arguments[1] == nullptr) return;
  napi_value thrown = nullptr;
  if (napi_call_function(env, self, on_step, std::size(arguments), arguments, nullptr) != napi_pending_exception) return;
  if (napi_get_and_clear_last_exception(env, &thrown) == napi_ok) napi_fatal_exception(env, thrown);
}

}  // namespace cfab
