#include "work.h"

#include <algorithm>
#include <utility>

#include "audit.h"
#include "generation.h"

namespace cfab {
namespace {

// Up to here a pass gives the bits that one token at a time gives: from 64 on, llama.cpp computes attention in tiles.
constexpr uint32_t kExactChunkTokens = 63;

bool AreIds(const std::vector<TokenId>& ids, const Model& model) {
  return std::all_of(ids.begin(), ids.end(), [&model](TokenId id) { return id >= 0 && id < model.vocab_size(); });
}

bool AreChunksOf(const std::vector<uint32_t>& chunks, size_t tokens, uint32_t pass_tokens_max) {
  uint64_t sum = 0;
  for (const uint32_t chunk : chunks) {
    if (chunk == 0 || chunk > pass_tokens_max) return false;
    sum += chunk;
  }
  return sum == tokens;
}

// Adds tokens of an output that is known already, in chunks that give the bits of single tokens.
void AppendOutput(Sequence* sequence, const TokenId* output, size_t tokens, uint32_t pass_tokens_max) {
  sequence->ids.insert(sequence->ids.end(), output, output + tokens);
  const uint32_t chunk_max = std::min(kExactChunkTokens, pass_tokens_max);
  for (size_t left = tokens; left > 0; left -= sequence->chunks.back()) {
    sequence->chunks.push_back(static_cast<uint32_t>(std::min<size_t>(left, chunk_max)));
  }
}

std::unique_ptr<Sequence> NewSequence(CallId call, Priority priority, std::vector<TokenId> prompt, std::vector<uint32_t> chunks) {
  auto sequence = std::make_unique<Sequence>();
  sequence->call = call;
  sequence->priority = priority;
  sequence->rows_from = static_cast<uint32_t>(prompt.size()) - 1;
  sequence->ids = std::move(prompt);
  sequence->chunks = std::move(chunks);
  return sequence;
}

}  // namespace

std::unique_ptr<Sequence> SequenceOf(GenerateJob job, const Model& model, uint32_t context_tokens, uint32_t pass_tokens_max) {
  const size_t prompt_tokens = job.prompt.size();
  if (prompt_tokens == 0 || prompt_tokens > context_tokens || job.max_tokens == 0) return nullptr;
  if (!AreIds(job.prompt, model) || !AreChunksOf(job.chunks, prompt_tokens, pass_tokens_max)) return nullptr;
  const bool has_ended = std::any_of(job.prefix.begin(), job.prefix.end(), [&model](TokenId id) { return model.IsStop(id); });
  if (has_ended || !AreIds(job.prefix, model)) return nullptr;
  // The last token of an output is not fed.
  job.max_tokens = std::min(job.max_tokens, context_tokens - static_cast<uint32_t>(prompt_tokens) + 1);
  if (job.prefix.size() >= job.max_tokens) return nullptr;
  auto sequence = NewSequence(job.call, job.priority, std::move(job.prompt), std::move(job.chunks));
  AppendOutput(sequence.get(), job.prefix.data(), job.prefix.size(), pass_tokens_max);
  sequence->rows_from += static_cast<uint32_t>(job.prefix.size());
  sequence->is_generation = true;
  sequence->cache_key = std::move(job.cache_key);
  sequence->work = std::make_unique<Generation>(std::move(job));
  return sequence;
}

std::unique_ptr<Sequence> SequenceOf(AuditJob job, const Model& model, uint32_t context_tokens, uint32_t pass_tokens_max) {
  const size_t tokens = job.prompt.size() + job.output.size();
  if (job.prompt.empty() || job.output.empty() || tokens - 1 > context_tokens) return nullptr;
  if (!AreIds(job.prompt, model) || !AreIds(job.output, model)) return nullptr;
  if (!AreChunksOf(job.chunks, job.prompt.size(), pass_tokens_max)) return nullptr;
  auto sequence = NewSequence(job.call, job.priority, std::move(job.prompt), std::move(job.chunks));
  // The last one is predicted, never fed.
  AppendOutput(sequence.get(), job.output.data(), job.output.size() - 1, pass_tokens_max);
  sequence->work = std::make_unique<AuditWork>(job.call, std::move(job.output), job.sampling);
  return sequence;
}

}  // namespace cfab
