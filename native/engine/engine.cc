#include "engine.h"

#include <algorithm>
#include <limits>
#include <thread>
#include <utility>

#include "context.h"
#include "inbox.h"
#include "meter.h"
#include "scheduler.h"
#include "watch.h"

namespace cfab {
namespace {

uint32_t JobsMax(const ContextSpec& spec) {
  const uint64_t jobs = static_cast<uint64_t>(spec.waiting_max) + spec.slot_count;
  return static_cast<uint32_t>(std::min<uint64_t>(jobs, std::numeric_limits<uint32_t>::max()));
}

class ThreadedEngine final : public Engine {
 public:
  ThreadedEngine(std::unique_ptr<Context> context, OnStep on_step)
      : context_(std::move(context)),
        inbox_(JobsMax(context_->spec())),
        watch_(context_.get()),
        scheduler_(context_.get(), &inbox_, &watch_, &meter_, std::move(on_step)),
        thread_([this] { scheduler_.Run(); }) {}

  ~ThreadedEngine() override {
    Stop();
    thread_.join();
  }

  void Generate(GenerateJob job) override { Add(std::move(job)); }
  void Audit(AuditJob job) override { Add(std::move(job)); }

  void Embed(EmbedJob job) override {
    const CallId call = job.call;
    inbox_.Push({Command::Kind::kEmbed, call, Failure::kNone, nullptr, std::move(job)});
  }

  void Cancel(CallId call) override {
    Tell(Command::Kind::kCancel, call);
    watch_.Cancel(call);
  }

  void AbortGenerations() override {
    Tell(Command::Kind::kAbortGenerations, 0);
    watch_.CancelGenerations();
  }

  void Pause() override { Tell(Command::Kind::kPause, 0); }
  void Resume() override { Tell(Command::Kind::kResume, 0); }
  void Stop() override {
    inbox_.Stop();
    watch_.CancelAll();
  }

  bool Drain(uint32_t timeout_ms) override { return inbox_.WaitUntilEmpty(timeout_ms); }
  EngineMetrics Metrics() const override { return meter_.Read(); }
  uint32_t context_tokens() const override { return context_->context_tokens(); }

 private:
  template <typename Job>
  void Add(Job job) {
    const CallId call = job.call;
    std::unique_ptr<Sequence> sequence;
    if (!context_->pools())
      sequence = SequenceOf(std::move(job), context_->model(), context_->context_tokens(), context_->pass_tokens_max());
    if (sequence == nullptr) return inbox_.Push({Command::Kind::kFail, call, Failure::kDecodeFailed, nullptr, {}});
    inbox_.Push({Command::Kind::kSequence, call, Failure::kNone, std::move(sequence), {}});
  }

  void Tell(Command::Kind kind, CallId call) { inbox_.Push({kind, call, Failure::kNone, nullptr, {}}); }

  const std::unique_ptr<Context> context_;
  Inbox inbox_;
  PassWatch watch_;
  Meter meter_;
  Scheduler scheduler_;
  // The last to be made: it uses all the others.
  std::thread thread_;
};

}  // namespace

std::unique_ptr<Engine> Engine::Create(const Model& model, const ContextSpec& spec, OnStep on_step, std::string* error) {
  std::unique_ptr<Context> context = Context::Create(model, spec, error);
  if (context == nullptr) return nullptr;
  return std::make_unique<ThreadedEngine>(std::move(context), std::move(on_step));
}

}  // namespace cfab
