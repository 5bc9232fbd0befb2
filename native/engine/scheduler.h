// The engine's thread: obeys, admits, computes, reports, over and over.
#pragma once

#include <memory>
#include <vector>

#include "batch.h"
#include "context.h"
#include "embedder.h"
#include "inbox.h"
#include "line.h"
#include "meter.h"
#include "planner.h"
#include "slots.h"
#include "watch.h"

namespace cfab {

class Scheduler {
 public:
  Scheduler(Context* context, Inbox* inbox, PassWatch* watch, Meter* meter, OnStep on_step);

  // Until the inbox is stopped; then everything that is left ends as aborted.
  void Run();

 private:
  void Obey(std::vector<Command>* commands);
  void ObeyOne(Command* command);
  template <typename Matches>
  void CancelWhere(Matches matches);
  void RefuseOverflow();
  void Admit();
  void AdmitOne(std::unique_ptr<Sequence> sequence);

  void Step();
  void Generate(const std::vector<uint32_t>& slots);
  void Read(bool is_beside_generation);
  void Embed();
  Context::Passed Compute(std::vector<PassWatch::Wanted> wanted);
  bool ComputeSlots(const std::vector<uint32_t>& slots);
  // Hands out the rows of the pass and takes out those that ended.
  void TakeRows(const std::vector<uint32_t>& slots);
  uint32_t TakeRowsOf(uint32_t slot, uint32_t batch_at);
  void FailSlots(const std::vector<uint32_t>& slots);

  void Flush();
  void Publish();
  uint32_t jobs() const { return slots_.busy() + line_.size() + embedder_.jobs(); }
  bool has_work() const { return !is_paused_ && jobs() > 0; }

  Context* const context_;
  Inbox* const inbox_;
  PassWatch* const watch_;
  Meter* const meter_;
  const OnStep on_step_;
  Slots slots_;
  Line line_;
  Embedder embedder_;
  Batch batch_;
  StepReport report_;
  bool is_paused_ = false;
  // What low-priority reading took beyond its share of the time.
  int64_t low_debt_ns_ = 0;
};

}  // namespace cfab
