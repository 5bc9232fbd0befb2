// Chance that can be played again: splitmix64 under a seed that CFAB_TEST_SEED sets, and that is printed.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "fixtures.h"

namespace cfab::test {

class Random {
 public:
  Random() : Random(SeedOfRun()) {}
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    uint64_t mixed = state_ += 0x9e3779b97f4a7c15;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
    return mixed ^ mixed >> 31;
  }

  // 0..bound-1
  uint64_t Below(uint64_t bound) { return Next() % bound; }
  // In [0, 1).
  double Unit() { return static_cast<double>(Next() >> 11) / 9007199254740992.0; }

 private:
  static uint64_t SeedOfRun() {
    const std::string told = Environment("CFAB_TEST_SEED");
    const auto now = static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
    const uint64_t seed = told.empty() ? now % 1000000007 : std::strtoull(told.c_str(), nullptr, 10);
    std::printf("  CFAB_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
    return seed;
  }

  uint64_t state_;
};

}  // namespace cfab::test
