#include "exact.h"

#include "log.h"

#include <cstdint>
#include <cstring>

namespace cfab {
namespace {

// ln 2 in two parts: the high one has so few bits that a multiple of it by an exponent is exact.
constexpr double kLn2High = 6.93147180369123816490e-01;
constexpr double kLn2Low = 1.90821492927058770002e-10;
constexpr double kInverseLn2 = 1.44269504088896338700e+00;

constexpr uint32_t kMantissaMask = 0xfffff;
constexpr int32_t kBias = 1023;
constexpr uint32_t kInfinityWord = 0x7ff00000;

uint64_t BitsOf(double x) {
  uint64_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

double FromBits(uint64_t bits) {
  double x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

uint32_t HighWord(double x) { return static_cast<uint32_t>(BitsOf(x) >> 32); }

double WithHighWord(double x, uint32_t word) { return FromBits(uint64_t{word} << 32 | (BitsOf(x) & 0xffffffff)); }

// log(1 + f) near 1, less f: a series in s = f / (2 + f), whose even and odd halves are summed apart.
double LogSeries(double z) {
  constexpr double kOdd1 = 6.666666666666735130e-01, kOdd2 = 2.857142874366239149e-01;
  constexpr double kOdd3 = 1.818357216161805012e-01, kOdd4 = 1.479819860510658591e-01;
  constexpr double kEven1 = 3.999999999940941908e-01, kEven2 = 2.222219843214978396e-01, kEven3 = 1.531383769920937332e-01;
  const double w = z * z;
  const double even = w * (kEven1 + w * (kEven2 + w * kEven3));
  const double odd = z * (kOdd1 + w * (kOdd2 + w * (kOdd3 + w * kOdd4)));
  return odd + even;
}

// log(2^k * (1 + f)) for |f| < 2^-20.
double LogNearOne(double f, double k) {
  if (f == 0) return k == 0 ? 0 : k * kLn2High + k * kLn2Low;
  const double r = f * f * (0.5 - 0.33333333333333333 * f);
  return k == 0 ? f - r : k * kLn2High - ((r - k * kLn2Low) - f);
}

// log(2^k * (1 + f)), where `mantissa` is the high word's of 1 + f before it was brought near 1.
double LogOf(double f, double k, int32_t mantissa) {
  const double s = f / (2.0 + f);
  const double r = LogSeries(s * s);
  // In the middle of the range half of the square is split off first.
  if (((mantissa - 0x6147a) | (0x6b851 - mantissa)) > 0) {
    const double half_square = 0.5 * f * f;
    if (k == 0) return f - (half_square - s * (half_square + r));
    return k * kLn2High - ((half_square - (s * (half_square + r) + k * kLn2Low)) - f);
  }
  if (k == 0) return f - s * (f - r);
  return k * kLn2High - ((s * (f - r) - k * kLn2Low) - f);
}

// (exp(r) - 1) of the reduced argument r = high - low, by a rational function of it.
double ExpCorrection(double r) {
  constexpr double kP1 = 1.66666666666666019037e-01, kP2 = -2.77777777770155933842e-03, kP3 = 6.61375632143793436117e-05;
  constexpr double kP4 = -1.65339022054652515390e-06, kP5 = 4.13813679705723846039e-08;
  const double t = r * r;
  return r - t * (kP1 + t * (kP2 + t * (kP3 + t * (kP4 + t * kP5))));
}

// y * 2^k, also where the result is below the normal numbers.
double Scaled(double y, int32_t k) {
  constexpr double kTwoM1000 = 9.33263618503218878990e-302;
  const auto power = [](int32_t exponent) { return FromBits(static_cast<uint64_t>(exponent + kBias) << 52); };
  if (k < -1021) return y * power(k + 1000) * kTwoM1000;
  if (k == 1024) return y * 2.0 * power(1023);
  return y * power(k);
}

}  // namespace

double Log(double x) {
  constexpr double kTwo54 = 1.80143985094819840000e+16;
  constexpr double kInfinity = __builtin_inf();
  uint32_t high = HighWord(x);
  int32_t k = 0;
  if (x == 0) return -kInfinity;
  if (x < 0) return __builtin_nan("");
  if ((high & 0x7fffffff) >= kInfinityWord) return x + x;
  if (high < 0x00100000) {
    k = -54;
    x *= kTwo54;
    high = HighWord(x);
  }
  k += static_cast<int32_t>(high >> 20) - kBias;
  const uint32_t mantissa = high & kMantissaMask;
  // Above the square root of 2 the argument is halved, so that it lies about 1.
  const uint32_t halved = (mantissa + 0x95f64) & 0x100000;
  k += static_cast<int32_t>(halved >> 20);
  const double f = WithHighWord(x, mantissa | (halved ^ 0x3ff00000)) - 1.0;
  if (((2 + mantissa) & kMantissaMask) < 3) return LogNearOne(f, k);
  return LogOf(f, k, static_cast<int32_t>(mantissa));
}

double Exp(double x) {
  constexpr double kE = 2.718281828459045;
  constexpr double kOverflow = 7.09782712893383973096e+02, kUnderflow = -7.45133219101941108420e+02;
  constexpr uint32_t kHalfLn2 = 0x3fd62e42, kThreeHalvesLn2 = 0x3ff0a2b2, kTiny = 0x3e300000;
  if (x != x) return x + x;
  if (x > kOverflow) return __builtin_inf();
  if (x < kUnderflow) return 0;
  const uint32_t magnitude = HighWord(x) & 0x7fffffff;
  const bool is_negative = x < 0;
  double high = x, low = 0;
  int32_t k = 0;
  if (magnitude > kHalfLn2) {
    if (x == 1.0) return kE;
    if (magnitude < kThreeHalvesLn2) {
      k = is_negative ? -1 : 1;
    } else {
      k = static_cast<int32_t>(kInverseLn2 * x + (is_negative ? -0.5 : 0.5));
    }
    high = x - k * kLn2High;
    low = k * kLn2Low;
  } else if (magnitude < kTiny) {
    return 1.0 + x;
  }
  const double r = high - low;
  const double c = ExpCorrection(r);
  if (k == 0) return 1.0 - ((r * c) / (c - 2.0) - r);
  return Scaled(1.0 - ((low - (r * c) / (2.0 - c)) - high), k);
}

}  // namespace cfab
