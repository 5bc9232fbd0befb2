// Logarithm and exponential to the last bit as JavaScript's V8 has them.
//
// Why not those of the C library: they differ from V8's in the last bit for some values, and one bit can turn a choice of
// gumbel-v1 over, which other machines check in JavaScript. V8 computes both by the method of Sun's freely distributable library.
#pragma once

namespace cfab {

double Log(double x);
double Exp(double x);

}  // namespace cfab
