// What an engine's thread reports, handed to JavaScript: one call for all that came since the last.
#pragma once

#include <memory>
#include <mutex>

#include "engine.h"
#include "skin_values.h"

namespace cfab {

// Between the engine's thread and JavaScript's. At most one call is under way; what comes meanwhile is merged into the next, so that
// nothing piles up but what JavaScript has to read in any case.
class StepQueue {
 public:
  explicit StepQueue(std::shared_ptr<const Model> model) : model_(std::move(model)) {}

  // onStep(body: Uint8Array, extra?: object) is called for every report; `queue` is kept until nobody reports any more.
  // Returns what the engine calls, or null with an exception thrown.
  static OnStep Connect(napi_env env, napi_value on_step, const std::shared_ptr<StepQueue>& queue);
  // From here on reports are dropped: JavaScript is going away.
  void Detach();

 private:
  friend class StepSink;
  static void Call(napi_env env, napi_value on_step, void* context, void* data);
  void Push(StepReport&& report);
  StepReport Take();
  // Of the thread that reports.
  void Leave();

  const std::shared_ptr<const Model> model_;
  std::mutex mutex_;
  StepReport report_;
  napi_threadsafe_function function_ = nullptr;
  bool is_called_ = false;
};

}  // namespace cfab
