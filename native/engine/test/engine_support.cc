#include "engine_support.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <utility>

#include "random.h"

namespace cfab::test {
namespace {

constexpr std::chrono::seconds kPatience(60);

}  // namespace

Desk::Desk(const ContextSpec& spec, const Model& model) {
  std::string error;
  engine_ = Engine::Create(model, spec, [this](StepReport&& report) { Write(std::move(report)); }, &error);
  if (engine_ != nullptr) return;
  std::fprintf(stderr, "no engine: %s\n", error.c_str());
  std::exit(2);
}

Desk::~Desk() = default;

Outcome* Desk::Of(CallId call, bool is_last) {
  Outcome* outcome = &outcomes_[call];
  if (outcome->has_ended) outcome->too_late++;
  outcome->has_ended = outcome->has_ended || is_last;
  return outcome;
}

void Desk::Write(StepReport&& report) {
  const std::lock_guard<std::mutex> lock(mutex_);
  steps_++;
  for (TokenReport& token : report.tokens) {
    Outcome* outcome = Of(token.call, token.finish != Finish::kNone);
    if (token.id >= 0) outcome->ids.push_back(token.id);
    if (token.id >= 0) outcome->logprobs.push_back(token.logprob);
    outcome->slots.push_back(token.slot);
    outcome->alternatives.push_back(std::move(token.alternatives));
    outcome->text += token.text;
    outcome->finish = token.finish;
  }
  for (AuditReport& audit : report.audits) Of(audit.call, true)->audit = std::move(audit.positions);
  for (EmbedReport& embed : report.embeds) Of(embed.call, true)->vectors = std::move(embed.vectors);
  for (const FailureReport& failure : report.failures) Of(failure.call, true)->failure = failure.failure;
  changed_.notify_all();
}

Outcome Desk::Wait(CallId call) {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait_for(lock, kPatience, [this, call] { return outcomes_[call].has_ended; });
  return outcomes_[call];
}

Outcome Desk::Peek(CallId call) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return outcomes_[call];
}

void Desk::WaitForTokens(CallId call, size_t count) {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait_for(lock, kPatience, [&] { return outcomes_[call].has_ended || outcomes_[call].ids.size() >= count; });
}

size_t Desk::EndedCount() {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto has_ended = [](const auto& entry) { return entry.second.has_ended; };
  return static_cast<size_t>(std::count_if(outcomes_.begin(), outcomes_.end(), has_ended));
}

uint64_t Desk::StepCount() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return steps_;
}

ContextSpec SpecOf(uint32_t slot_count, uint32_t context_tokens, int32_t threads) {
  ContextSpec spec;
  spec.slot_count = slot_count;
  spec.context_tokens = context_tokens;
  spec.threads = threads;
  return spec;
}

std::vector<uint32_t> ChunksOf(size_t tokens, uint32_t chunk_max) {
  std::vector<uint32_t> chunks;
  for (size_t left = tokens; left > 0; left -= chunks.back()) {
    chunks.push_back(static_cast<uint32_t>(std::min<size_t>(left, chunk_max)));
  }
  return chunks;
}

std::vector<TokenId> PromptOf(size_t tokens, uint64_t seed) {
  Random random(seed);
  std::vector<TokenId> ids;
  while (ids.size() < tokens) {
    const auto id = static_cast<TokenId>(random.Below(static_cast<uint64_t>(TestModel().vocab_size())));
    if (!TestModel().IsControl(id) && !TestModel().IsStop(id)) ids.push_back(id);
  }
  return ids;
}

GenerateJob JobOf(CallId call, std::vector<TokenId> prompt, uint32_t max_tokens, uint8_t seed) {
  GenerateJob job;
  job.call = call;
  job.chunks = ChunksOf(prompt.size());
  job.prompt = std::move(prompt);
  job.max_tokens = max_tokens;
  job.sampling.gumbel.temperature = 0.8;
  job.sampling.gumbel.top_k = 20;
  job.sampling.gumbel.seed.fill(seed);
  return job;
}

GenerateJob EndlessOf(CallId call, std::vector<TokenId> prompt, uint32_t max_tokens) {
  GenerateJob job = JobOf(call, std::move(prompt), max_tokens);
  job.sampling.kind = SamplingSpec::Kind::kLlama;
  job.sampling.llama.seed = call;
  for (const TokenId id : TestModel().stop_ids()) {
    job.sampling.llama.logit_bias.emplace_back(id, -std::numeric_limits<float>::infinity());
  }
  return job;
}

AuditJob AuditOf(CallId call, const GenerateJob& job, std::vector<TokenId> output) {
  AuditJob audit;
  audit.call = call;
  audit.prompt = job.prompt;
  audit.chunks = job.chunks;
  audit.output = std::move(output);
  audit.sampling = job.sampling.gumbel;
  return audit;
}

Outcome RunAlone(GenerateJob job, const ContextSpec& spec, const Model& model) {
  const CallId call = job.call;
  Desk desk(spec, model);
  desk.engine().Generate(std::move(job));
  return desk.Wait(call);
}

}  // namespace cfab::test
