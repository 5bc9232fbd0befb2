// What main.cc calls besides the fixtures.
#pragma once

#include <string>
#include <vector>

namespace cfab::test {

// Runs the tests whose name contains one of the filters, or all. Returns the exit code: 1 when one failed or none was found.
int RunTests(const std::vector<std::string>& filters);

// Answers requests about the vocabulary of the test model, a line for a line of standard input, hexadecimal where there are bytes:
//   "facts" -> vocabulary size, trained context, stop ids    "plain <text>", "special <text>" -> ids    "pieces <id>..." -> text
int AnswerLines();

}  // namespace cfab::test
