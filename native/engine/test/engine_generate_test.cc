#include "check.h"
#include "engine_support.h"

using namespace cfab;
using namespace cfab::test;

namespace {

std::string TextOf(const std::vector<TokenId>& ids) {
  std::string text;
  for (const TokenId id : ids) {
    if (!TestModel().IsStop(id)) text += TestModel().Piece(id, false);
  }
  return text;
}

bool AreSame(const Outcome& a, const Outcome& b) {
  return a.ids == b.ids && a.text == b.text && a.logprobs == b.logprobs && a.finish == b.finish;
}

}  // namespace

TEST("a job gives the same tokens alone and among eight mixed streams") {
  std::vector<GenerateJob> jobs;
  const size_t lengths[] = {1, 5, 63, 64, 130, 17, 17, 90};
  for (CallId call = 0; call < 8; call++) {
    jobs.push_back(JobOf(call, PromptOf(lengths[call], call), 20 + 5 * call, static_cast<uint8_t>(call)));
  }
  Desk desk(SpecOf(8));
  for (const GenerateJob& job : jobs) desk.engine().Generate(job);
  for (const GenerateJob& job : jobs) {
    const Outcome among = desk.Wait(job.call);
    REQUIRE(among.has_ended);
    CHECK_EQ(among.too_late, 0);
    const Outcome alone = RunAlone(job, SpecOf(1));
    if (!CHECK_EQ(among.ids, alone.ids)) std::printf("  call %u\n", job.call);
    CHECK(AreSame(among, alone));
  }
}

TEST("thirty jobs in four slots all end, each as if it were alone") {
  Desk desk(SpecOf(4));
  std::vector<GenerateJob> jobs;
  for (CallId call = 0; call < 30; call++) {
    jobs.push_back(JobOf(call, PromptOf(1 + call * 7 % 80, call), 1 + call * 5 % 23, static_cast<uint8_t>(call)));
    desk.engine().Generate(jobs.back());
  }
  Desk alone(SpecOf(1));
  for (const GenerateJob& job : jobs) alone.engine().Generate(job);
  for (const GenerateJob& job : jobs) CHECK(AreSame(desk.Wait(job.call), alone.Wait(job.call)));
  CHECK(desk.engine().Drain(1000));
  CHECK_EQ(desk.engine().Metrics().slots_busy, 0u);
}

TEST("more threads give the same tokens") {
  const GenerateJob job = JobOf(1, PromptOf(70, 3), 40);
  CHECK_EQ(RunAlone(job, SpecOf(2, 512, 2)).ids, RunAlone(job, SpecOf(2)).ids);
}

TEST("chunks up to 63 give the same tokens, whatever their sizes") {
  GenerateJob job = JobOf(1, PromptOf(100, 4), 30);
  const Outcome expected = RunAlone(job, SpecOf(1));
  job.chunks = {1, 2, 60, 7, 30};
  CHECK_EQ(RunAlone(job, SpecOf(1)).ids, expected.ids);
}

TEST("prompts of one token and of a whole context are computed, one more is refused") {
  Desk desk(SpecOf(2, 256));
  const uint32_t context_tokens = desk.engine().context_tokens();
  CHECK_EQ(context_tokens, 256u);
  desk.engine().Generate(JobOf(1, PromptOf(1, 1), 3));
  desk.engine().Generate(JobOf(2, PromptOf(context_tokens, 2), 1));
  desk.engine().Generate(JobOf(3, PromptOf(context_tokens, 3), 9));
  desk.engine().Generate(JobOf(4, PromptOf(context_tokens + 1, 4), 1));
  CHECK(desk.Wait(1).ids.size() > 0);
  CHECK_EQ(desk.Wait(2).ids.size(), size_t{1});
  CHECK_EQ(desk.Wait(3).ids.size(), size_t{1});
  CHECK_EQ(desk.Wait(4).failure, Failure::kDecodeFailed);
}

TEST("an output ends where the context is full") {
  Desk desk(SpecOf(1, 256));
  desk.engine().Generate(EndlessOf(1, PromptOf(250, 5), 100));
  const Outcome outcome = desk.Wait(1);
  CHECK_EQ(outcome.ids.size(), size_t{7});
  CHECK_EQ(outcome.finish, Finish::kLength);
}

TEST("jobs that no pass can compute are refused, and the next one runs") {
  Desk desk(SpecOf(1, 256));
  const std::vector<TokenId> prompt = PromptOf(10, 1);
  std::vector<GenerateJob> jobs(8, JobOf(0, prompt, 5));
  jobs[0].prompt.clear();
  jobs[1].chunks = {9};
  jobs[2].chunks = {5, 0, 5};
  jobs[3].prompt[4] = -1;
  jobs[4].prompt[4] = TestModel().vocab_size();
  jobs[5].max_tokens = 0;
  jobs[6].chunks = {};
  jobs[7].chunks = {4294967295u, 11};
  for (CallId call = 0; call < 8; call++) {
    jobs[call].call = call;
    desk.engine().Generate(jobs[call]);
    CHECK_EQ(desk.Wait(call).failure, Failure::kDecodeFailed);
  }
  desk.engine().Generate(EndlessOf(20, prompt, 5));
  CHECK_EQ(desk.Wait(20).ids.size(), size_t{5});
}

TEST("the text is that of the tokens, and the limit ends it") {
  const Outcome outcome = RunAlone(JobOf(1, TestModel().Tokenize("Once upon a time", true), 40), SpecOf(1));
  CHECK_EQ(outcome.text, TextOf(outcome.ids));
  CHECK(outcome.ids.size() == 40 || outcome.finish == Finish::kStop);
  CHECK_EQ(outcome.logprobs.size(), outcome.ids.size());
  for (const double logprob : outcome.logprobs) CHECK(logprob <= 0);
}

TEST("a stop string ends an output after the token that completes it, and stays in the text") {
  GenerateJob job = JobOf(1, TestModel().Tokenize("Once upon a time", true), 60);
  const Outcome whole = RunAlone(job, SpecOf(1));
  REQUIRE(whole.text.size() > 30);
  const std::string stop = whole.text.substr(17, 4);
  job.stop = {"never there", stop};
  const Outcome stopped = RunAlone(job, SpecOf(1));
  CHECK_EQ(stopped.finish, Finish::kStop);
  CHECK(stopped.ids.size() < whole.ids.size());
  CHECK(std::equal(stopped.ids.begin(), stopped.ids.end(), whole.ids.begin()));
  CHECK(stopped.text.find(stop) != std::string::npos);
  CHECK_EQ(stopped.text, TextOf(stopped.ids));
}

TEST("alternatives begin with the chosen token and go on with the best") {
  GenerateJob job = JobOf(1, PromptOf(9, 9), 6);
  job.top_logprobs = 3;
  const Outcome outcome = RunAlone(job, SpecOf(1));
  REQUIRE(outcome.alternatives.size() == outcome.ids.size());
  for (size_t at = 0; at < outcome.ids.size(); at++) {
    const auto& alternatives = outcome.alternatives[at];
    REQUIRE(alternatives.size() == 4);
    CHECK_EQ(alternatives[0].id, outcome.ids[at]);
    CHECK_EQ(alternatives[0].logprob, outcome.logprobs[at]);
    CHECK(alternatives[1].logprob >= alternatives[2].logprob && alternatives[2].logprob >= alternatives[3].logprob);
  }
  job.top_logprobs = 0;
  CHECK_EQ(RunAlone(job, SpecOf(1)).alternatives[0].size(), size_t{1});
}

TEST("a grammar that is none and one that allows nothing fail their job alone") {
  Desk desk(SpecOf(3));
  const std::vector<TokenId> prompt = PromptOf(8, 1);
  GenerateJob invalid = JobOf(1, prompt, 20), stuck = JobOf(2, prompt, 20);
  invalid.sampling.kind = stuck.sampling.kind = SamplingSpec::Kind::kLlama;
  invalid.grammar = "root ::= undefined";
  stuck.grammar = "root ::= \"a\" [^\\x00-\\U0010FFFF]";
  desk.engine().Generate(invalid);
  desk.engine().Generate(stuck);
  desk.engine().Generate(JobOf(3, prompt, 20));
  CHECK_EQ(desk.Wait(1).failure, Failure::kGrammarInvalid);
  CHECK_EQ(desk.Wait(2).failure, Failure::kGrammarStuck);
  CHECK_EQ(desk.Wait(3).ids, RunAlone(JobOf(3, prompt, 20), SpecOf(1)).ids);
}

TEST("a grammar that is none is told as soon as its job has a slot, though nothing is computed then") {
  Desk desk(SpecOf(1));
  const std::vector<TokenId> prompt = PromptOf(8, 1);
  GenerateJob invalid = JobOf(2, prompt, 20);
  invalid.grammar = "root ::= undefined";
  desk.engine().Generate(EndlessOf(1, prompt, 40));
  desk.engine().Generate(invalid);
  CHECK_EQ(desk.Wait(1).finish, Finish::kLength);
  CHECK(desk.engine().Drain(5000));
  CHECK_EQ(desk.Peek(2).failure, Failure::kGrammarInvalid);
}

TEST("a grammar is followed") {
  GenerateJob job = JobOf(1, TestModel().Tokenize("The answer is", true), 20);
  job.sampling.kind = SamplingSpec::Kind::kLlama;
  job.grammar = "root ::= (\"yes\" | \"no\") \".\"";
  const Outcome outcome = RunAlone(job, SpecOf(2));
  CHECK(outcome.text == "yes." || outcome.text == "no.");
  CHECK_EQ(outcome.finish, Finish::kStop);
}
