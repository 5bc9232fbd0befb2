// What callers want of the engine's thread, in the order in which they said it.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "engine.h"
#include "work.h"

namespace cfab {

struct Command {
  enum class Kind : uint8_t { kSequence, kEmbed, kFail, kCancel, kAbortGenerations, kPause, kResume };
  Kind kind;
  CallId call = 0;
  Failure failure = Failure::kNone;
  std::unique_ptr<Sequence> sequence;
  EmbedJob embed;
};

class Inbox {
 public:
  // `jobs_max`: more that are not in a slot are turned into a failure at once.
  explicit Inbox(uint32_t jobs_max) : jobs_max_(jobs_max) {}

  void Push(Command command);
  // Waits for a command unless `has_work`. `jobs`: those that the engine's thread has, `waiting` of them without a slot. Returns
  // false once Stop was called.
  bool Take(bool has_work, uint32_t jobs, uint32_t waiting, std::vector<Command>* commands);
  void Stop();
  // Waits until no job is anywhere, at the longest `timeout_ms` and not beyond Stop. Returns whether none is.
  bool WaitUntilEmpty(uint32_t timeout_ms);

 private:
  const uint32_t jobs_max_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::condition_variable emptied_;
  std::vector<Command> commands_;
  // Of the commands, and of those that were taken.
  uint32_t jobs_coming_ = 0;
  uint32_t jobs_waiting_ = 0;
  bool is_empty_ = true;
  bool is_stopped_ = false;
};

}  // namespace cfab
