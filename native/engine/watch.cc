#include "watch.h"

#include <algorithm>
#include <utility>

namespace cfab {

void PassWatch::Begin(std::vector<Wanted> wanted) {
  const std::lock_guard<std::mutex> lock(mutex_);
  wanted_ = std::move(wanted);
}

void PassWatch::End() {
  const std::lock_guard<std::mutex> lock(mutex_);
  wanted_.clear();
  context_->SetAbort(is_over_);
}

template <typename Matches>
void PassWatch::Remove(Matches matches) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (wanted_.empty()) return;
  wanted_.erase(std::remove_if(wanted_.begin(), wanted_.end(), matches), wanted_.end());
  if (wanted_.empty()) context_->SetAbort(true);
}

void PassWatch::Cancel(CallId call) {
  Remove([call](const Wanted& wanted) { return wanted.call == call; });
}

void PassWatch::CancelGenerations() {
  Remove([](const Wanted& wanted) { return wanted.is_generation; });
}

void PassWatch::CancelAll() {
  const std::lock_guard<std::mutex> lock(mutex_);
  is_over_ = true;
  context_->SetAbort(true);
}

}  // namespace cfab
