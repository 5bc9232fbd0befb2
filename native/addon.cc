// What native/load.ts calls, through Node-API alone: one binary runs on every Node.js that has version 8 of it.
#define NAPI_VERSION 8
#include <node_api.h>

#include <limits>
#include <memory>
#include <new>

#include "rendezvous.h"

namespace {

constexpr size_t kArgCount = 6;

struct Bytes {
  void* data;
  size_t length;
};

bool ReadArray(napi_env env, napi_value value, napi_typedarray_type wanted, Bytes* out) {
  bool is_array = false;
  if (napi_is_typedarray(env, value, &is_array) != napi_ok || !is_array) return false;
  napi_typedarray_type type;
  const napi_status status = napi_get_typedarray_info(env, value, &type, &out->length, &out->data, nullptr, nullptr);
  return status == napi_ok && type == wanted;
}

napi_value Refuse(napi_env env, const char* why) {
  napi_throw_type_error(env, nullptr, why);
  return nullptr;
}

// rendezvousTop(avx2: boolean, drawKey, keys, weights: Uint8Array, indexes: Uint32Array, scores: BigUint64Array): void
napi_value RendezvousTop(napi_env env, napi_callback_info info) {
  napi_value args[kArgCount];
  size_t count = kArgCount;
  bool wants_avx2 = false;
  Bytes draw_key, keys, weights, indexes, scores;
  if (napi_get_cb_info(env, info, &count, args, nullptr, nullptr) != napi_ok || count != kArgCount ||
      napi_get_value_bool(env, args[0], &wants_avx2) != napi_ok ||
      !ReadArray(env, args[1], napi_uint8_array, &draw_key) || !ReadArray(env, args[2], napi_uint8_array, &keys) ||
      !ReadArray(env, args[3], napi_uint8_array, &weights) || !ReadArray(env, args[4], napi_uint32_array, &indexes) ||
      !ReadArray(env, args[5], napi_biguint64_array, &scores)) {
    return Refuse(env, "rendezvousTop takes a flag, three Uint8Arrays, a Uint32Array and a BigUint64Array");
  }
  const cfab::Isa isa = wants_avx2 ? cfab::Isa::kAvx2 : cfab::Isa::kScalar;
  if (draw_key.length != cfab::kDrawKeyBytes || weights.length > std::numeric_limits<uint32_t>::max() ||
      keys.length != weights.length * cfab::kPeerKeyBytes || indexes.length != scores.length ||
      indexes.length > weights.length || !cfab::Supports(isa)) {
    return Refuse(env, "the lengths do not fit each other, or the processor not the path");
  }
  if (indexes.length == 0) return nullptr;

  const auto peers = cfab::Peers{static_cast<const uint8_t*>(keys.data), static_cast<const uint8_t*>(weights.data),
                                 static_cast<uint32_t>(weights.length)};
  const auto top_count = static_cast<uint32_t>(indexes.length);
  const std::unique_ptr<cfab::Ranked[]> top(new (std::nothrow) cfab::Ranked[top_count]);
  if (top == nullptr) return Refuse(env, "no memory for the result");
  cfab::RendezvousTop(static_cast<const uint8_t*>(draw_key.data), peers, isa, top.get(), top_count);
  for (uint32_t place = 0; place < top_count; place++) {
    static_cast<uint32_t*>(indexes.data)[place] = top[place].index;
    static_cast<uint64_t*>(scores.data)[place] = top[place].score;
  }
  return nullptr;
}

}  // namespace

NAPI_MODULE_INIT() {
  napi_value top, avx2;
  if (napi_create_function(env, "rendezvousTop", NAPI_AUTO_LENGTH, RendezvousTop, nullptr, &top) != napi_ok ||
      napi_set_named_property(env, exports, "rendezvousTop", top) != napi_ok ||
      napi_get_boolean(env, cfab::Supports(cfab::Isa::kAvx2), &avx2) != napi_ok ||
      napi_set_named_property(env, exports, "avx2", avx2) != napi_ok) {
    return nullptr;
  }
  return exports;
}
