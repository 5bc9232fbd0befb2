#include "line.h"

#include <utility>

namespace cfab {

void Line::Add(std::unique_ptr<Sequence> sequence) {
  sequence->arrival = ++arrivals_;
  (sequence->priority == Priority::kLow ? low_ : normal_).push_back(std::move(sequence));
}

std::unique_ptr<Sequence> Line::TakeFirst(bool allows_low) {
  if (normal_.empty() && (low_.empty() || !allows_low)) return nullptr;
  auto& queue = normal_.empty() ? low_ : normal_;
  std::unique_ptr<Sequence> first = std::move(queue.front());
  queue.pop_front();
  return first;
}

std::unique_ptr<Sequence> Line::TakeLast() {
  if (size() == 0) return nullptr;
  auto& queue = low_.empty() ? normal_ : low_;
  std::unique_ptr<Sequence> last = std::move(queue.back());
  queue.pop_back();
  return last;
}

}  // namespace cfab
