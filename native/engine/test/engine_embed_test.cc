#include "check.h"
#include "engine_support.h"

#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>

using namespace cfab;
using namespace cfab::test;

namespace {

constexpr uint32_t kTypeU32 = 4, kTypeString = 8;
constexpr size_t kAlignment = 32;

std::string Bytes32(uint32_t value) { return std::string(reinterpret_cast<const char*>(&value), sizeof value); }
std::string Bytes64(uint64_t value) { return std::string(reinterpret_cast<const char*>(&value), sizeof value); }
std::string Named(const std::string& name, uint32_t type) { return Bytes64(name.size()) + name + Bytes32(type); }

// The test model, with a pooling type in its header; "" where the model is no llama.
std::string PoolingModelBytes(uint32_t pooling_type) {
  std::ifstream file(TestModelPath(), std::ios::binary);
  std::ostringstream read;
  read << file.rdbuf();
  std::string bytes = read.str();
  if (bytes.find("llama.context_length") == std::string::npos) return "";
  std::string added = Named("llama.pooling_type", kTypeU32) + Bytes32(pooling_type);
  // The tensors' data must stay where the alignment wants it.
  const std::string padding = Named("test.padding", kTypeString);
  const size_t missing = kAlignment - (added.size() + padding.size() + sizeof(uint64_t)) % kAlignment;
  added += padding + Bytes64(missing) + std::string(missing, '.');
  // After magic, version and the count of tensors: how many pairs there are, then the pairs.
  constexpr size_t kPairCountAt = 16, kPairsAt = 24;
  uint64_t pairs = 0;
  bytes.copy(reinterpret_cast<char*>(&pairs), sizeof pairs, kPairCountAt);
  bytes.replace(kPairCountAt, sizeof pairs, Bytes64(pairs + 2));
  return bytes.insert(kPairsAt, added);
}

// Null where the test model cannot be made to pool, or the file cannot be written.
std::unique_ptr<Model> LoadPooling(uint32_t pooling_type) {
  char path[] = "/tmp/cfab-pooling-XXXXXX";
  const std::string bytes = PoolingModelBytes(pooling_type);
  const int file = bytes.empty() ? -1 : mkstemp(path);
  if (file < 0) return nullptr;
  const bool is_written = write(file, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size());
  close(file);
  ModelSpec spec;
  spec.path = path;
  std::string error;
  auto model = is_written ? Model::Load(TestLibs(), spec, &error) : nullptr;
  unlink(path);
  return model;
}

const Model* PoolingModel() {
  static const std::unique_ptr<Model> model = LoadPooling(LLAMA_POOLING_TYPE_MEAN);
  return model.get();
}

double DotOf(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t at = 0; at < a.size(); at++) sum += static_cast<double>(a[at]) * b[at];
  return sum;
}

}  // namespace

TEST("texts get unit vectors, the same alone and in any batch") {
  if (PoolingModel() == nullptr) SKIP("the test model cannot be made to pool");
  Desk desk(SpecOf(4, 256), *PoolingModel());
  EmbedJob all{1, {}};
  for (uint64_t seed = 0; seed < 11; seed++) all.texts.push_back(PromptOf(1 + seed * 23, seed));
  desk.engine().Embed(all);
  const Outcome together = desk.Wait(1);
  REQUIRE(together.vectors.size() == all.texts.size());
  for (CallId at = 0; at < all.texts.size(); at++) {
    desk.engine().Embed({100 + at, {all.texts[at]}});
    const Outcome alone = desk.Wait(100 + at);
    REQUIRE(alone.vectors.size() == 1 && alone.vectors[0].size() == together.vectors[at].size());
    CHECK(std::abs(DotOf(alone.vectors[0], alone.vectors[0]) - 1) < 1e-5);
    // Passes of other sizes add up in another order.
    CHECK(DotOf(alone.vectors[0], together.vectors[at]) > 1 - 1e-3);
  }
  CHECK(DotOf(together.vectors[3], together.vectors[7]) < 0.999);
}

TEST("calls for vectors come together, can be cancelled, and are refused where no pass can compute them") {
  if (PoolingModel() == nullptr) SKIP("the test model cannot be made to pool");
  Desk desk(SpecOf(2, 256), *PoolingModel());
  CHECK_EQ(desk.engine().context_tokens(), 256u);
  desk.engine().Pause();
  for (CallId call = 1; call <= 5; call++) desk.engine().Embed({call, {PromptOf(10, call), PromptOf(20, call)}});
  desk.engine().Cancel(3);
  desk.engine().Embed({6, {PromptOf(257, 1)}});
  desk.engine().Embed({7, {PromptOf(5, 1), {}}});
  desk.engine().Embed({8, {}});
  desk.engine().Embed({9, {{-1}}});
  desk.engine().Generate(JobOf(10, PromptOf(5, 1), 5));
  for (CallId call = 6; call <= 10; call++) CHECK_EQ(desk.Wait(call).failure, Failure::kDecodeFailed);
  CHECK(desk.Wait(3).vectors.empty());
  desk.engine().Resume();
  for (const CallId call : {1u, 2u, 4u, 5u}) CHECK_EQ(desk.Wait(call).vectors.size(), size_t{2});
  desk.engine().Embed({20, {PromptOf(256, 3)}});
  CHECK_EQ(desk.Wait(20).vectors.size(), size_t{1});
  CHECK(desk.engine().Drain(1000));
}

TEST("a model that generates embeds nothing, and one that ranks is refused by name") {
  Desk desk(SpecOf(1));
  desk.engine().Embed({1, {PromptOf(5, 1)}});
  CHECK_EQ(desk.Wait(1).failure, Failure::kDecodeFailed);
  const auto ranker = LoadPooling(LLAMA_POOLING_TYPE_RANK);
  if (ranker == nullptr) SKIP("the test model cannot be made to rank");
  std::string error;
  CHECK(Engine::Create(*ranker, SpecOf(1), [](StepReport&&) {}, &error) == nullptr);
  CHECK_EQ(error, "reranker_unsupported");
}
