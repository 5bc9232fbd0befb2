// Jobs that wait for a slot: normal ones before low ones, each in the order in which they came.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>

#include "work.h"

namespace cfab {

class Line {
 public:
  void Add(std::unique_ptr<Sequence> sequence);
  uint32_t size() const { return static_cast<uint32_t>(normal_.size() + low_.size()); }
  // The one that goes first; null when none waits, or only low ones while these may not.
  std::unique_ptr<Sequence> TakeFirst(bool allows_low);
  // The one that came last, a low one before a normal one; null when none waits.
  std::unique_ptr<Sequence> TakeLast();

  // Takes out those that match.
  template <typename Matches>
  std::deque<std::unique_ptr<Sequence>> TakeWhere(Matches matches) {
    std::deque<std::unique_ptr<Sequence>> taken;
    for (auto* queue : {&normal_, &low_}) {
      std::deque<std::unique_ptr<Sequence>> left;
      for (auto& sequence : *queue) (matches(*sequence) ? taken : left).push_back(std::move(sequence));
      queue->swap(left);
    }
    return taken;
  }

 private:
  std::deque<std::unique_ptr<Sequence>> normal_;
  std::deque<std::unique_ptr<Sequence>> low_;
  uint64_t arrivals_ = 0;
};

}  // namespace cfab
