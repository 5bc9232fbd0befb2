#include "scheduler.h"

#include <algorithm>
#include <utility>

namespace cfab {
namespace {

// What prompts may hold up those that generate in one step: so many tokens, or one chunk where that is larger.
constexpr uint32_t kReadTokensBesideGeneration = 63;
// Beside those that generate, low-priority reading takes one part in this many of the time.
constexpr int64_t kLowShare = 4;

uint32_t TokensOfPass(const Sequence& sequence) {
  return sequence.is_reading() ? sequence.chunks[sequence.chunks_read] : 1;
}

}  // namespace

Scheduler::Scheduler(Context* context, Inbox* inbox, PassWatch* watch, Meter* meter, OnStep on_step)
    : context_(context),
      inbox_(inbox),
      watch_(watch),
      meter_(meter),
      on_step_(std::move(on_step)),
      slots_(context, context->pools() ? 0 : context->spec().cached_sequences_max),
      embedder_(context),
      batch_(context->pass_tokens_max(), context->spec().slot_count) {}

void Scheduler::Run() {
  std::vector<Command> commands;
  for (;;) {
    Publish();
    const auto start = Clock::now();
    const bool had_work = has_work();
    const bool goes_on = inbox_->Take(had_work, jobs(), line_.size() + embedder_.jobs(), &commands);
    if (!had_work) meter_->Update([start](EngineMetrics* metrics) { metrics->idle_ns += NanosSince(start); });
    Obey(&commands);
    if (!goes_on) break;
    if (has_work()) Step();
    if (!commands.empty()) Flush();
  }
  CancelWhere([](const Sequence&) { return true; });
  embedder_.CancelAll(&report_);
  Flush();
  Publish();
}

void Scheduler::Obey(std::vector<Command>* commands) {
  for (Command& command : *commands) ObeyOne(&command);
  RefuseOverflow();
}

void Scheduler::ObeyOne(Command* command) {
  const CallId call = command->call;
  switch (command->kind) {
    case Command::Kind::kSequence:
      return line_.Add(std::move(command->sequence));
    case Command::Kind::kEmbed:
      if (embedder_.Accepts(command->embed)) return embedder_.Add(std::move(command->embed));
      return report_.failures.push_back({call, Failure::kDecodeFailed});
    case Command::Kind::kFail:
      return report_.failures.push_back({call, command->failure});
    case Command::Kind::kCancel:
      if (!embedder_.Cancel(call, &report_)) CancelWhere([call](const Sequence& sequence) { return sequence.call == call; });
      return;
    case Command::Kind::kAbortGenerations:
      return CancelWhere([](const Sequence& sequence) { return sequence.is_generation; });
    case Command::Kind::kPause:
    case Command::Kind::kResume:
      is_paused_ = command->kind == Command::Kind::kPause;
      return;
  }
}

template <typename Matches>
void Scheduler::CancelWhere(Matches matches) {
  for (const auto& sequence : line_.TakeWhere(matches)) sequence->work->Cancel(0, &report_);
  for (uint32_t slot = 0; slot < slots_.count(); slot++) {
    if (slots_.at(slot) == nullptr || !matches(*slots_.at(slot))) continue;
    slots_.Retire(slot, true)->work->Cancel(slot, &report_);
  }
}

// Those that a free slot is waiting for do not count as waiting.
void Scheduler::RefuseOverflow() {
  const uint64_t waiting_max = uint64_t{context_->spec().waiting_max} + slots_.count() - slots_.busy();
  while (line_.size() > waiting_max) report_.failures.push_back({line_.TakeLast()->call, Failure::kQueueFull});
}

// Low ones never fill all slots: a normal one that comes need not wait for their end.
void Scheduler::Admit() {
  const uint32_t low_max = std::max(1u, slots_.count() / 2);
  while (slots_.busy() < slots_.count()) {
    std::unique_ptr<Sequence> first = line_.TakeFirst(slots_.busy_with_low() < low_max);
    if (first == nullptr) return;
    AdmitOne(std::move(first));
  }
}

void Scheduler::AdmitOne(std::unique_ptr<Sequence> sequence) {
  const Failure failure = sequence->work->Start(context_->model());
  if (failure != Failure::kNone) {
    report_.failures.push_back({sequence->call, failure});
    // There may be nothing to compute that it could be told with.
    return Flush();
  }
  const Sequence* admitted = slots_.Admit(&sequence);
  meter_->Update([admitted](EngineMetrics* metrics) { metrics->tokens_from_cache += admitted->fed; });
}

void Scheduler::Step() {
  if (embedder_.jobs() > 0) return Embed();
  slots_.CloseGaps();
  Admit();
  const std::vector<uint32_t> generating = PlanGeneration(slots_);
  if (!generating.empty()) Generate(generating);
  Read(!generating.empty());
  meter_->Update([](EngineMetrics* metrics) { metrics->steps++; });
}

void Scheduler::Generate(const std::vector<uint32_t>& slots) {
  const auto start = Clock::now();
  const bool is_done = ComputeSlots(slots);
  const uint64_t took_ns = NanosSince(start);
  low_debt_ns_ = std::max<int64_t>(0, low_debt_ns_ - static_cast<int64_t>(took_ns));
  meter_->Update([took_ns](EngineMetrics* metrics) { metrics->decode_ns += took_ns; });
  if (is_done) TakeRows(slots);
  Flush();
}

void Scheduler::Read(bool is_beside_generation) {
  uint32_t room = is_beside_generation ? kReadTokensBesideGeneration : context_->pass_tokens_max();
  for (bool is_first = true; room > 0; is_first = false) {
    const bool allows_low = !is_beside_generation || (is_first && low_debt_ns_ == 0);
    const std::vector<uint32_t> slots = PlanRead(slots_, {room, context_->pass_rows_max(), allows_low, is_first});
    if (slots.empty()) return;
    const Sequence& leader = *slots_.at(slots[0]);
    const bool is_low = leader.priority == Priority::kLow;
    const uint32_t tokens = TokensOfPass(leader) * static_cast<uint32_t>(slots.size());
    const auto start = Clock::now();
    const bool is_done = ComputeSlots(slots);
    const uint64_t took_ns = NanosSince(start);
    if (is_low && is_beside_generation) low_debt_ns_ = static_cast<int64_t>(took_ns) * (kLowShare - 1);
    meter_->Update([took_ns, tokens, is_done](EngineMetrics* metrics) {
      metrics->prefill_ns += took_ns;
      if (is_done) metrics->tokens_prefilled += tokens;
    });
    if (is_done) TakeRows(slots);
    Flush();
    if (!is_beside_generation || is_low) return;
    room -= std::min(room, tokens);
  }
}

void Scheduler::Embed() {
  batch_.Clear();
  const auto start = Clock::now();
  const Context::Passed passed = Compute(embedder_.Plan(&batch_));
  const uint64_t took_ns = NanosSince(start);
  const uint32_t tokens = batch_.size();
  if (passed == Context::Passed::kDone) embedder_.Take(&report_);
  if (passed == Context::Passed::kFailed) embedder_.Fail(&report_);
  context_->ForgetAll();
  meter_->Update([took_ns, tokens](EngineMetrics* metrics) {
    metrics->steps++;
    metrics->prefill_ns += took_ns;
    metrics->tokens_prefilled += tokens;
  });
  Flush();
}

Context::Passed Scheduler::Compute(std::vector<PassWatch::Wanted> wanted) {
  watch_->Begin(std::move(wanted));
  const Context::Passed passed = context_->Run(&batch_);
  watch_->End();
  return passed;
}

// Returns whether there are rows to take. An aborted pass changed nothing: whoever aborted it also cancelled what was in it.
bool Scheduler::ComputeSlots(const std::vector<uint32_t>& slots) {
  batch_.Clear();
  std::vector<PassWatch::Wanted> wanted;
  for (const uint32_t slot : slots) {
    const Sequence& sequence = *slots_.at(slot);
    wanted.push_back({sequence.call, sequence.is_generation});
    const uint32_t end = sequence.fed + TokensOfPass(sequence);
    for (uint32_t at = sequence.fed; at < end; at++) batch_.Add(sequence.ids[at], at, slot, at >= sequence.rows_from);
  }
  const Context::Passed passed = Compute(std::move(wanted));
  if (passed == Context::Passed::kFailed) FailSlots(slots);
  return passed == Context::Passed::kDone;
}

void Scheduler::TakeRows(const std::vector<uint32_t>& slots) {
  const auto start = Clock::now();
  uint32_t batch_at = 0;
  for (const uint32_t slot : slots) batch_at += TakeRowsOf(slot, batch_at);
  meter_->Update([start](EngineMetrics* metrics) { metrics->sample_ns += NanosSince(start); });
}

// Returns how many of the batch's tokens were the slot's, from `batch_at` on.
uint32_t Scheduler::TakeRowsOf(uint32_t slot, uint32_t batch_at) {
  Sequence& sequence = *slots_.at(slot);
  const uint32_t tokens = TokensOfPass(sequence);
  Taken taken;
  uint32_t rows = 0;
  for (uint32_t at = 0; at < tokens && !taken.has_ended; at++) {
    if (sequence.fed + at < sequence.rows_from) continue;
    taken = sequence.work->Take(context_->LogitsOf(batch_at + at), slot, &report_);
    rows++;
  }
  if (sequence.is_reading()) sequence.chunks_read++;
  sequence.fed += tokens;
  if (taken.next >= 0) sequence.ids.push_back(taken.next);
  meter_->Update([rows, &sequence](EngineMetrics* metrics) {
    (sequence.is_generation ? metrics->tokens_decoded : metrics->tokens_audited) += rows;
  });
  if (taken.has_ended) slots_.Retire(slot, true);
  return tokens;
}

void Scheduler::FailSlots(const std::vector<uint32_t>& slots) {
  for (const uint32_t slot : slots) report_.failures.push_back({slots_.Retire(slot, false)->call, Failure::kDecodeFailed});
}

void Scheduler::Flush() {
  on_step_(std::move(report_));
  report_ = {};
}

void Scheduler::Publish() {
  meter_->Update([this](EngineMetrics* metrics) {
    metrics->slots_busy = slots_.busy();
    metrics->jobs_waiting = line_.size() + embedder_.jobs();
    metrics->kv_tokens_used = slots_.tokens_used();
  });
}

}  // namespace cfab
