#include "fixtures.h"

#include <dirent.h>
#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace cfab::test {
namespace {

#ifdef __APPLE__
constexpr const char* kSuffix = ".dylib";
#else
constexpr const char* kSuffix = ".so";
#endif

[[noreturn]] void GiveUp(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::exit(2);
}

std::vector<std::string> FilesOf(const std::string& folder) {
  std::vector<std::string> names;
  DIR* opened = opendir(folder.c_str());
  if (opened == nullptr) GiveUp("CFAB_TEST_LIBRARIES names no folder: " + folder);
  while (const dirent* entry = readdir(opened)) names.push_back(entry->d_name);
  closedir(opened);
  std::sort(names.begin(), names.end());
  return names;
}

// What a variant says of itself: 0 when this processor lacks something it needs. In a process of its own: variants that are not used
// must not stay in this one, and sanitizers do not take it well when code disappears.
int ScoreOf(const std::string& path) {
  int ends[2];
  if (pipe(ends) != 0) GiveUp("no pipe");
  const pid_t child = fork();
  if (child == 0) {
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    const auto function = library == nullptr ? nullptr : reinterpret_cast<int (*)()>(dlsym(library, "ggml_backend_score"));
    const int score = library == nullptr ? 0 : function == nullptr ? 1 : function();
    _exit(write(ends[1], &score, sizeof score) == sizeof score ? 0 : 1);
  }
  close(ends[1]);
  int score = 0;
  if (read(ends[0], &score, sizeof score) != sizeof score) score = 0;
  close(ends[0]);
  waitpid(child, nullptr, 0);
  return score;
}

bool BeginsWith(const std::string& text, const std::string& beginning) { return text.rfind(beginning, 0) == 0; }

bool IsLibrary(const std::string& name) {
  const std::string suffix = kSuffix;
  return name.size() > suffix.size() && name.compare(name.size() - suffix.size(), suffix.size(), suffix) == 0;
}

}  // namespace

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

LibraryPaths TestLibraryPaths() {
  const std::string folder = Environment("CFAB_TEST_LIBRARIES");
  LibraryPaths paths;
  int best_score = 0;
  std::string best;
  for (const std::string& name : FilesOf(folder)) {
    const std::string path = folder + "/" + name;
    if (!IsLibrary(name)) continue;
    if (BeginsWith(name, "libggml-base.")) paths.ggml_base = path;
    if (BeginsWith(name, "libggml.")) paths.ggml = path;
    if (BeginsWith(name, "libllama.")) paths.llama = path;
    if (!BeginsWith(name, "libggml-cpu")) continue;
    const int score = ScoreOf(path);
    if (score > best_score) best = path;
    best_score = std::max(score, best_score);
  }
  if (best.empty()) GiveUp("no backend of CFAB_TEST_LIBRARIES suits this processor: " + folder);
  paths.backends = {best};
  return paths;
}

const Libs& TestLibs() {
  static const Libs* const libs = [] {
    std::string error;
    const Libs* opened = OpenLibs(TestLibraryPaths(), &error);
    if (opened == nullptr) GiveUp("the libraries cannot be opened: " + error);
    return opened;
  }();
  return *libs;
}

std::string TestModelPath() { return Environment("CFAB_TEST_MODEL"); }

const Model& TestModel() {
  static const std::unique_ptr<Model> model = [] {
    ModelSpec spec;
    spec.path = TestModelPath();
    std::string error;
    std::unique_ptr<Model> loaded = Model::Load(TestLibs(), spec, &error);
    if (loaded == nullptr) GiveUp("the model of CFAB_TEST_MODEL cannot be loaded: " + error);
    return loaded;
  }();
  return *model;
}

}  // namespace cfab::test
