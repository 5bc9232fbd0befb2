#include "check.h"
#include "engine_support.h"

using namespace cfab;
using namespace cfab::test;

namespace {

// Positions that lost against the verifier's own choice.
int LostCount(const std::vector<AuditPosition>& positions) {
  int lost = 0;
  for (const AuditPosition& position : positions) lost += position.margin.nats > 0;
  return lost;
}

bool AreSame(const std::vector<AuditPosition>& a, const std::vector<AuditPosition>& b) {
  if (a.size() != b.size()) return false;
  for (size_t at = 0; at < a.size(); at++) {
    if (a[at].margin.nats != b[at].margin.nats || a[at].candidates.count != b[at].candidates.count) return false;
    for (int rank = 0; rank < a[at].candidates.count; rank++) {
      const auto place = static_cast<size_t>(rank);
      if (a[at].candidates.top[place].logit != b[at].candidates.top[place].logit) return false;
    }
  }
  return true;
}

}  // namespace

TEST("an audit of what the engine wrote itself finds no margin at all") {
  Desk desk(SpecOf(4));
  const size_t lengths[] = {1, 16, 63, 64, 150, 200};
  for (CallId call = 0; call < 6; call++) {
    const GenerateJob job = JobOf(call, PromptOf(lengths[call], call), 1 + call * 30, static_cast<uint8_t>(call));
    desk.engine().Generate(job);
    const Outcome outcome = desk.Wait(call);
    desk.engine().Audit(AuditOf(100 + call, job, outcome.ids));
    const Outcome audit = desk.Wait(100 + call);
    CHECK_EQ(audit.audit.size(), outcome.ids.size());
    CHECK_EQ(LostCount(audit.audit), 0);
  }
}

TEST("an audit sees a token that was exchanged, under the job's own noise") {
  Desk desk(SpecOf(1));
  const GenerateJob job = JobOf(1, PromptOf(20, 1), 40);
  desk.engine().Generate(job);
  std::vector<TokenId> output = desk.Wait(1).ids;
  REQUIRE(output.size() > 20);
  output[10] = output[10] == 40 ? 41 : 40;
  desk.engine().Audit(AuditOf(2, job, output));
  const Outcome audit = desk.Wait(2);
  REQUIRE(audit.audit.size() == output.size());
  CHECK(audit.audit[10].margin.nats > 0);
  for (size_t at = 0; at < 10; at++) CHECK_EQ(audit.audit[at].margin.nats, 0.0);
}

TEST("an audit gives the same bits alone, with three others, and beside generations") {
  const GenerateJob job = JobOf(1, PromptOf(16, 1), 140);
  const std::vector<TokenId> output = PromptOf(140, 7);
  Desk alone(SpecOf(1));
  alone.engine().Audit(AuditOf(1, job, output));
  const Outcome expected = alone.Wait(1);
  REQUIRE(expected.audit.size() == output.size());

  Desk desk(SpecOf(8));
  for (CallId call = 1; call <= 4; call++) desk.engine().Audit(AuditOf(call, job, output));
  for (CallId call = 1; call <= 4; call++) CHECK(AreSame(desk.Wait(call).audit, expected.audit));
  for (CallId call = 11; call <= 14; call++) desk.engine().Generate(EndlessOf(call, PromptOf(30, call), 300));
  desk.WaitForTokens(14, 2);
  for (CallId call = 21; call <= 23; call++) desk.engine().Audit(AuditOf(call, job, output));
  for (CallId call = 21; call <= 23; call++) CHECK(AreSame(desk.Wait(call).audit, expected.audit));
  desk.engine().AbortGenerations();
}

TEST("a chunk of a committed prompt is computed as one pass, so larger chunks give their own bits again") {
  GenerateJob job = JobOf(1, PromptOf(300, 1), 50);
  job.chunks = {256, 44};
  Desk desk(SpecOf(4));
  desk.engine().Generate(job);
  const Outcome outcome = desk.Wait(1);
  for (CallId call = 2; call <= 4; call++) desk.engine().Audit(AuditOf(call, job, outcome.ids));
  for (CallId call = 2; call <= 4; call++) CHECK_EQ(LostCount(desk.Wait(call).audit), 0);
  AuditJob other = AuditOf(5, job, outcome.ids);
  other.chunks = ChunksOf(300);
  desk.engine().Audit(other);
  const Outcome replayed = desk.Wait(5);
  CHECK(!AreSame(replayed.audit, desk.Wait(2).audit));
}

TEST("audits wait for normal jobs and leave them a slot") {
  Desk desk(SpecOf(2));
  const GenerateJob job = JobOf(1, PromptOf(16, 1), 1);
  desk.engine().Pause();
  for (CallId call = 1; call <= 4; call++) desk.engine().Audit(AuditOf(call, job, PromptOf(300, call)));
  desk.engine().Generate(JobOf(5, PromptOf(10, 5), 3));
  desk.engine().Resume();
  CHECK_EQ(desk.Wait(5).ids.size(), size_t{3});
  CHECK(!desk.Peek(4).has_ended);
  for (CallId call = 1; call <= 4; call++) CHECK_EQ(desk.Wait(call).audit.size(), size_t{300});
}

TEST("a cancelled audit and one that no pass can compute have no positions") {
  Desk desk(SpecOf(1));
  const GenerateJob job = JobOf(1, PromptOf(16, 1), 1);
  AuditJob wrong = AuditOf(1, job, {});
  desk.engine().Audit(wrong);
  wrong = AuditOf(2, job, {5, TestModel().vocab_size()});
  desk.engine().Audit(wrong);
  wrong = AuditOf(3, job, PromptOf(498, 1));
  desk.engine().Audit(wrong);
  for (CallId call = 1; call <= 3; call++) CHECK_EQ(desk.Wait(call).failure, Failure::kDecodeFailed);
  desk.engine().Pause();
  desk.engine().Audit(AuditOf(4, job, PromptOf(100, 1)));
  desk.engine().Cancel(4);
  const Outcome cancelled = desk.Wait(4);
  CHECK(cancelled.has_ended && cancelled.audit.empty());
  desk.engine().Resume();
  desk.engine().Audit(AuditOf(5, job, PromptOf(497, 1)));
  CHECK_EQ(desk.Wait(5).audit.size(), size_t{497});
}
