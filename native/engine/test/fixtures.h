// The libraries and model files that the tests run with, told by the environment:
// CFAB_TEST_LIBRARIES (a folder of prebuilt libraries), CFAB_TEST_MODEL (a small language model), CFAB_TEST_TMP (a folder to write to).
#pragma once

#include <string>

#include "../libs.h"
#include "../model.h"

namespace cfab::test {

// "" when it is not set.
std::string Environment(const char* name);

// The libraries of the folder, with the variant of the processor's backend that suits this processor best.
LibraryPaths TestLibraryPaths();

// Opened once; ends the process with a line when that fails, for without them no test means anything.
const Libs& TestLibs();

std::string TestModelPath();

// The test model, loaded once for all tests that do not change it.
const Model& TestModel();

}  // namespace cfab::test
