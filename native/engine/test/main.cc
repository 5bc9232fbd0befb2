// The C++ tests of the engine: scripts/engine-test.mjs builds and runs them. Arguments are parts of test names; none runs all.
// `--defaults` prints the default parameters, for native/engine/pins.json; `--answer` answers the lines of standard input, for the
// comparison with node-llama-cpp.
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "fixtures.h"
#include "runner.h"

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "--defaults") == 0) {
    std::fputs(cfab::DefaultsOf(cfab::test::TestLibs()).c_str(), stdout);
    return 0;
  }
  if (argc > 1 && std::strcmp(argv[1], "--answer") == 0) return cfab::test::AnswerLines();
  return cfab::test::RunTests(std::vector<std::string>(argv + 1, argv + argc));
}
