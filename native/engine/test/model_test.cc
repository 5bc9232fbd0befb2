#include "check.h"
#include "fixtures.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <sstream>

using namespace cfab;
using namespace cfab::test;

namespace {

// How often the first byte of a file is mapped: once for each time that it was loaded.
int MappedTimes(const std::string& path) {
  std::ifstream maps("/proc/self/maps");
  int times = 0;
  for (std::string line; std::getline(maps, line);) {
    const bool is_first = line.find(" 00000000 ") != std::string::npos;
    const bool is_file = line.size() > path.size() && line.compare(line.size() - path.size(), path.size(), path) == 0;
    if (is_first && is_file) times++;
  }
  return times;
}

std::string ReasonFor(const std::string& path) {
  ModelSpec spec;
  spec.path = path;
  std::string error;
  const auto model = Model::Load(TestLibs(), spec, &error);
  return model == nullptr ? error : "loaded";
}

std::string BytesOf(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

// What loading says to a file of these bytes.
std::string ReasonForBytes(const std::string& bytes) {
  char path[] = "/tmp/cfab-model-XXXXXX";
  const int file = mkstemp(path);
  if (file < 0) return "no temporary file";
  const bool is_written = write(file, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size());
  close(file);
  const std::string reason = is_written ? ReasonFor(path) : "not written";
  unlink(path);
  return reason;
}

std::string Replaced(std::string bytes, const std::string& what, const std::string& with) {
  const size_t at = bytes.find(what);
  return at == std::string::npos ? "" : bytes.replace(at, what.size(), with);
}

}  // namespace

TEST("every library is in memory once, though each is named by a path and needed by others") {
#ifndef __linux__
  SKIP("only Linux tells what is mapped");
#endif
  const LibraryPaths paths = TestLibraryPaths();
  TestLibs();
  for (const std::string& path : {paths.ggml_base, paths.ggml, paths.llama, paths.backends[0]}) {
    if (!CHECK_EQ(MappedTimes(path), 1)) std::printf("  of %s\n", path.c_str());
  }
}

TEST("libraries are opened once in a process") {
  std::string error = "left from before";
  CHECK(OpenLibs(TestLibraryPaths(), &error) == &TestLibs());
  CHECK_EQ(error, "");
  LibraryPaths others = TestLibraryPaths();
  others.backends.push_back("/nowhere/libggml-cuda.so");
  CHECK(OpenLibs(others, &error) == nullptr);
  CHECK_EQ(error, "other libraries were opened in this process");
}

TEST("the processor's backend makes thread pools") {
  const Libs& libs = TestLibs();
  REQUIRE(libs.threadpool_new != nullptr && libs.threadpool_free != nullptr);
  ggml_threadpool_params params = libs.ggml_threadpool_params_default(2);
  ggml_threadpool* pool = libs.threadpool_new(&params);
  CHECK(pool != nullptr);
  if (pool != nullptr) libs.threadpool_free(pool);
}

TEST("the default parameters are three lines, the same each time") {
  const std::string first = DefaultsOf(TestLibs());
  CHECK_EQ(DefaultsOf(TestLibs()), first);
  // n_ctx of the context parameters, which llama.h documents as 512.
  CHECK(first.find("\n00020000") != std::string::npos);
}

TEST("a text that is tokenized and put together again is the same text") {
  const Model& model = TestModel();
  const std::string text = "Once upon a time, naïve 日本 👍🏽\n\tend";
  std::string back;
  for (const TokenId id : model.Tokenize(text, false)) back += model.Piece(id, false);
  CHECK_EQ(back, text);
}

TEST("no text has no tokens, but a rendered one begins with the start token where the model wants it") {
  const Model& model = TestModel();
  CHECK_EQ(model.Tokenize("", false), std::vector<TokenId>{});
  const std::vector<TokenId> rendered = model.Tokenize("", true);
  CHECK(rendered.size() <= 1);
  if (rendered.empty()) return;
  // A text that writes it does not get a second one.
  const std::string start = model.Piece(rendered[0], true);
  CHECK_EQ(model.Tokenize(start, true), rendered);
  CHECK(model.Tokenize(start, false).size() > 1);
}

TEST("a text has at least as many tokens as the longest piece allows") {
  const Model& model = TestModel();
  for (const std::string& text : {std::string(), std::string("a"), std::string(5000, ' '), std::string(3000, 'e')}) {
    CHECK(model.Tokenize(text, false).size() >= model.TokensMin(text.size()));
  }
  CHECK(model.TokensMin(1 << 20) > 1000);
}

TEST("control tokens have no bytes in a text, and their own when they are asked for") {
  const Model& model = TestModel();
  REQUIRE(!model.stop_ids().empty());
  for (const TokenId id : model.stop_ids()) {
    CHECK(model.IsStop(id));
    if (!model.IsControl(id)) continue;
    CHECK_EQ(model.Piece(id, false), "");
    CHECK(!model.Piece(id, true).empty());
  }
}

TEST("what is no id has no bytes, stops nothing and controls nothing") {
  const Model& model = TestModel();
  for (const TokenId id : {-1, -2147483647 - 1, model.vocab_size(), 2147483647}) {
    CHECK_EQ(model.Piece(id, true), "");
    CHECK(!model.IsStop(id));
    CHECK(!model.IsControl(id));
  }
}

TEST("a file that is no model is refused with a reason") {
  CHECK_EQ(ReasonFor("/nowhere/model.gguf"), "file_invalid");
  CHECK_EQ(ReasonFor("/tmp"), "file_invalid");
  CHECK_EQ(ReasonForBytes(""), "file_invalid");
  CHECK_EQ(ReasonForBytes("GGUF"), "file_invalid");
  CHECK_EQ(ReasonForBytes(std::string(4096, 'x')), "file_invalid");
}

TEST("a model that was cut short is refused at every length") {
  const std::string bytes = BytesOf(TestModelPath());
  REQUIRE(bytes.size() > 100'000);
  for (size_t length = 8; length < bytes.size(); length += length / 3 + 1) {
    if (!CHECK_EQ(ReasonForBytes(bytes.substr(0, length)), "file_invalid")) std::printf("  of %zu bytes\n", length);
  }
  CHECK_EQ(ReasonForBytes(bytes.substr(0, bytes.size() - 1)), "file_invalid");
  CHECK_EQ(ReasonForBytes(bytes), "loaded");
}

TEST("an architecture that llama.cpp does not know is told from a broken file") {
  const std::string bytes = BytesOf(TestModelPath());
  // The value of general.architecture: a length of 5 and the name, after the type of a string.
  const std::string name("\x08\0\0\0\x05\0\0\0\0\0\0\0llama", 17);
  const std::string other("\x08\0\0\0\x05\0\0\0\0\0\0\0ll\xffma", 17);
  const std::string changed = Replaced(bytes, name, other);
  if (changed.empty()) SKIP("the test model is no llama");
  CHECK_EQ(ReasonForBytes(changed), "architecture_unknown");
}

TEST("a model of another version of the format, or without what its architecture needs, is refused") {
  const std::string bytes = BytesOf(TestModelPath());
  CHECK_EQ(ReasonForBytes(Replaced(bytes, std::string("GGUF\x03", 5), std::string("GGUF\x63", 5))), "file_invalid");
  CHECK_EQ(ReasonForBytes(Replaced(bytes, "llama.block_count", "llama.block_coUnt")), "file_invalid");
  CHECK_EQ(ReasonForBytes(Replaced(bytes, "tokenizer.ggml.model", "tokenizer.ggml.moDel")), "file_invalid");
  CHECK_EQ(ReasonForBytes(Replaced(bytes, "output_norm.weight", "output_norm.weIght")), "file_invalid");
}
