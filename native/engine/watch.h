// Knows whose tokens the running pass computes, and ends the pass when nobody wants any of them.
//
// Why not when somebody does: the pass would have to be computed again for the others.
#pragma once

#include <mutex>
#include <vector>

#include "context.h"

namespace cfab {

class PassWatch {
 public:
  struct Wanted {
    CallId call;
    bool is_generation;
  };

  explicit PassWatch(Context* context) : context_(context) {}

  // On the engine's thread, around a pass.
  void Begin(std::vector<Wanted> wanted);
  void End();

  // From any thread.
  void Cancel(CallId call);
  void CancelGenerations();
  // Also all passes to come.
  void CancelAll();

 private:
  template <typename Matches>
  void Remove(Matches matches);

  Context* const context_;
  std::mutex mutex_;
  std::vector<Wanted> wanted_;
  bool is_over_ = false;
};

}  // namespace cfab
