#include "top.h"

#include <algorithm>
#include <cstring>
#include <functional>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define CFAB_VECTORS 1
#include <immintrin.h>
#else
#define CFAB_VECTORS 0
#endif

namespace cfab {
namespace {

// Logit and id as one number, the better the higher: ties go to the lower id, and -0 is +0.
using Key = uint64_t;

constexpr uint32_t kSign = uint32_t{1} << 31;
constexpr int kBlock = 64;
// More room means fewer selections out of it, each of which takes longer.
constexpr int kKeptMax = 192;
constexpr int kRoom = kKeptMax + kBlock;

inline Key KeyOf(float logit, int32_t id) {
  const float positive_zero = logit + 0.0f;
  uint32_t bits;
  std::memcpy(&bits, &positive_zero, sizeof bits);
  const uint32_t ordered = bits & kSign ? ~bits : bits | kSign;
  return Key{ordered} << 32 | ~static_cast<uint32_t>(id);
}

inline int32_t IdOf(Key key) { return static_cast<int32_t>(~static_cast<uint32_t>(key)); }

// The best so far, and more that came in since the worst of them was last known.
class Kept {
 public:
  explicit Kept(const float* logits) : logits_(logits) {}

  int count() const { return count_; }
  // What a later logit must be above to be among the best: an equal one has a higher id.
  float threshold() const { return threshold_; }

  inline void Add(int32_t id) { keys_[count_++] = KeyOf(logits_[id], id); }

  // Makes room for a block.
  void Trim() {
    if (count_ <= kKeptMax) return;
    KeepBest();
    threshold_ = logits_[IdOf(*std::min_element(keys_, keys_ + kCandidateMax))];
  }

  void Finish(Candidates* out) {
    if (count_ > kCandidateMax) KeepBest();
    std::sort(keys_, keys_ + count_, std::greater<Key>());
    out->count = count_;
    for (int rank = 0; rank < count_; rank++) {
      const int32_t id = IdOf(keys_[rank]);
      out->top[rank] = {id, logits_[id]};
    }
  }

 private:
  // Keeps the best kCandidateMax of more, in any order.
  //
  // Why not std::nth_element: which side of the pivot a key falls on is chance, and a wrong guess of the processor costs as much
  // as twenty keys. Here no branch depends on a comparison of keys.
  void KeepBest() {
    Key best[kCandidateMax], above[kRoom], below[kRoom];
    int best_count = 0;
    int left = count_;
    while (left > kCandidateMax - best_count && best_count < kCandidateMax) {
      const Key pivot = MiddleOf(keys_[0], keys_[left / 2], keys_[left - 1]);
      int above_count = 0, below_count = 0;
      for (int at = 0; at < left; at++) {
        const Key key = keys_[at];
        above[above_count] = key;
        below[below_count] = key;
        above_count += key > pivot;
        below_count += key < pivot;
      }
      const bool is_among = above_count >= kCandidateMax - best_count;
      left = is_among ? above_count : below_count;
      std::copy_n(is_among ? above : below, left, keys_);
      if (is_among) continue;
      std::copy_n(above, above_count, best + best_count);
      best_count += above_count;
      best[best_count++] = pivot;
    }
    // What is left belongs to them, as far as there is a place.
    std::copy_n(keys_, kCandidateMax - best_count, best + best_count);
    std::copy_n(best, kCandidateMax, keys_);
    count_ = kCandidateMax;
  }

  static Key MiddleOf(Key a, Key b, Key c) { return std::max(std::min(a, b), std::min(std::max(a, b), c)); }

  const float* const logits_;
  float threshold_ = 0;
  int count_ = 0;
  Key keys_[kRoom];
};

// Takes all that is a number until there is a threshold; returns the first id that it has not looked at.
int32_t Fill(const float* logits, int32_t vocab_size, Kept* kept) {
  int32_t id = 0;
  for (; id < vocab_size && kept->count() <= kKeptMax; id++)
    if (logits[id] == logits[id]) kept->Add(id);
  kept->Trim();
  return id;
}

// Without a branch in it, so that a compiler can use what vectors every processor of the kind has.
inline bool HasAbove(const float* logits, int count, float threshold) {
  int found = 0;
  for (int at = 0; at < count; at++) found |= logits[at] > threshold;
  return found != 0;
}

void ScanScalar(const float* logits, int32_t from, int32_t vocab_size, Kept* kept) {
  constexpr int kStride = 16;
  for (int32_t id = from; id < vocab_size;) {
    if (vocab_size - id >= kStride && !HasAbove(logits + id, kStride, kept->threshold())) {
      id += kStride;
      continue;
    }
    const int32_t end = std::min(vocab_size, id + kStride);
    for (; id < end; id++)
      if (logits[id] > kept->threshold()) kept->Add(id);
    kept->Trim();
  }
}

#if CFAB_VECTORS
inline void AddMarked(uint64_t marks, int32_t first_id, Kept* kept) {
  for (; marks != 0; marks &= marks - 1) kept->Add(first_id + __builtin_ctzll(marks));
  kept->Trim();
}

// A comparison that is false of NaN and silent about it.
__attribute__((target("avx2"))) void ScanAvx2(const float* logits, int32_t from, int32_t vocab_size, Kept* kept) {
  constexpr int kWidth = 8;
  constexpr int kStride = 32;
  int32_t id = from;
  for (; vocab_size - id >= kStride; id += kStride) {
    const __m256 threshold = _mm256_set1_ps(kept->threshold());
    __m256 above[kStride / kWidth];
    for (int part = 0; part < kStride / kWidth; part++)
      above[part] = _mm256_cmp_ps(_mm256_loadu_ps(logits + id + part * kWidth), threshold, _CMP_GT_OQ);
    const __m256 any = _mm256_or_ps(_mm256_or_ps(above[0], above[1]), _mm256_or_ps(above[2], above[3]));
    if (_mm256_movemask_ps(any) == 0) continue;
    uint64_t marks = 0;
    for (int part = 0; part < kStride / kWidth; part++)
      marks |= static_cast<uint64_t>(_mm256_movemask_ps(above[part])) << (part * kWidth);
    AddMarked(marks, id, kept);
  }
  ScanScalar(logits, id, vocab_size, kept);
}

__attribute__((target("avx512f"))) void ScanAvx512(const float* logits, int32_t from, int32_t vocab_size, Kept* kept) {
  constexpr int kWidth = 16;
  int32_t id = from;
  for (; vocab_size - id >= kBlock; id += kBlock) {
    const __m512 threshold = _mm512_set1_ps(kept->threshold());
    uint64_t marks = 0;
    for (int part = 0; part < kBlock / kWidth; part++) {
      const __m512 logit = _mm512_loadu_ps(logits + id + part * kWidth);
      marks |= static_cast<uint64_t>(_mm512_cmp_ps_mask(logit, threshold, _CMP_GT_OQ)) << (part * kWidth);
    }
    if (marks != 0) AddMarked(marks, id, kept);
  }
  ScanScalar(logits, id, vocab_size, kept);
}
#else
void ScanAvx2(const float* logits, int32_t from, int32_t vocab_size, Kept* kept) { ScanScalar(logits, from, vocab_size, kept); }
void ScanAvx512(const float* logits, int32_t from, int32_t vocab_size, Kept* kept) { ScanScalar(logits, from, vocab_size, kept); }
#endif

Scan FastestScan() {
  static const Scan fastest = Supports(Scan::kAvx512) ? Scan::kAvx512 : Supports(Scan::kAvx2) ? Scan::kAvx2 : Scan::kScalar;
  return fastest;
}

}  // namespace

bool Supports(Scan scan) {
#if CFAB_VECTORS
  if (scan == Scan::kAvx2) return __builtin_cpu_supports("avx2");
  if (scan == Scan::kAvx512) return __builtin_cpu_supports("avx512f");
#endif
  return scan == Scan::kScalar;
}

void SelectTopBy(Scan scan, const float* logits, int32_t vocab_size, Candidates* out) {
  Kept kept(logits);
  const int32_t from = Fill(logits, vocab_size, &kept);
  if (scan == Scan::kAvx512)
    ScanAvx512(logits, from, vocab_size, &kept);
  else if (scan == Scan::kAvx2)
    ScanAvx2(logits, from, vocab_size, &kept);
  else
    ScanScalar(logits, from, vocab_size, &kept);
  kept.Finish(out);
}

void SelectTop(const float* logits, int32_t vocab_size, Candidates* out) {
  SelectTopBy(FastestScan(), logits, vocab_size, out);
}

}  // namespace cfab
