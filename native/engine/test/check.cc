#include "check.h"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>

#include "runner.h"

namespace cfab::test {
namespace {

struct Case {
  const char* name;
  Body body;
};

// Made at the first registration: those of other files run before main, in no known order.
std::vector<Case>& Cases() {
  static std::vector<Case> cases;
  return cases;
}

std::atomic<int> failures_of_case{0};
std::atomic<bool> is_skipped{false};

bool IsWanted(const char* name, const std::vector<std::string>& filters) {
  for (const std::string& filter : filters) {
    if (std::strstr(name, filter.c_str()) != nullptr) return true;
  }
  return filters.empty();
}

}  // namespace

Registration::Registration(const char* name, Body body) { Cases().push_back({name, body}); }

void Fail(const char* file, int line, const std::string& what) {
  failures_of_case++;
  std::printf("  %s:%d: %s\n", file, line, what.c_str());
}

void Skip(const std::string& reason) {
  is_skipped = true;
  std::printf("  skipped: %s\n", reason.c_str());
}

std::string Show(const std::string& value) { return "\"" + value + "\""; }
std::string Show(const char* value) { return value == nullptr ? "null" : Show(std::string(value)); }
std::string Show(bool value) { return value ? "true" : "false"; }

std::string Show(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.17g", value);
  return text;
}

std::string Show(const void* value) {
  char text[32];
  std::snprintf(text, sizeof text, "%p", value);
  return text;
}

int RunTests(const std::vector<std::string>& filters) {
  int passed = 0, failed = 0, skipped = 0;
  for (const Case& test : Cases()) {
    if (!IsWanted(test.name, filters)) continue;
    failures_of_case = 0;
    is_skipped = false;
    std::printf("%s\n", test.name);
    // A test that crashes must have said its name.
    std::fflush(stdout);
    const auto started = std::chrono::steady_clock::now();
    test.body();
    const auto took = std::chrono::steady_clock::now() - started;
    const auto took_ms = std::chrono::duration_cast<std::chrono::milliseconds>(took).count();
    if (took_ms > 1000) std::printf("  took %lld ms\n", static_cast<long long>(took_ms));
    (failures_of_case > 0 ? failed : is_skipped ? skipped : passed)++;
  }
  std::printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
  return failed > 0 || passed + skipped == 0 ? 1 : 0;
}

}  // namespace cfab::test
