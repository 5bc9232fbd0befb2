#include "check.h"
#include "engine_support.h"
#include "random.h"

#include <chrono>
#include <fstream>
#include <thread>

using namespace cfab;
using namespace cfab::test;

namespace {

void Sleep(int milliseconds) { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)); }

// Resident memory in pages; 0 where the system does not tell.
long ResidentPages() {
  std::ifstream file("/proc/self/statm");
  long all = 0, resident = 0;
  file >> all >> resident;
  return resident;
}

// Generations, audits and calls of both priorities.
void SubmitAny(Engine& engine, CallId call, Random& random) {
  GenerateJob job = JobOf(call, PromptOf(1 + random.Below(140), call), static_cast<uint32_t>(1 + random.Below(40)));
  job.priority = random.Below(4) == 0 ? Priority::kLow : Priority::kNormal;
  if (random.Below(4) == 0) return engine.Audit(AuditOf(call, job, PromptOf(1 + random.Below(100), call + 1)));
  if (random.Below(3) == 0) job.cache_key = "a";
  engine.Generate(std::move(job));
}

}  // namespace

TEST("a thousand cancels at random moments leave no job without an end and no slot stuck") {
  Random random;
  ContextSpec spec = SpecOf(4, 256);
  spec.cached_sequences_max = 2;
  Desk desk(spec);
  for (CallId call = 0; call < 1000; call++) {
    SubmitAny(desk.engine(), call, random);
    if (random.Below(3) == 0) Sleep(static_cast<int>(random.Below(4)));
    desk.engine().Cancel(static_cast<CallId>(call - random.Below(8)));
    if (random.Below(8) == 0) desk.engine().Cancel(call);
  }
  CHECK(desk.engine().Drain(60'000));
  CHECK_EQ(desk.EndedCount(), size_t{1000});
  int too_late = 0;
  for (CallId call = 0; call < 1000; call++) too_late += desk.Peek(call).too_late;
  CHECK_EQ(too_late, 0);
  CHECK_EQ(desk.engine().Metrics().slots_busy, 0u);
  const GenerateJob last = JobOf(2000, PromptOf(30, 1), 20);
  desk.engine().Generate(last);
  CHECK_EQ(desk.Wait(2000).ids, RunAlone(last, SpecOf(1)).ids);
}

TEST("a cancel ends one stream with what was held back of its text, and leaves the others as they are") {
  Desk desk(SpecOf(3));
  std::vector<GenerateJob> jobs;
  for (CallId call = 1; call <= 3; call++) jobs.push_back(EndlessOf(call, PromptOf(20, call), 300));
  for (const GenerateJob& job : jobs) desk.engine().Generate(job);
  desk.WaitForTokens(1, 10);
  desk.engine().Cancel(1);
  const Outcome cancelled = desk.Wait(1);
  CHECK_EQ(cancelled.finish, Finish::kAborted);
  CHECK(cancelled.ids.size() >= 10 && cancelled.ids.size() < 300);
  for (const CallId call : {2u, 3u}) CHECK_EQ(desk.Wait(call).ids, RunAlone(jobs[call - 1], SpecOf(1)).ids);
}

TEST("a cancel ends a pass whose tokens nobody wants any more, and the next one computes the same as ever") {
  Desk desk(SpecOf(2));
  GenerateJob job = JobOf(0, PromptOf(500, 1), 4);
  job.chunks = {500};
  const Outcome expected = RunAlone(job, SpecOf(1));
  for (job.call = 1; job.call <= 40; job.call++) {
    desk.engine().Generate(job);
    if (job.call % 4 == 0) {
      CHECK_EQ(desk.Wait(job.call).ids, expected.ids);
      continue;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(job.call * 400));
    desk.engine().Cancel(job.call);
    CHECK_EQ(desk.Wait(job.call).failure, Failure::kNone);
  }
}

TEST("an abort ends every generation, running or waiting, and no audit") {
  Desk desk(SpecOf(2));
  const GenerateJob job = JobOf(1, PromptOf(20, 1), 300);
  for (CallId call = 1; call <= 6; call++) desk.engine().Generate(EndlessOf(call, job.prompt, 300));
  AuditJob audit = AuditOf(9, job, PromptOf(70, 2));
  audit.priority = Priority::kNormal;
  desk.engine().Audit(audit);
  desk.WaitForTokens(1, 3);
  desk.engine().AbortGenerations();
  for (CallId call = 1; call <= 6; call++) CHECK_EQ(desk.Wait(call).finish, Finish::kAborted);
  CHECK_EQ(desk.Wait(9).audit.size(), size_t{70});
}

TEST("one more job than may wait is refused, the others run") {
  ContextSpec spec = SpecOf(2);
  spec.waiting_max = 3;
  Desk desk(spec);
  desk.engine().Pause();
  for (CallId call = 1; call <= 8; call++) desk.engine().Generate(EndlessOf(call, PromptOf(5, call), 5));
  for (const CallId call : {6u, 7u, 8u}) CHECK_EQ(desk.Wait(call).failure, Failure::kQueueFull);
  desk.engine().Resume();
  for (CallId call = 1; call <= 5; call++) CHECK_EQ(desk.Wait(call).ids.size(), size_t{5});
}

TEST("a paused engine computes nothing, takes jobs, and lets them be cancelled") {
  Desk desk(SpecOf(2));
  desk.engine().Generate(EndlessOf(1, PromptOf(20, 1), 400));
  desk.WaitForTokens(1, 5);
  desk.engine().Pause();
  Sleep(50);
  const size_t tokens = desk.Peek(1).ids.size();
  desk.engine().Generate(EndlessOf(2, PromptOf(20, 2), 10));
  desk.engine().Generate(JobOf(3, PromptOf(20, 3), 10));
  desk.engine().Cancel(3);
  CHECK_EQ(desk.Wait(3).finish, Finish::kAborted);
  CHECK(!desk.engine().Drain(50));
  CHECK_EQ(desk.Peek(1).ids.size(), tokens);
  CHECK_EQ(desk.Peek(2).ids.size(), size_t{0});
  desk.engine().Resume();
  CHECK_EQ(desk.Wait(2).ids.size(), size_t{10});
  desk.engine().Cancel(1);
  CHECK(desk.engine().Drain(10'000));
}

TEST("an engine without work is drained, and one at rest uses no processor") {
  Desk desk(SpecOf(2, 256, 2));
  CHECK(desk.engine().Drain(0));
  desk.engine().Generate(JobOf(1, PromptOf(5, 1), 5));
  desk.Wait(1);
  CHECK(desk.engine().Drain(1000));
  Sleep(50);
  const std::clock_t before = std::clock();
  Sleep(300);
  CHECK(static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC < 0.1);
}

TEST("an engine that is stopped lets go of who waits for it to be drained, and ends all jobs") {
  Desk desk(SpecOf(1));
  desk.engine().Pause();
  for (CallId call = 1; call <= 2; call++) desk.engine().Generate(EndlessOf(call, PromptOf(9, call), 400));
  bool is_drained = true;
  std::thread waiting([&] { is_drained = desk.engine().Drain(60'000); });
  Sleep(20);
  desk.engine().Stop();
  waiting.join();
  CHECK(!is_drained);
  for (CallId call = 1; call <= 2; call++) CHECK_EQ(desk.Wait(call).finish, Finish::kAborted);
}

TEST("an engine that is destroyed while it runs ends all jobs as aborted") {
  for (const int delay_ms : {0, 1, 5, 30}) {
    Desk desk(SpecOf(2));
    for (CallId call = 1; call <= 6; call++) desk.engine().Generate(EndlessOf(call, PromptOf(100, call), 400));
    desk.engine().Audit(AuditOf(7, JobOf(7, PromptOf(9, 1), 1), PromptOf(50, 2)));
    Sleep(delay_ms);
    desk.Close();
    CHECK_EQ(desk.EndedCount(), size_t{7});
    CHECK_EQ(desk.Peek(1).finish, Finish::kAborted);
    CHECK_EQ(desk.Peek(7).audit.size(), size_t{0});
  }
}

TEST("memory stays as it is over two thousand jobs") {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  SKIP("a sanitizer keeps what was freed for a while, and finds what was not by itself");
#endif
  ContextSpec spec = SpecOf(4, 256);
  spec.cached_sequences_max = 1;
  Desk desk(spec);
  const auto run = [&desk](CallId first, CallId count) {
    for (CallId call = first; call < first + count; call++) {
      GenerateJob job = JobOf(call, PromptOf(3 + call % 20, call), 2);
      job.stop = {"zzz"};
      job.top_logprobs = 2;
      if (call % 5 == 0) job.cache_key = "key";
      if (call % 7 == 0) {
        desk.engine().Audit(AuditOf(call, job, PromptOf(9, call)));
      } else {
        desk.engine().Generate(std::move(job));
      }
      if (call % 200 == 199) desk.engine().Drain(60'000);
    }
    CHECK(desk.engine().Drain(60'000));
  };
  run(0, 1000);
  const long before = ResidentPages();
  if (before == 0) SKIP("this system does not tell resident memory");
  run(1000, 2000);
  // The desk itself keeps what was reported: about one kilobyte a job, five for an audit.
  CHECK((ResidentPages() - before) * 4 < 8 * 1024);
}

TEST("metrics count what was done") {
  Desk desk(SpecOf(2));
  GenerateJob job = JobOf(1, PromptOf(100, 1), 10);
  desk.engine().Generate(job);
  const Outcome outcome = desk.Wait(1);
  desk.engine().Audit(AuditOf(2, job, outcome.ids));
  desk.Wait(2);
  desk.engine().Drain(1000);
  const EngineMetrics metrics = desk.engine().Metrics();
  CHECK_EQ(metrics.tokens_decoded, static_cast<uint64_t>(outcome.ids.size()));
  CHECK_EQ(metrics.tokens_audited, static_cast<uint64_t>(outcome.ids.size()));
  CHECK_EQ(metrics.tokens_prefilled, static_cast<uint64_t>(200 + outcome.ids.size() - 1));
  CHECK_EQ(metrics.kv_tokens_used, uint64_t{0});
  CHECK(metrics.decode_ns > 0 && metrics.prefill_ns > 0 && metrics.sample_ns > 0 && metrics.steps >= outcome.ids.size());
}
