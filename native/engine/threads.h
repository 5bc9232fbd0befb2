// The threads that compute, kept from step to step: making new ones for each step costs more than a small model's step.
#pragma once

#include <memory>

#include "libs.h"

namespace cfab {

class Threads {
 public:
  // Null where the processor's backend makes none; llama.cpp then makes threads for each pass.
  static std::unique_ptr<Threads> Create(const Libs& libs, int32_t count);
  ~Threads();
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  ggml_threadpool* handle() const { return handle_; }

 private:
  Threads(const Libs& libs, ggml_threadpool* handle) : libs_(libs), handle_(handle) {}

  const Libs& libs_;
  ggml_threadpool* const handle_;
};

}  // namespace cfab
