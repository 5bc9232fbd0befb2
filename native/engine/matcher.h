// Follows a text through a grammar, character by character, and says which pieces may come next.
//
// All ways to read the text so far are followed side by side. What they have in common is kept once: a rule's caller is a node of
// a graph that all callers at one place of the text share (the graph-structured stack of Tomita 1986, as in the GLL parsers of
// Scott and Johnstone 2010). So the work grows with a low power of the text's length, also for grammars that are ambiguous or
// left-recursive.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gbnf.h"
#include "utf8.h"

namespace cfab {

class GrammarMatcher {
 public:
  // Null where the text is no grammar, or one that allows nothing at all.
  static std::unique_ptr<GrammarMatcher> Create(const std::string& text);

  // Whether the text may go on with these bytes, which may end inside a character. No bytes are no piece.
  bool Allows(const std::string& bytes);
  // Whether the text may end here.
  bool MayEnd() const { return place_.may_end && held_.empty(); }
  // Takes bytes that are allowed.
  void Accept(const std::string& bytes);

  // What can be afforded from here on, in steps of a way through the grammar; with none left nothing is allowed. So a hostile
  // grammar ends its own job, and not the others'.
  void Afford(uint64_t steps) { steps_left_ = steps; }
  bool IsSpent() const { return steps_left_ == 0; }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;

  // One way: the element that comes next, and the node to go on from at its alternative's end; kNone at the end of `root`.
  struct Way {
    uint32_t element;
    uint32_t node;
  };

  // Where the text may go on after a character: ways that all wait for the next.
  struct Place {
    std::vector<Way> ways;
    bool may_end = false;
  };

  // The element behind a rule, and the nodes to go on from after that one's alternative.
  struct Node {
    uint32_t element;
    uint32_t first_edge;
    uint64_t made_at;
    uint64_t left_at;
  };

  struct Edge {
    uint32_t to;
    uint32_t next;
  };

  explicit GrammarMatcher(Gbnf grammar);

  bool Matches(const GbnfElement& element, uint32_t min, uint32_t max) const;
  const Place* Walk(const std::string& text, size_t* done);
  void Step(const Place& from, uint32_t character, Place* to);
  void Begin();
  void Close(Place* place);
  void Enter(const Way& way);
  void Leave(uint32_t node, Place* place);
  void Do(const Way& way);
  bool IsSeen(const Way& way);
  void GrowSeen();
  uint32_t Push(uint32_t element, uint32_t caller);
  void CollectGarbage();

  const Gbnf grammar_;
  Place place_;
  // Of a walk, in turn.
  Place tried_[2];
  // Bytes of an unfinished character.
  std::string held_;
  std::vector<Node> nodes_;
  std::vector<Edge> edges_;
  size_t nodes_kept_max_;
  // Counts places, tried ones too: what belongs to another time is out of date.
  uint64_t time_ = 0;
  uint64_t steps_left_;
  std::vector<Way> todo_;
  // By element: the node that was made for it, and when.
  std::vector<std::pair<uint64_t, uint32_t>> node_of_;
  // A hash table of the ways seen at this time.
  struct Seen {
    uint64_t time;
    Way way;
  };
  std::vector<Seen> seen_;
  size_t seen_count_ = 0;
};

}  // namespace cfab
