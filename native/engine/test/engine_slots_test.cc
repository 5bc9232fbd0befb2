#include "../slots.h"
#include "check.h"
#include "engine_support.h"
#include "random.h"

#include <chrono>
#include <thread>

using namespace cfab;
using namespace cfab::test;

namespace {

GenerateJob Keyed(CallId call, std::vector<TokenId> prompt, uint32_t max_tokens, const std::string& key) {
  GenerateJob job = JobOf(call, std::move(prompt), max_tokens);
  job.cache_key = key;
  return job;
}

std::vector<TokenId> Joined(std::vector<TokenId> a, const std::vector<TokenId>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

ContextSpec CachingSpec(uint32_t slot_count, uint32_t cached_max) {
  ContextSpec spec = SpecOf(slot_count);
  spec.cached_sequences_max = cached_max;
  return spec;
}

}  // namespace

TEST("a schedule without its first tokens keeps its cuts") {
  CHECK_EQ(ChunksAfter({63, 63, 10}, 0), (std::vector<uint32_t>{63, 63, 10}));
  CHECK_EQ(ChunksAfter({63, 63, 10}, 63), (std::vector<uint32_t>{63, 10}));
  CHECK_EQ(ChunksAfter({63, 63, 10}, 70), (std::vector<uint32_t>{56, 10}));
  CHECK_EQ(ChunksAfter({63, 63, 10}, 135), (std::vector<uint32_t>{1}));
}

TEST("when streams end, those in higher slots move down and go on as if nothing had happened") {
  Desk desk(SpecOf(6));
  std::vector<GenerateJob> jobs;
  for (CallId call = 0; call < 6; call++) {
    const uint32_t max_tokens = call % 2 == 0 ? 10 + call : 150;
    jobs.push_back(EndlessOf(call, PromptOf(20, call), max_tokens));
    desk.engine().Generate(jobs.back());
  }
  for (const GenerateJob& job : jobs) {
    const Outcome outcome = desk.Wait(job.call);
    CHECK_EQ(outcome.ids, RunAlone(job, SpecOf(1)).ids);
    CHECK(outcome.slots.back() <= 3 || job.max_tokens < 150);
    CHECK_EQ(outcome.ids.size(), size_t{job.max_tokens});
  }
}

TEST("audits lie above the streams that generate") {
  Desk desk(SpecOf(4));
  desk.engine().Pause();
  const GenerateJob job = EndlessOf(1, PromptOf(20, 1), 40);
  AuditJob audit = AuditOf(9, job, PromptOf(200, 2));
  audit.priority = Priority::kNormal;
  desk.engine().Audit(audit);
  for (CallId call = 1; call <= 2; call++) desk.engine().Generate(EndlessOf(call, job.prompt, 40));
  desk.engine().Resume();
  CHECK_EQ(desk.Wait(1).slots, std::vector<uint32_t>(40, 0));
  CHECK_EQ(desk.Wait(2).slots, std::vector<uint32_t>(40, 1));
  CHECK_EQ(desk.Wait(9).audit.size(), size_t{200});
}

TEST("a prompt that goes on from an earlier one of its key is read from there, and gives the same ids") {
  Desk desk(CachingSpec(3, 2));
  const std::vector<TokenId> prompt = PromptOf(100, 1);
  desk.engine().Generate(Keyed(1, prompt, 30, "user"));
  const Outcome first = desk.Wait(1);
  const GenerateJob second = Keyed(2, Joined(Joined(prompt, first.ids), PromptOf(20, 2)), 30, "user");
  desk.engine().Generate(second);
  CHECK_EQ(desk.Wait(2).ids, RunAlone(second, SpecOf(1)).ids);
  CHECK_EQ(desk.engine().Metrics().tokens_from_cache, static_cast<uint64_t>(100 + first.ids.size() - 1));

  const GenerateJob other_turn = Keyed(3, Joined(prompt, PromptOf(15, 9)), 30, "user");
  desk.engine().Generate(other_turn);
  CHECK_EQ(desk.Wait(3).ids, RunAlone(other_turn, SpecOf(1)).ids);
  const GenerateJob same = Keyed(4, other_turn.prompt, 30, "user");
  desk.engine().Generate(same);
  CHECK_EQ(desk.Wait(4).ids, desk.Wait(3).ids);
}

TEST("nothing is shared without a key, under another key, or where the cache is off") {
  const std::vector<TokenId> prompt = PromptOf(100, 1);
  Desk desk(CachingSpec(3, 2));
  desk.engine().Generate(Keyed(1, prompt, 5, "mine"));
  desk.Wait(1);
  desk.engine().Generate(Keyed(2, prompt, 5, ""));
  desk.Wait(2);
  desk.engine().Generate(Keyed(3, prompt, 5, "yours"));
  desk.Wait(3);
  CHECK_EQ(desk.engine().Metrics().tokens_from_cache, uint64_t{0});
  Desk off(CachingSpec(3, 0));
  for (CallId call = 1; call <= 2; call++) {
    off.engine().Generate(Keyed(call, prompt, 5, "mine"));
    off.Wait(call);
  }
  CHECK(off.engine().Drain(1000));
  CHECK_EQ(off.engine().Metrics().tokens_from_cache, uint64_t{0});
  CHECK_EQ(off.engine().Metrics().kv_tokens_used, uint64_t{0});
}

TEST("what was kept longest gives way, to what is kept next and to jobs that need the slot") {
  Desk desk(CachingSpec(2, 2));
  const std::vector<TokenId> a = PromptOf(50, 1), b = PromptOf(50, 2), c = PromptOf(50, 3);
  const auto run = [&desk](CallId call, const std::vector<TokenId>& prompt) {
    const uint64_t before = desk.engine().Metrics().tokens_from_cache;
    desk.engine().Generate(Keyed(call, prompt, 3, "key"));
    desk.Wait(call);
    desk.engine().Drain(1000);
    return desk.engine().Metrics().tokens_from_cache - before;
  };
  CHECK_EQ(run(1, a), uint64_t{0});
  CHECK_EQ(run(2, b), uint64_t{0});
  CHECK_EQ(run(3, a), uint64_t{49});
  CHECK_EQ(run(4, c), uint64_t{0});
  CHECK_EQ(run(5, a), uint64_t{49});
  CHECK_EQ(run(6, b), uint64_t{0});
  // Two slots, both kept: jobs without a key still run two at a time.
  for (CallId call = 10; call < 14; call++) desk.engine().Generate(JobOf(call, a, 20));
  for (CallId call = 10; call < 14; call++) CHECK_EQ(desk.Wait(call).ids, desk.Wait(10).ids);
  CHECK_EQ(desk.Wait(10).ids, RunAlone(JobOf(1, a, 20), SpecOf(1)).ids);
}

TEST("kept sequences between streams move out of the way and are still found") {
  Desk desk(CachingSpec(5, 2));
  const std::vector<TokenId> prompt = PromptOf(60, 1);
  std::vector<GenerateJob> jobs;
  for (CallId call = 0; call < 4; call++) jobs.push_back(EndlessOf(call, PromptOf(20, 5 + call), 120));
  jobs[1] = Keyed(1, prompt, 10, "key");
  for (const GenerateJob& job : jobs) desk.engine().Generate(job);
  for (const GenerateJob& job : jobs) {
    const Outcome outcome = desk.Wait(job.call);
    CHECK_EQ(outcome.ids, RunAlone(job, SpecOf(1)).ids);
    CHECK(outcome.slots.back() <= 2);
  }
  const GenerateJob next = Keyed(9, Joined(prompt, PromptOf(9, 9)), 20, "key");
  desk.engine().Generate(next);
  CHECK_EQ(desk.Wait(9).ids, RunAlone(next, SpecOf(1)).ids);
  CHECK(desk.engine().Metrics().tokens_from_cache >= 60);
}

TEST("whatever is kept, cancelled, moved or given up meanwhile, a job gives the ids that it gives alone") {
  Random random;
  Desk desk(CachingSpec(5, 3)), alone(SpecOf(1));
  std::vector<GenerateJob> jobs;
  for (CallId call = 0; call < 120; call++) {
    // Beginnings in common, of any length, below a few roots.
    std::vector<TokenId> prompt = PromptOf(100, random.Below(3));
    prompt.resize(1 + random.Below(100));
    prompt = Joined(prompt, PromptOf(random.Below(3) * 7, call));
    GenerateJob job = EndlessOf(call, prompt, static_cast<uint32_t>(1 + random.Below(60)));
    if (random.Below(4) != 0) job.cache_key = random.Below(4) == 0 ? "b" : "a";
    jobs.push_back(job);
    desk.engine().Generate(job);
    if (random.Below(6) == 0) desk.engine().Audit(AuditOf(1000 + call, job, PromptOf(1 + random.Below(80), call)));
    std::this_thread::sleep_for(std::chrono::milliseconds(random.Below(12)));
    if (random.Below(2) == 0) desk.engine().Cancel(static_cast<CallId>(call - random.Below(6)));
  }
  CHECK(desk.engine().Drain(120'000));
  CHECK(desk.engine().Metrics().tokens_from_cache > 0);
  for (const GenerateJob& job : jobs) {
    const Outcome outcome = desk.Wait(job.call);
    if (outcome.finish != Finish::kLength) continue;
    alone.engine().Generate(job);
    CHECK_EQ(outcome.ids, alone.Wait(job.call).ids);
  }
}
