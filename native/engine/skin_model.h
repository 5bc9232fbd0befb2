// A loaded model as JavaScript sees it.
#pragma once

#include <memory>

#include "model.h"
#include "skin_values.h"

namespace cfab {

// loadModel({ path, gpuLayers, tensorSplit: Float32Array, vocabOnly }): Promise of a model; rejected with a reason of Model::Load.
napi_value LoadModel(napi_env env, const Libs& libs, napi_value spec);

// Null with a TypeError thrown for what LoadModel did not make.
std::shared_ptr<const Model> ModelOf(napi_env env, napi_value object);

}  // namespace cfab
