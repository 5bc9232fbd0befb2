// The engine as a Node-API add-on: models/native/addon.ts describes what it exports.
//
// Why Node-API alone, version 8 of it: one binary runs on every Node.js since 16. Nothing here computes; a mistake of the caller throws
// a TypeError, and what takes long runs away from JavaScript's thread.
#include <atomic>

#include "libs.h"
#include "skin_engine.h"
#include "skin_model.h"
#include "skin_values.h"

namespace {

using cfab::Args;
using cfab::Made;

// Of this process; null until `open` succeeded.
std::atomic<const cfab::Libs*> opened_libs{nullptr};

napi_value Devices(napi_env env, const cfab::Libs& libs) {
  napi_value list = nullptr;
  if (napi_create_array(env, &list) != napi_ok) return nullptr;
  const auto text = [env](const char* value) { return cfab::MakeText(env, value == nullptr ? "" : value); };
  for (size_t at = 0; at < libs.ggml_backend_dev_count(); at++) {
    ggml_backend_dev_t device = libs.ggml_backend_dev_get(at);
    size_t free = 0, total = 0;
    libs.ggml_backend_dev_memory(device, &free, &total);
    napi_value made = Made(env)
                          .Set("name", text(libs.ggml_backend_dev_name(device)))
                          .Set("description", text(libs.ggml_backend_dev_description(device)))
                          .Set("isCpu", cfab::MakeFlag(env, libs.ggml_backend_dev_type(device) == GGML_BACKEND_DEVICE_TYPE_CPU))
                          .Set("freeBytes", cfab::MakeNumber(env, static_cast<double>(free)))
                          .Set("totalBytes", cfab::MakeNumber(env, static_cast<double>(total)))
                          .value();
    if (made == nullptr || napi_set_element(env, list, static_cast<uint32_t>(at), made) != napi_ok) return nullptr;
  }
  return list;
}

// open({ ggmlBase, ggml, llama, backends: string[] }): { defaults, version, devices }; throws an Error with the reason
napi_value Open(napi_env env, napi_callback_info info) {
  const Args<1> args(env, info);
  cfab::Fields fields(env, "open", args.values[0]);
  cfab::LibraryPaths paths;
  paths.ggml_base = fields.Text("ggmlBase");
  paths.ggml = fields.Text("ggml");
  paths.llama = fields.Text("llama");
  paths.backends = fields.Texts("backends");
  if (!fields.Check()) return nullptr;
  std::string error;
  const cfab::Libs* libs = cfab::OpenLibs(paths, &error);
  if (libs == nullptr) {
    napi_throw_error(env, nullptr, error.c_str());
    return nullptr;
  }
  opened_libs = libs;
  return Made(env)
      .Set("defaults", cfab::MakeText(env, cfab::DefaultsOf(*libs)))
      .Set("version", cfab::MakeText(env, libs->llama_version()))
      .Set("devices", Devices(env, *libs))
      .value();
}

napi_value LoadModel(napi_env env, napi_callback_info info) {
  const Args<1> args(env, info);
  const cfab::Libs* const libs = opened_libs;
  if (libs == nullptr) return cfab::ThrowType(env, "no libraries are open");
  return cfab::LoadModel(env, *libs, args.values[0]);
}

napi_value CreateEngine(napi_env env, napi_callback_info info) {
  const Args<3> args(env, info);
  return cfab::CreateEngine(env, args.values[0], args.values[1], args.values[2]);
}

}  // namespace

NAPI_MODULE_INIT() {
  const napi_property_descriptor functions[] = {
      {"open", nullptr, Open, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"loadModel", nullptr, LoadModel, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"createEngine", nullptr, CreateEngine, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
  };
  const bool is_defined = napi_define_properties(env, exports, sizeof functions / sizeof *functions, functions) == napi_ok;
  return is_defined && cfab::StopEnginesAtExit(env) ? exports : nullptr;
}
