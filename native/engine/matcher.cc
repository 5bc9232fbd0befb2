#include "matcher.h"

#include <algorithm>
#include <utility>

namespace cfab {
namespace {

constexpr size_t kNodesKeptMin = 4096;
constexpr size_t kEdgesMax = 1 << 20;
constexpr size_t kTodoMax = 1 << 20;
constexpr size_t kSeenMin = 256;
// For the start; later the caller says.
constexpr uint64_t kFirstSteps = 1000000;

using Kind = GbnfElement::Kind;

}  // namespace

std::unique_ptr<GrammarMatcher> GrammarMatcher::Create(const std::string& text) {
  Gbnf grammar;
  if (!ParseGbnf(text, &grammar)) return nullptr;
  std::unique_ptr<GrammarMatcher> matcher(new GrammarMatcher(std::move(grammar)));
  const bool allows_something = !matcher->place_.ways.empty() || matcher->place_.may_end;
  return allows_something ? std::move(matcher) : nullptr;
}

GrammarMatcher::GrammarMatcher(Gbnf grammar)
    : grammar_(std::move(grammar)),
      nodes_kept_max_(kNodesKeptMin),
      steps_left_(kFirstSteps),
      node_of_(grammar_.elements.size()),
      seen_(kSeenMin) {
  Begin();
  for (const uint32_t alternative : grammar_.rules[grammar_.root]) Do({alternative, kNone});
  Close(&place_);
}

bool GrammarMatcher::Allows(const std::string& bytes) {
  if (bytes.empty()) return false;
  const size_t nodes_before = nodes_.size();
  const size_t edges_before = edges_.size();
  const std::string text = held_ + bytes;
  size_t done = 0;
  const Place* const place = Walk(text, &done);
  bool is_allowed = place != nullptr;
  if (is_allowed && done < text.size()) {
    const Utf8Head head = Utf8HeadOf(text.data() + done, text.size() - done);
    is_allowed = std::any_of(place->ways.begin(), place->ways.end(), [&](const Way& way) {
      return Matches(grammar_.elements[way.element], head.min, head.max);
    });
  }
  // The nodes from before have no new edges: only those of the present time get some.
  nodes_.resize(nodes_before);
  edges_.resize(edges_before);
  return is_allowed && !IsSpent();
}

void GrammarMatcher::Accept(const std::string& bytes) {
  held_ += bytes;
  size_t done = 0;
  const Place* const place = Walk(held_, &done);
  place_ = place == nullptr || IsSpent() ? Place{} : *place;
  held_.erase(0, done);
  if (nodes_.size() > nodes_kept_max_) CollectGarbage();
}

// Goes through the whole characters of a text, and says where an unfinished one begins. Null where a character is broken, or
// leads nowhere.
const GrammarMatcher::Place* GrammarMatcher::Walk(const std::string& text, size_t* done) {
  const Place* place = &place_;
  while (*done < text.size()) {
    const Utf8Head head = Utf8HeadOf(text.data() + *done, text.size() - *done);
    if (head.kind == Utf8Head::Kind::kUnfinished) break;
    if (head.kind == Utf8Head::Kind::kBroken) return nullptr;
    Place* const next = place == &tried_[0] ? &tried_[1] : &tried_[0];
    Step(*place, head.min, next);
    if (next->ways.empty() && !next->may_end) return nullptr;
    place = next;
    *done += head.bytes;
  }
  return place;
}

void GrammarMatcher::Step(const Place& from, uint32_t character, Place* to) {
  Begin();
  to->ways.clear();
  to->may_end = false;
  steps_left_ -= std::min<uint64_t>(steps_left_, from.ways.size());
  for (const Way& way : from.ways)
    if (Matches(grammar_.elements[way.element], character, character)) Do({way.element + 1, way.node});
  Close(to);
}

// Whether the element takes one of the characters from min to max.
bool GrammarMatcher::Matches(const GbnfElement& element, uint32_t min, uint32_t max) const {
  if (element.kind == Kind::kCharacter) return min <= element.value && element.value <= max;
  const CharacterClass& ranges = grammar_.classes[element.value];
  const auto first = std::lower_bound(ranges.begin(), ranges.end(), min,
                                      [](const auto& range, uint32_t character) { return range.second < character; });
  return first != ranges.end() && first->first <= max;
}

void GrammarMatcher::Begin() {
  time_++;
  seen_count_ = 0;
  todo_.clear();
}

void GrammarMatcher::Do(const Way& way) {
  if (steps_left_ == 0) return;
  steps_left_ = todo_.size() == kTodoMax ? 0 : steps_left_ - 1;
  todo_.push_back(way);
}

// Follows what is to be done through rules and ends until only ways are left that wait for a character.
void GrammarMatcher::Close(Place* place) {
  while (!todo_.empty() && steps_left_ > 0) {
    const Way way = todo_.back();
    todo_.pop_back();
    if (IsSeen(way)) continue;
    const Kind kind = grammar_.elements[way.element].kind;
    if (kind == Kind::kRule)
      Enter(way);
    else if (kind == Kind::kEnd)
      Leave(way.node, place);
    else
      place->ways.push_back(way);
  }
  if (edges_.size() > kEdgesMax) steps_left_ = 0;
}

void GrammarMatcher::Enter(const Way& way) {
  const uint32_t behind = way.element + 1;
  // Behind the last element of an alternative comes what comes behind the alternative: no node, so that repetitions stay flat.
  const uint32_t node = grammar_.elements[behind].kind == Kind::kEnd ? way.node : Push(behind, way.node);
  for (const uint32_t alternative : grammar_.rules[grammar_.elements[way.element].value]) Do({alternative, node});
}

void GrammarMatcher::Leave(uint32_t node, Place* place) {
  if (node == kNone) {
    place->may_end = true;
    return;
  }
  if (nodes_[node].left_at == time_) return;
  nodes_[node].left_at = time_;
  for (uint32_t edge = nodes_[node].first_edge; edge != kNone; edge = edges_[edge].next) {
    Do({nodes_[node].element, edges_[edge].to});
  }
}

// The node of this time for an element, with one more caller.
uint32_t GrammarMatcher::Push(uint32_t element, uint32_t caller) {
  auto& [made_at, node] = node_of_[element];
  if (made_at != time_) {
    made_at = time_;
    node = static_cast<uint32_t>(nodes_.size());
    nodes_.push_back({element, kNone, time_, 0});
  }
  edges_.push_back({caller, nodes_[node].first_edge});
  nodes_[node].first_edge = static_cast<uint32_t>(edges_.size() - 1);
  // The rule can be empty, and this caller came too late to be told.
  if (nodes_[node].left_at == time_) Do({element, caller});
  return node;
}

bool GrammarMatcher::IsSeen(const Way& way) {
  const uint64_t hash = (uint64_t{way.element} << 32 | way.node) * 0x9e3779b97f4a7c15;
  for (size_t at = hash >> 32 & (seen_.size() - 1);; at = (at + 1) & (seen_.size() - 1)) {
    Seen& entry = seen_[at];
    if (entry.time == time_ && entry.way.element == way.element && entry.way.node == way.node) return true;
    if (entry.time == time_) continue;
    entry = {time_, way};
    if (2 * ++seen_count_ > seen_.size()) GrowSeen();
    return false;
  }
}

void GrammarMatcher::GrowSeen() {
  std::vector<Seen> old(2 * seen_.size());
  old.swap(seen_);
  seen_count_ = 0;
  for (const Seen& entry : old)
    if (entry.time == time_) IsSeen(entry.way);
}

// Keeps the nodes that a way can come back to.
void GrammarMatcher::CollectGarbage() {
  std::vector<uint32_t> moved(nodes_.size(), kNone);
  std::vector<uint32_t> found;
  const auto find = [&](uint32_t node) {
    if (node == kNone || moved[node] != kNone) return;
    moved[node] = static_cast<uint32_t>(found.size());
    found.push_back(node);
  };
  for (const Way& way : place_.ways) find(way.node);
  for (size_t at = 0; at < found.size(); at++)
    for (uint32_t edge = nodes_[found[at]].first_edge; edge != kNone; edge = edges_[edge].next) find(edges_[edge].to);
  std::vector<Node> nodes;
  std::vector<Edge> edges;
  for (const uint32_t node : found) {
    nodes.push_back(nodes_[node]);
    nodes.back().first_edge = kNone;
    // Turns the order of the edges round, which means nothing.
    for (uint32_t edge = nodes_[node].first_edge; edge != kNone; edge = edges_[edge].next) {
      const uint32_t to = edges_[edge].to;
      edges.push_back({to == kNone ? kNone : moved[to], nodes.back().first_edge});
      nodes.back().first_edge = static_cast<uint32_t>(edges.size() - 1);
    }
  }
  for (Way& way : place_.ways)
    if (way.node != kNone) way.node = moved[way.node];
  nodes_.swap(nodes);
  edges_.swap(edges);
  nodes_kept_max_ = std::max(kNodesKeptMin, 2 * nodes_.size());
}

}  // namespace cfab
