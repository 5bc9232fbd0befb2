#include "skin_values.h"

#include <cmath>
#include <cstring>
#include <utility>

namespace cfab {
namespace {

bool IsType(napi_env env, napi_value value, napi_valuetype wanted) {
  napi_valuetype type;
  return value != nullptr && napi_typeof(env, value, &type) == napi_ok && type == wanted;
}

// A number without a fraction, within the bounds.
bool ReadInteger(napi_env env, napi_value value, double min, double max, double* out) {
  return IsType(env, value, napi_number) && napi_get_value_double(env, value, out) == napi_ok && *out >= min && *out <= max &&
         std::floor(*out) == *out;
}

template <typename T>
bool ReadArray(napi_env env, napi_value value, napi_typedarray_type wanted, std::vector<T>* out) {
  bool is_array = false;
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  if (value == nullptr || napi_is_typedarray(env, value, &is_array) != napi_ok || !is_array ||
      napi_get_typedarray_info(env, value, &type, &length, &data, nullptr, nullptr) != napi_ok || type != wanted) {
    return false;
  }
  out->resize(length);
  if (length > 0) std::memcpy(out->data(), data, length * sizeof(T));
  return true;
}

template <typename T>
napi_value MakeArray(napi_env env, napi_typedarray_type type, const T* data, size_t length) {
  void* room = nullptr;
  napi_value buffer = nullptr, array = nullptr;
  if (napi_create_arraybuffer(env, length * sizeof(T), &room, &buffer) != napi_ok) return nullptr;
  if (length > 0) std::memcpy(room, data, length * sizeof(T));
  return napi_create_typedarray(env, type, length, buffer, 0, &array) == napi_ok ? array : nullptr;
}

}  // namespace

Fields::Fields(napi_env env, const char* what, napi_value object) : env_(env), what_(what), object_(object) {
  if (!IsType(env, object, napi_object)) wrong_ = "an object";
}

void Fields::Demand(bool is_fine, const char* name) {
  if (!is_fine && wrong_.empty()) wrong_ = std::string("another `") + name + "`";
}

bool Fields::Check() const {
  if (is_fine()) return true;
  bool is_pending = false;
  // A getter of the caller's own may have thrown.
  if (napi_is_exception_pending(env_, &is_pending) == napi_ok && is_pending) return false;
  ThrowType(env_, (std::string(what_) + " wants " + wrong_).c_str());
  return false;
}

napi_value Fields::Get(const char* name, napi_valuetype type) {
  napi_value value = nullptr;
  if (!is_fine()) return nullptr;
  const bool is_there = napi_get_named_property(env_, object_, name, &value) == napi_ok && IsType(env_, value, type);
  Demand(is_there, name);
  return is_there ? value : nullptr;
}

std::string Fields::Text(const char* name) {
  std::string text;
  napi_value value = Get(name, napi_string);
  if (value != nullptr) Demand(ReadText(env_, value, &text), name);
  return text;
}

std::vector<std::string> Fields::Texts(const char* name) {
  std::vector<std::string> texts;
  napi_value list = Get(name, napi_object);
  uint32_t length = 0;
  if (list == nullptr) return texts;
  bool is_fine = napi_get_array_length(env_, list, &length) == napi_ok;
  for (uint32_t at = 0; is_fine && at < length; at++) {
    napi_value value = nullptr;
    std::string text;
    is_fine = napi_get_element(env_, list, at, &value) == napi_ok && ReadText(env_, value, &text);
    texts.push_back(std::move(text));
  }
  Demand(is_fine, name);
  return texts;
}

uint32_t Fields::Count(const char* name, uint32_t min, uint32_t max) {
  uint32_t count = 0;
  napi_value value = Get(name, napi_number);
  if (value != nullptr) Demand(ReadCount(env_, value, min, max, &count), name);
  return count;
}

int32_t Fields::Integer(const char* name, int32_t min, int32_t max) {
  double number = 0;
  napi_value value = Get(name, napi_number);
  const bool is_fine = value != nullptr && ReadInteger(env_, value, min, max, &number);
  Demand(is_fine, name);
  return is_fine ? static_cast<int32_t>(number) : 0;
}

double Fields::Real(const char* name) {
  double number = 0;
  napi_value value = Get(name, napi_number);
  if (value != nullptr) Demand(napi_get_value_double(env_, value, &number) == napi_ok && std::isfinite(number), name);
  return number;
}

bool Fields::Flag(const char* name) {
  bool flag = false;
  napi_value value = Get(name, napi_boolean);
  if (value != nullptr) Demand(ReadFlag(env_, value, &flag), name);
  return flag;
}

template <typename T>
std::vector<T> Fields::Array(const char* name, napi_typedarray_type type) {
  std::vector<T> values;
  napi_value value = Get(name, napi_object);
  if (value != nullptr) Demand(ReadArray(env_, value, type, &values), name);
  return values;
}

std::vector<uint8_t> Fields::Bytes(const char* name) { return Array<uint8_t>(name, napi_uint8_array); }
std::vector<uint32_t> Fields::Counts(const char* name) { return Array<uint32_t>(name, napi_uint32_array); }
std::vector<float> Fields::Floats(const char* name) { return Array<float>(name, napi_float32_array); }
napi_value Fields::Object(const char* name) { return Get(name, napi_object); }

napi_value ThrowType(napi_env env, const char* message) {
  napi_throw_type_error(env, nullptr, message);
  return nullptr;
}

bool ReadText(napi_env env, napi_value value, std::string* out) {
  size_t length = 0;
  if (value == nullptr || napi_get_value_string_utf8(env, value, nullptr, 0, &length) != napi_ok) return false;
  // One more for the zero that is written behind it.
  out->resize(length + 1);
  if (napi_get_value_string_utf8(env, value, out->data(), length + 1, &length) != napi_ok) return false;
  out->resize(length);
  return true;
}

bool ReadFlag(napi_env env, napi_value value, bool* out) {
  return value != nullptr && napi_get_value_bool(env, value, out) == napi_ok;
}

bool ReadCount(napi_env env, napi_value value, uint32_t min, uint32_t max, uint32_t* out) {
  double number = 0;
  if (!ReadInteger(env, value, min, max, &number)) return false;
  *out = static_cast<uint32_t>(number);
  return true;
}

bool ReadIds(napi_env env, napi_value value, std::vector<int32_t>* out) {
  std::vector<uint32_t> ids;
  if (!ReadArray(env, value, napi_uint32_array, &ids)) return false;
  out->assign(ids.begin(), ids.end());
  return true;
}

bool IsFunction(napi_env env, napi_value value) { return IsType(env, value, napi_function); }

napi_value MakeText(napi_env env, const std::string& text) {
  napi_value value = nullptr;
  return napi_create_string_utf8(env, text.data(), text.size(), &value) == napi_ok ? value : nullptr;
}

napi_value MakeNumber(napi_env env, double number) {
  napi_value value = nullptr;
  return napi_create_double(env, number, &value) == napi_ok ? value : nullptr;
}

napi_value MakeFlag(napi_env env, bool flag) {
  napi_value value = nullptr;
  return napi_get_boolean(env, flag, &value) == napi_ok ? value : nullptr;
}

napi_value MakeBytes(napi_env env, const void* data, size_t length) {
  return MakeArray(env, napi_uint8_array, static_cast<const uint8_t*>(data), length);
}

napi_value MakeIds(napi_env env, const std::vector<int32_t>& ids) {
  return MakeArray(env, napi_uint32_array, ids.data(), ids.size());
}

napi_value MakeFloats(napi_env env, const std::vector<float>& floats) {
  return MakeArray(env, napi_float32_array, floats.data(), floats.size());
}

napi_value MakeError(napi_env env, const std::string& message) {
  napi_value text = MakeText(env, message), error = nullptr;
  return text != nullptr && napi_create_error(env, nullptr, text, &error) == napi_ok ? error : nullptr;
}

napi_value Undefined(napi_env env) {
  napi_value value = nullptr;
  return napi_get_undefined(env, &value) == napi_ok ? value : nullptr;
}

Made::Made(napi_env env) : env_(env) {
  if (napi_create_object(env, &value_) != napi_ok) value_ = nullptr;
}

Made& Made::Set(const char* name, napi_value value) {
  if (value_ != nullptr && (value == nullptr || napi_set_named_property(env_, value_, name, value) != napi_ok)) value_ = nullptr;
  return *this;
}

Made& Made::Method(const char* name, napi_callback call) {
  napi_value function = nullptr;
  if (napi_create_function(env_, name, NAPI_AUTO_LENGTH, call, nullptr, &function) != napi_ok) function = nullptr;
  return Set(name, function);
}

void* UnwrapTagged(napi_env env, napi_value object, const napi_type_tag& tag) {
  bool is_ours = false;
  void* native = nullptr;
  if (IsType(env, object, napi_object) && napi_check_object_type_tag(env, object, &tag, &is_ours) == napi_ok && is_ours &&
      napi_unwrap(env, object, &native) == napi_ok) {
    return native;
  }
  ThrowType(env, "not an object of this add-on");
  return nullptr;
}

namespace {

struct Job {
  std::unique_ptr<AsyncWork> work;
  napi_deferred deferred = nullptr;
  napi_async_work handle = nullptr;
};

void Settle(napi_env env, napi_status status, void* data) {
  const std::unique_ptr<Job> job(static_cast<Job*>(data));
  napi_delete_async_work(env, job->handle);
  // Cancelled: the environment is going away, nobody waits.
  if (status != napi_ok) return;
  std::string error;
  napi_value value = job->work->Finish(env, &error);
  if (value == nullptr && error.empty()) error = "no memory";
  if (error.empty()) {
    napi_resolve_deferred(env, job->deferred, value);
  } else {
    napi_reject_deferred(env, job->deferred, MakeError(env, error));
  }
}

}  // namespace

napi_value StartWork(napi_env env, std::unique_ptr<AsyncWork> work) {
  auto job = std::make_unique<Job>();
  job->work = std::move(work);
  napi_value promise = nullptr, name = MakeText(env, "cfab_engine");
  const auto run = [](napi_env, void* data) { static_cast<Job*>(data)->work->Run(); };
  if (name == nullptr || napi_create_promise(env, &job->deferred, &promise) != napi_ok ||
      napi_create_async_work(env, nullptr, name, run, Settle, job.get(), &job->handle) != napi_ok) {
    return nullptr;
  }
  if (napi_queue_async_work(env, job->handle) != napi_ok) return nullptr;
  job.release();
  return promise;
}

}  // namespace cfab
