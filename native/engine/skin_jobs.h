// Jobs as JavaScript describes them, checked so far that none of them can make the engine do what it must not.
#pragma once

#include "engine.h"
#include "skin_values.h"

namespace cfab {

struct JobLimits {
  int32_t vocab_size = 0;
  uint32_t context_tokens = 0;
  uint32_t chunk_tokens_max = 0;
};

// Each throws a TypeError for what it refuses.
bool ReadGenerate(napi_env env, napi_value object, const JobLimits& limits, GenerateJob* job);
bool ReadAudit(napi_env env, napi_value object, const JobLimits& limits, AuditJob* job);
bool ReadEmbed(napi_env env, napi_value call, napi_value texts, const JobLimits& limits, EmbedJob* job);

}  // namespace cfab
