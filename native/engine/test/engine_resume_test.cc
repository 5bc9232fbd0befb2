#include <algorithm>

#include "check.h"
#include "engine_support.h"

using namespace cfab;
using namespace cfab::test;

namespace {

constexpr uint32_t kTokens = 240;
constexpr uint8_t kSeedMax = 30;
const size_t kCuts[] = {1, 7, 63, 64, 200};

GenerateJob After(GenerateJob job, const Outcome& whole, size_t cut) {
  job.prefix.assign(whole.ids.begin(), whole.ids.begin() + static_cast<ptrdiff_t>(cut));
  return job;
}

// What is said after a cut is what the whole says from there on, and the text of both parts is that of the whole.
void CheckCuts(const GenerateJob& job, const Outcome& whole) {
  for (const size_t cut : kCuts) {
    if (cut >= whole.ids.size()) continue;
    const Outcome rest = RunAlone(After(job, whole, cut), SpecOf(1));
    const std::vector<TokenId> expected(whole.ids.begin() + static_cast<ptrdiff_t>(cut), whole.ids.end());
    if (!CHECK_EQ(rest.ids, expected)) std::printf("  cut %zu\n", cut);
    CHECK_EQ(rest.finish, whole.finish);
    REQUIRE(rest.text.size() <= whole.text.size());
    CHECK_EQ(rest.text, whole.text.substr(whole.text.size() - rest.text.size()));
  }
}

// A draw that goes on for more than `tokens`: a longer or shorter beginning of a tale gives another.
GenerateJob LongJob(double temperature, size_t tokens, Outcome* whole) {
  std::string tale;
  for (int at = 0; at < 8; at++) tale += "Once upon a time, there was a little girl named Lily. She loved to play outside. ";
  std::vector<TokenId> prompt = TestModel().Tokenize(tale, true);
  for (uint8_t seed = 1;; seed++) {
    prompt.pop_back();
    GenerateJob job = JobOf(1, prompt, kTokens, seed);
    job.sampling.gumbel.temperature = temperature;
    *whole = RunAlone(job, SpecOf(1));
    if (whole->ids.size() > tokens || seed == kSeedMax) return job;
  }
}

}  // namespace

TEST("an output goes on after what another said as if nobody had changed, greedy and drawn") {
  for (const double temperature : {0.0, 0.8}) {
    Outcome whole;
    const GenerateJob job = LongJob(temperature, 64, &whole);
    CHECK(whole.ids.size() > 64);
    CheckCuts(job, whole);
  }
}

TEST("so does a long one that no stop token ends") {
  for (const double temperature : {0.0, 0.8}) {
    GenerateJob job = EndlessOf(1, PromptOf(100, 1), kTokens);
    job.sampling.llama.temperature = temperature;
    const Outcome whole = RunAlone(job, SpecOf(1));
    CHECK_EQ(whole.ids.size(), size_t{kTokens});
    CheckCuts(job, whole);
  }
}

TEST("penalties count what another said") {
  GenerateJob job = EndlessOf(1, PromptOf(30, 2), kTokens);
  job.sampling.llama.frequency_penalty = 0.3;
  job.sampling.llama.presence_penalty = 0.5;
  CheckCuts(job, RunAlone(job, SpecOf(1)));
}

TEST("a stop string that begins in what another said ends the output") {
  GenerateJob job = EndlessOf(1, TestModel().Tokenize("Once upon a time", true), 80);
  const Outcome whole = RunAlone(job, SpecOf(1));
  REQUIRE(whole.text.size() > 40);
  job.stop = {whole.text.substr(20, 12)};
  const Outcome stopped = RunAlone(job, SpecOf(1));
  REQUIRE(stopped.finish == Finish::kStop && stopped.ids.size() > 1);
  const Outcome rest = RunAlone(After(job, stopped, stopped.ids.size() - 1), SpecOf(1));
  CHECK_EQ(rest.ids.size(), size_t{1});
  CHECK_EQ(rest.finish, Finish::kStop);
}

TEST("a grammar goes on where another left it") {
  GenerateJob job = EndlessOf(1, PromptOf(12, 3), 30);
  job.grammar = "root ::= \"yes, \" [a-z]+ \"no\"";
  const Outcome whole = RunAlone(job, SpecOf(1));
  REQUIRE(whole.ids.size() > 7);
  CheckCuts(job, whole);
}

TEST("going on beside other streams changes nothing") {
  Outcome whole;
  const GenerateJob job = LongJob(0.8, 70, &whole);
  REQUIRE(whole.ids.size() > 70);
  Desk desk(SpecOf(4));
  for (CallId call = 2; call < 5; call++) desk.engine().Generate(JobOf(call, PromptOf(20 * call, call), 60));
  desk.engine().Generate(After(job, whole, 70));
  const std::vector<TokenId> expected(whole.ids.begin() + 70, whole.ids.end());
  CHECK_EQ(desk.Wait(1).ids, expected);
}

TEST("a prefix that leaves nothing to say, has ended, or is of another model is refused") {
  Desk desk(SpecOf(1));
  std::vector<GenerateJob> jobs(3, JobOf(0, PromptOf(10, 1), 5));
  jobs[0].prefix = PromptOf(5, 2);
  jobs[1].prefix = {TestModel().stop_ids().front()};
  jobs[2].prefix = {TestModel().vocab_size()};
  for (CallId call = 0; call < 3; call++) {
    jobs[call].call = call;
    desk.engine().Generate(jobs[call]);
    CHECK_EQ(desk.Wait(call).failure, Failure::kDecodeFailed);
  }
}
