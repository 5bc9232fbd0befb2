// A running engine as JavaScript sees it.
#pragma once

#include "skin_values.h"

namespace cfab {

// createEngine(model, { contextTokens, slotCount, threads, prefillTokensMax, kvType, flashAttention, offloadKv, waitingMax,
// cachedSequences }, onStep): Promise of an engine, rejected with a reason of Engine::Create.
napi_value CreateEngine(napi_env env, napi_value model, napi_value spec, napi_value on_step);

// Called once for an environment, before any engine: engines end with it. `process.exit` alone would leave their threads computing
// while the libraries' own state is torn down.
bool StopEnginesAtExit(napi_env env);

}  // namespace cfab
