#include "inbox.h"

#include <chrono>
#include <utility>

namespace cfab {

void Inbox::Push(Command command) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const bool is_job = command.kind == Command::Kind::kSequence || command.kind == Command::Kind::kEmbed;
    if (is_job && jobs_coming_ + jobs_waiting_ >= jobs_max_) {
      command = {Command::Kind::kFail, command.call, Failure::kQueueFull, nullptr, {}};
    } else if (is_job) {
      jobs_coming_++;
      is_empty_ = false;
    }
    commands_.push_back(std::move(command));
  }
  changed_.notify_one();
}

bool Inbox::Take(bool has_work, uint32_t jobs, uint32_t waiting, std::vector<Command>* commands) {
  commands->clear();
  std::unique_lock<std::mutex> lock(mutex_);
  is_empty_ = jobs == 0 && jobs_coming_ == 0;
  jobs_waiting_ = waiting;
  if (is_empty_) emptied_.notify_all();
  if (!has_work) changed_.wait(lock, [this] { return is_stopped_ || !commands_.empty(); });
  commands->swap(commands_);
  jobs_waiting_ += jobs_coming_;
  jobs_coming_ = 0;
  return !is_stopped_;
}

void Inbox::Stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    is_stopped_ = true;
  }
  changed_.notify_one();
  emptied_.notify_all();
}

bool Inbox::WaitUntilEmpty(uint32_t timeout_ms) {
  std::unique_lock<std::mutex> lock(mutex_);
  emptied_.wait_for(lock, std::chrono::milliseconds(timeout_ms), [this] { return is_empty_ || is_stopped_; });
  return is_empty_;
}

}  // namespace cfab
