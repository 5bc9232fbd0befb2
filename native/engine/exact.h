// Included first by files whose arithmetic must be the same everywhere, operation by operation.
#pragma once

// A product and a sum fused into one operation round once instead of twice. The build passes -ffp-contract=off too.
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif
