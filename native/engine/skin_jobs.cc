#include "skin_jobs.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace cfab {
namespace {

constexpr uint32_t kU32Max = std::numeric_limits<uint32_t>::max();
constexpr uint32_t kTopKMax = 40;
constexpr uint32_t kTextsMax = 65536;

bool AreInVocabulary(const std::vector<TokenId>& ids, const JobLimits& limits) {
  return std::all_of(ids.begin(), ids.end(), [&limits](TokenId id) { return id >= 0 && id < limits.vocab_size; });
}

// At least one id, all in the vocabulary.
std::vector<TokenId> ReadTokens(Fields* fields, const char* name, const JobLimits& limits) {
  const std::vector<uint32_t> counts = fields->Counts(name);
  const std::vector<TokenId> ids(counts.begin(), counts.end());
  fields->Demand(!ids.empty() && ids.size() <= limits.context_tokens && AreInVocabulary(ids, limits), name);
  return ids;
}

// What was said before: empty from the beginning, and never the whole output.
std::vector<TokenId> ReadPrefix(Fields* fields, uint32_t max_tokens, const JobLimits& limits) {
  const std::vector<uint32_t> counts = fields->Counts("prefix");
  const std::vector<TokenId> ids(counts.begin(), counts.end());
  fields->Demand(ids.size() < max_tokens && AreInVocabulary(ids, limits), "prefix");
  return ids;
}

std::vector<uint32_t> ReadChunks(Fields* fields, size_t prompt_tokens, const JobLimits& limits) {
  const std::vector<uint32_t> chunks = fields->Counts("chunks");
  const auto fits = [&limits](uint32_t chunk) { return chunk >= 1 && chunk <= limits.chunk_tokens_max; };
  const uint64_t sum = std::accumulate(chunks.begin(), chunks.end(), uint64_t{0});
  fields->Demand(std::all_of(chunks.begin(), chunks.end(), fits) && sum == prompt_tokens, "chunks");
  return chunks;
}

Priority ReadPriority(Fields* fields) { return fields->Flag("isLow") ? Priority::kLow : Priority::kNormal; }

GumbelSpec ReadGumbel(Fields* fields) {
  GumbelSpec spec;
  spec.temperature = fields->Real("temperature");
  fields->Demand(spec.temperature >= 0, "temperature");
  spec.top_k = static_cast<int32_t>(fields->Count("topK", 1, kTopKMax));
  const std::vector<uint8_t> seed = fields->Bytes("seed");
  fields->Demand(seed.size() == spec.seed.size(), "seed");
  if (seed.size() == spec.seed.size()) std::copy(seed.begin(), seed.end(), spec.seed.begin());
  return spec;
}

LlamaSpec ReadLlama(Fields* fields, const JobLimits& limits) {
  LlamaSpec spec;
  spec.temperature = fields->Real("temperature");
  fields->Demand(spec.temperature >= 0, "temperature");
  spec.top_k = fields->Count("topK", 0, kU32Max);
  spec.top_p = fields->Real("topP");
  spec.min_p = fields->Real("minP");
  fields->Demand(spec.top_p >= 0 && spec.top_p <= 1, "topP");
  fields->Demand(spec.min_p >= 0 && spec.min_p <= 1, "minP");
  spec.frequency_penalty = fields->Real("frequencyPenalty");
  spec.presence_penalty = fields->Real("presencePenalty");
  spec.seed = fields->Count("seed", 0, kU32Max);
  const std::vector<uint32_t> counts = fields->Counts("biasIds");
  const std::vector<TokenId> ids(counts.begin(), counts.end());
  const std::vector<float> biases = fields->Floats("biases");
  // Minus infinity forbids; what is no number would make every comparison false.
  const bool are_numbers = std::none_of(biases.begin(), biases.end(), [](float bias) { return std::isnan(bias); });
  fields->Demand(ids.size() == biases.size() && AreInVocabulary(ids, limits) && are_numbers, "biasIds");
  for (size_t at = 0; at < std::min(ids.size(), biases.size()); at++) spec.logit_bias.emplace_back(ids[at], biases[at]);
  return spec;
}

SamplingSpec ReadSampling(napi_env env, napi_value object, const JobLimits& limits, bool* is_fine) {
  Fields fields(env, "sampling", object);
  SamplingSpec spec;
  const std::string kind = fields.Text("kind");
  fields.Demand(kind == "gumbel" || kind == "llama", "kind");
  spec.kind = kind == "llama" ? SamplingSpec::Kind::kLlama : SamplingSpec::Kind::kGumbel;
  if (spec.kind == SamplingSpec::Kind::kLlama) {
    spec.llama = ReadLlama(&fields, limits);
  } else {
    spec.gumbel = ReadGumbel(&fields);
  }
  *is_fine = fields.Check();
  return spec;
}

}  // namespace

bool ReadGenerate(napi_env env, napi_value object, const JobLimits& limits, GenerateJob* job) {
  Fields fields(env, "generate", object);
  job->call = fields.Count("call", 0, kU32Max);
  job->prompt = ReadTokens(&fields, "prompt", limits);
  job->chunks = ReadChunks(&fields, job->prompt.size(), limits);
  job->grammar = fields.Text("grammar");
  job->max_tokens = fields.Count("maxTokens", 1, limits.context_tokens);
  fields.Demand(job->prompt.size() + job->max_tokens <= limits.context_tokens, "maxTokens");
  job->prefix = ReadPrefix(&fields, job->max_tokens, limits);
  job->stop = fields.Texts("stop");
  const bool has_empty = std::any_of(job->stop.begin(), job->stop.end(), [](const std::string& text) { return text.empty(); });
  fields.Demand(!has_empty, "stop");
  job->top_logprobs = fields.Integer("topLogprobs", -1, kCandidateMax);
  job->show_control = fields.Flag("showControl");
  job->priority = ReadPriority(&fields);
  job->cache_key = fields.Text("cacheKey");
  napi_value sampling = fields.Object("sampling");
  bool is_fine = fields.Check();
  if (is_fine) job->sampling = ReadSampling(env, sampling, limits, &is_fine);
  return is_fine;
}

bool ReadAudit(napi_env env, napi_value object, const JobLimits& limits, AuditJob* job) {
  Fields fields(env, "audit", object);
  job->call = fields.Count("call", 0, kU32Max);
  job->prompt = ReadTokens(&fields, "prompt", limits);
  job->chunks = ReadChunks(&fields, job->prompt.size(), limits);
  job->output = ReadTokens(&fields, "output", limits);
  fields.Demand(job->prompt.size() + job->output.size() <= limits.context_tokens, "output");
  job->priority = ReadPriority(&fields);
  napi_value sampling = fields.Object("sampling");
  if (!fields.Check()) return false;
  Fields wanted(env, "sampling", sampling);
  wanted.Demand(wanted.Text("kind") == "gumbel", "kind");
  job->sampling = ReadGumbel(&wanted);
  return wanted.Check();
}

bool ReadEmbed(napi_env env, napi_value call, napi_value texts, const JobLimits& limits, EmbedJob* job) {
  uint32_t length = 0;
  bool is_fine = ReadCount(env, call, 0, kU32Max, &job->call) && napi_get_array_length(env, texts, &length) == napi_ok &&
                 length >= 1 && length <= kTextsMax;
  for (uint32_t at = 0; is_fine && at < length; at++) {
    napi_value text = nullptr;
    std::vector<TokenId> ids;
    is_fine = napi_get_element(env, texts, at, &text) == napi_ok && ReadIds(env, text, &ids) && !ids.empty() &&
              ids.size() <= limits.context_tokens && AreInVocabulary(ids, limits);
    job->texts.push_back(std::move(ids));
  }
  if (!is_fine) ThrowType(env, "embed takes a call and lists of ids, each within the context and the vocabulary");
  return is_fine;
}

}  // namespace cfab
