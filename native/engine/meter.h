// Counts what the engine's thread does; anyone may read along.
#pragma once

#include <chrono>
#include <mutex>

#include "engine.h"

namespace cfab {

using Clock = std::chrono::steady_clock;

inline uint64_t NanosSince(Clock::time_point start) {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count());
}

class Meter {
 public:
  // Changes the counts in one go.
  template <typename Change>
  void Update(Change change) {
    const std::lock_guard<std::mutex> lock(mutex_);
    change(&metrics_);
  }

  EngineMetrics Read() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return metrics_;
  }

 private:
  mutable std::mutex mutex_;
  EngineMetrics metrics_;
};

}  // namespace cfab
