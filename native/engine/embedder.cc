#include "embedder.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace cfab {
namespace {

// A vector of nothing but zeros has no direction and stays as it is.
std::vector<float> UnitLength(const float* values, int32_t dimensions) {
  double sum = 0;
  for (int32_t at = 0; at < dimensions; at++) sum += static_cast<double>(values[at]) * values[at];
  const double length = sum > 0 ? std::sqrt(sum) : 1;
  std::vector<float> unit(static_cast<size_t>(dimensions));
  for (int32_t at = 0; at < dimensions; at++) unit[static_cast<size_t>(at)] = static_cast<float>(values[at] / length);
  return unit;
}

}  // namespace

bool Embedder::Accepts(const EmbedJob& job) const {
  const auto is_id = [this](TokenId id) { return id >= 0 && id < context_->model().vocab_size(); };
  const auto is_fine = [&](const std::vector<TokenId>& text) {
    return !text.empty() && text.size() <= context_->context_tokens() && std::all_of(text.begin(), text.end(), is_id);
  };
  return context_->pools() && !job.texts.empty() && std::all_of(job.texts.begin(), job.texts.end(), is_fine);
}

void Embedder::Add(EmbedJob job) { jobs_.push_back({std::move(job), {}}); }

bool Embedder::Cancel(CallId call, StepReport* report) {
  const auto found = std::find_if(jobs_.begin(), jobs_.end(), [call](const Job& job) { return job.texts.call == call; });
  if (found == jobs_.end()) return false;
  report->embeds.push_back({call, {}});
  jobs_.erase(found);
  return true;
}

void Embedder::CancelAll(StepReport* report) {
  for (const Job& job : jobs_) report->embeds.push_back({job.texts.call, {}});
  jobs_.clear();
}

std::vector<PassWatch::Wanted> Embedder::Plan(Batch* batch) {
  std::vector<PassWatch::Wanted> wanted;
  planned_ = 0;
  for (const Job& job : jobs_) {
    for (size_t at = job.vectors.size(); at < job.texts.texts.size(); at++) {
      const std::vector<TokenId>& text = job.texts.texts[at];
      const bool has_room = batch->size() + text.size() <= context_->pass_tokens_max() && planned_ < context_->spec().slot_count;
      if (!has_room) return wanted;
      for (uint32_t position = 0; position < text.size(); position++) batch->Add(text[position], position, planned_, true);
      planned_++;
      wanted.push_back({job.texts.call, false});
    }
  }
  return wanted;
}

void Embedder::Take(StepReport* report) {
  const int32_t dimensions = context_->model().libs().llama_model_n_embd_out(context_->model().handle());
  for (uint32_t slot = 0; slot < planned_; slot++) {
    Job& job = jobs_.front();
    const float* values = context_->VectorOf(slot);
    job.vectors.push_back(values == nullptr ? std::vector<float>() : UnitLength(values, dimensions));
    if (job.vectors.size() < job.texts.texts.size()) continue;
    report->embeds.push_back({job.texts.call, std::move(job.vectors)});
    jobs_.pop_front();
  }
}

void Embedder::Fail(StepReport* report) {
  while (planned_ > 0 && !jobs_.empty()) {
    const Job& job = jobs_.front();
    const auto texts_left = static_cast<uint32_t>(job.texts.texts.size() - job.vectors.size());
    planned_ -= std::min(planned_, texts_left);
    report->failures.push_back({job.texts.call, Failure::kDecodeFailed});
    jobs_.pop_front();
  }
}

}  // namespace cfab
