// Values between C++ and JavaScript: what comes in is checked, so that a caller's mistake throws a TypeError and nothing worse.
#pragma once

#define NAPI_VERSION 8
#include <node_api.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace cfab {

// The fields of an object. What is missing or of another type is remembered and read as empty; Check says so to JavaScript.
class Fields {
 public:
  // `what` begins the message of the TypeError.
  Fields(napi_env env, const char* what, napi_value object);

  std::string Text(const char* name);
  std::vector<std::string> Texts(const char* name);
  uint32_t Count(const char* name, uint32_t min, uint32_t max);
  int32_t Integer(const char* name, int32_t min, int32_t max);
  // A finite number.
  double Real(const char* name);
  bool Flag(const char* name);
  std::vector<uint8_t> Bytes(const char* name);
  // Of a Uint32Array.
  std::vector<uint32_t> Counts(const char* name);
  std::vector<float> Floats(const char* name);
  napi_value Object(const char* name);
  // For what a type does not say; does nothing while `is_fine`.
  void Demand(bool is_fine, const char* name);

  // Throws where something was wrong.
  bool Check() const;
  bool is_fine() const { return wrong_.empty(); }

 private:
  napi_value Get(const char* name, napi_valuetype type);
  template <typename T>
  std::vector<T> Array(const char* name, napi_typedarray_type type);

  const napi_env env_;
  const char* const what_;
  const napi_value object_;
  std::string wrong_;
};

// The arguments of a call; missing ones are undefined.
template <size_t kCount>
struct Args {
  Args(napi_env env, napi_callback_info info) {
    size_t count = kCount;
    if (napi_get_cb_info(env, info, &count, values, &self, nullptr) != napi_ok) self = nullptr;
  }
  napi_value values[kCount == 0 ? 1 : kCount] = {};
  napi_value self = nullptr;
};

napi_value ThrowType(napi_env env, const char* message);
bool ReadText(napi_env env, napi_value value, std::string* out);
bool ReadFlag(napi_env env, napi_value value, bool* out);
bool ReadCount(napi_env env, napi_value value, uint32_t min, uint32_t max, uint32_t* out);
bool ReadIds(napi_env env, napi_value value, std::vector<int32_t>* out);
bool IsFunction(napi_env env, napi_value value);

// Null where JavaScript has no memory for it; an exception is pending then.
napi_value MakeText(napi_env env, const std::string& text);
napi_value MakeNumber(napi_env env, double number);
napi_value MakeFlag(napi_env env, bool flag);
napi_value MakeBytes(napi_env env, const void* data, size_t length);
napi_value MakeIds(napi_env env, const std::vector<int32_t>& ids);
napi_value MakeFloats(napi_env env, const std::vector<float>& floats);
napi_value MakeError(napi_env env, const std::string& message);
napi_value Undefined(napi_env env);

// An object under construction.
class Made {
 public:
  explicit Made(napi_env env);
  Made& Set(const char* name, napi_value value);
  Made& Method(const char* name, napi_callback call);
  napi_value value() const { return value_; }

 private:
  const napi_env env_;
  napi_value value_ = nullptr;
};

// Ties `native` to an object that only Unwrap with the same tag gives it back from; deleted with the object.
template <typename T>
bool Wrap(napi_env env, napi_value object, const napi_type_tag& tag, std::unique_ptr<T> native) {
  const auto finalize = [](napi_env, void* data, void*) { delete static_cast<T*>(data); };
  if (napi_type_tag_object(env, object, &tag) != napi_ok ||
      napi_wrap(env, object, native.get(), finalize, nullptr, nullptr) != napi_ok) {
    return false;
  }
  native.release();
  return true;
}

// Throws and returns null for any other value.
void* UnwrapTagged(napi_env env, napi_value object, const napi_type_tag& tag);

template <typename T>
T* Unwrap(napi_env env, napi_value object, const napi_type_tag& tag) {
  return static_cast<T*>(UnwrapTagged(env, object, tag));
}

// Work on a thread of libuv's pool that settles a promise.
class AsyncWork {
 public:
  virtual ~AsyncWork() = default;
  // Away from JavaScript's thread.
  virtual void Run() = 0;
  // On JavaScript's thread: the promise's value. With a text in `error` the promise is rejected with an Error of that message.
  virtual napi_value Finish(napi_env env, std::string* error) = 0;
};

// Returns the promise.
napi_value StartWork(napi_env env, std::unique_ptr<AsyncWork> work);

}  // namespace cfab
