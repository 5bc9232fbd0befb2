#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "../gbnf.h"
#include "../grammar.h"
#include "../matcher.h"
#include "../sampling.h"
#include "check.h"
#include "random.h"

using namespace cfab;
using namespace cfab::test;

namespace {

constexpr uint64_t kSteps = 8000000;

const char kJson[] = R"gbnf(
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws
object ::= "{" ws ( string ":" ws value ("," ws string ":" ws value)* )? "}" ws
array  ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
ws ::= | " " | "\n" [ \t]{0,20}
)gbnf";

bool IsGrammar(const std::string& text) { return GrammarMatcher::Create(text) != nullptr; }

// Whether the whole text is in the language, told in pieces of `size` bytes.
bool IsIn(const std::string& grammar, const std::string& text, size_t size = 1) {
  const auto matcher = GrammarMatcher::Create(grammar);
  if (matcher == nullptr) return false;
  for (size_t at = 0; at < text.size(); at += size) {
    const std::string piece = text.substr(at, size);
    matcher->Afford(kSteps);
    if (!matcher->Allows(piece)) return false;
    matcher->Accept(piece);
  }
  return matcher->MayEnd();
}

// Repeats a text.
std::string Times(int times, const std::string& text) {
  std::string all;
  for (; times > 0; times--) all += text;
  return all;
}

std::vector<float> LevelRow(float logit = 0) { return std::vector<float>(static_cast<size_t>(TestModel().vocab_size()), logit); }

SamplingSpec Greedy() {
  SamplingSpec spec;
  spec.kind = SamplingSpec::Kind::kLlama;
  spec.llama.temperature = 0;
  return spec;
}

// The rest differs: control tokens count as text there, broken characters as half of one, and nothing may contain a zero byte.
bool IsPlain(const Model& model, TokenId id) {
  const std::string& piece = model.Piece(id, false);
  if (piece.empty() || piece != model.Piece(id, true)) return false;
  for (size_t at = 0; at < piece.size();) {
    const Utf8Head head = Utf8HeadOf(piece.data() + at, piece.size() - at);
    if (head.kind != Utf8Head::Kind::kCharacter || head.min == 0) return false;
    at += head.bytes;
  }
  return true;
}

TokenId TokenOf(const std::string& piece) {
  const Model& model = TestModel();
  for (TokenId id = 0; id < model.vocab_size(); id++)
    if (model.Piece(id, false) == piece) return id;
  return -1;
}

}  // namespace

TEST("a grammar's literals, classes, groups, choices and repetitions mean what GBNF says") {
  CHECK(IsIn("root ::= \"ab\" [c-e] .", "abdx"));
  CHECK(!IsIn("root ::= \"ab\" [c-e] .", "abfx"));
  CHECK(IsIn("root ::= [^a-c]", "日"));
  CHECK(!IsIn("root ::= [^a-c]", "b"));
  CHECK(IsIn("root ::= \"a\"{2,3} \"b\"{2} \"c\"{1,} \"d\"* \"e\"+ \"f\"?", "aabbccce"));
  CHECK(!IsIn("root ::= \"a\"{2,3}", "aaaa"));
  CHECK(!IsIn("root ::= \"a\"{2,3}", "a"));
  CHECK(IsIn("root ::= \"a\"{0}", ""));
  CHECK(IsIn("root ::= (\"ab\" | \"c\" (\"d\" | ))+", "abccdab"));
  CHECK(IsIn("root ::= \"ab\"*", "abab"));
  CHECK(IsIn("root ::= \"\\x41\\u00df\\U0001f642\\n\\\\\\\"\" [\\]\\[\\-]", "Aß🙂\n\\\"-"));
  CHECK(IsIn("root ::= [a-]", "-"));
  CHECK(IsIn("# why\nroot ::= x | # here\n y\nx ::= \"1\"\r\ny ::= (\n \"2\"\n)", "1"));
  CHECK(IsIn("root ::= x |\n y\nx ::= \"1\"\ny ::= \"2\"", "2"));
  CHECK(IsIn("root ::= \"1\"\nroot ::= \"2\"", "2"));
}

TEST("what is no grammar is refused, and so is one that is too large or allows nothing") {
  for (const char* text : {"", "x ::= \"a\"", "root ::= x", "root ::= \"a", "root ::= [a", "root ::= (\"a\"", "root ::= \"a\")",
                           "root = \"a\"", "root ::= *", "root ::= \"a\"{", "root ::= \"a\"{x}", "root ::= \"a\"{2,1}",
                           "root ::= \"a\"{9999999999}", "root ::= \"\\q\"", "root ::= \"\\x4\"", "root ::= \"\\U00110000\"",
                           "root ::= \"\xff\"", "root ::= <[1]>", "root ::= !<think>", "root ::= root", "root ::= x\nx ::= y x\ny ::= x"})
    CHECK_EQ(IsGrammar(text) ? text : "refused", "refused");
  CHECK(!IsGrammar("root ::= " + Times(5000, "(") + "\"a\"" + Times(5000, ")")));
  CHECK(!IsGrammar("root ::= \"" + Times(5000, "a") + "\"{5000}"));
  CHECK(!IsGrammar("root ::= " + Times(50, "\"a\"{90000} ")));
  CHECK(!IsGrammar("root ::= \"a\" #" + Times(2000000, "x")));
}

TEST("grammars that take others for ever are quick: left recursion, empty rules, exponential ambiguity, long chains") {
  CHECK(IsIn("root ::= root \"a\" | \"b\"", "baaaa"));
  CHECK(IsIn("root ::= e root \"z\" | \"x\"\ne ::= f\nf ::= \"\" | \"y\"", "yyxzzz"));
  CHECK(IsIn("root ::= a a a a \"x\"\na ::= b | c\nb ::= \"\"\nc ::= b b", "x"));
  CHECK(IsIn("root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"\"", Times(60, "a") + Times(30, "bc")));
  CHECK(!IsIn("root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"\"", Times(60, "a") + Times(29, "bc")));
  CHECK(IsIn("root ::= (\" \" | \" \" | \" \" \" \")* \"x\"", Times(80, " ") + "x", 16));
  CHECK(IsIn("root ::= root root | \"a\"", Times(40, "a")));
  CHECK(IsIn("root ::= (\"a\"*)* ((\"b\"?)+)*", "aaaabbbb"));
  CHECK(IsIn("root ::= ((\"a\"?){40}){40}", Times(20, "a")));
  std::string chain = "root ::= r0\n";
  for (int rule = 0; rule < 300; rule++)
    chain += "r" + std::to_string(rule) + " ::= r" + std::to_string(rule + 1) + " | r" + std::to_string(rule + 1) + " \"b\"\n";
  CHECK(IsIn(chain + "r300 ::= \"a\"", "ab"));
}

TEST("a grammar that spends more than there is allows nothing from then on") {
  const auto matcher = GrammarMatcher::Create("root ::= root root root | \"a\"");
  std::string text;
  matcher->Afford(20000);
  while (matcher->Allows("a") && text.size() < 100000) {
    matcher->Accept("a");
    text += "a";
    matcher->Afford(20000);
  }
  CHECK(text.size() > 5 && text.size() < 100000);
  matcher->Accept("a");
  matcher->Afford(kSteps);
  CHECK(!matcher->Allows("a") && !matcher->MayEnd());
}

TEST("a piece may end inside a character if one that the grammar allows begins so") {
  const auto matcher = GrammarMatcher::Create("root ::= [ß日] \"!\"");
  CHECK(matcher->Allows("\xe6") && matcher->Allows("\xe6\x97") && matcher->Allows("\xc3"));
  CHECK(!matcher->Allows("\xe7") && !matcher->Allows("\xc2") && !matcher->Allows("\xf0") && !matcher->Allows("\xa5"));
  matcher->Accept("\xe6");
  CHECK(matcher->Allows("\x97") && matcher->Allows("\x97\xa5!"));
  CHECK(!matcher->Allows("\x98") && !matcher->Allows("!") && !matcher->Allows("\x97\xa6"));
  matcher->Accept("\x97");
  CHECK(!matcher->MayEnd());
  matcher->Accept("\xa5!");
  CHECK(matcher->MayEnd());
  CHECK(IsIn("root ::= .*", "\xf0\x9f\x99\x82 and \xe6\x97\xa5", 1));
  CHECK(!IsIn("root ::= .*", "\xed\xa0\x80", 1));
  CHECK(!IsIn("root ::= .*", "\xc0\x80", 2));
}

TEST("a long text needs no more memory or time for each character than a short one") {
  const auto matcher = GrammarMatcher::Create(kJson);
  matcher->Accept("{\"text\": \"");
  for (int round = 0; round < 20000; round++) {
    matcher->Afford(2000);
    CHECK(matcher->Allows("some words "));
    matcher->Accept("some words ");
  }
  matcher->Accept("\"}");
  CHECK(matcher->MayEnd());
}

TEST("trying pieces changes nothing: the same text is allowed however much was tried before") {
  Random random;
  const std::string text = R"({"a": [1, -2.5e3, {"b": "\u00dfßx"}, true], "日": null})";
  const std::string alphabet = "{}[]\",:\\ u0eatrlsfn-.5\xe6\x97\xa5";
  const auto matcher = GrammarMatcher::Create(kJson);
  for (const char byte : text) {
    matcher->Afford(kSteps);
    for (int round = 0; round < 20; round++) {
      std::string tried;
      for (uint64_t left = 1 + random.Below(6); left > 0; left--) tried += alphabet[random.Below(alphabet.size())];
      matcher->Allows(tried);
    }
    const std::string piece(1, byte);
    REQUIRE(matcher->Allows(piece));
    matcher->Accept(piece);
  }
  CHECK(matcher->MayEnd());
}

TEST("the tokens that a grammar allows are those that llama.cpp's matcher allows, along random texts") {
  Random random;
  const Model& model = TestModel();
  const Libs& libs = model.libs();
  const std::string grammars[] = {
      kJson,
      "root ::= item (\", \" item)* \".\"?\nitem ::= [a-z]+ | [0-9]{1,4}",
      "root ::= [^x\\n]{3,9} (\"\\n\" | \" \" | [à-ÿ日-月])*",
      "root ::= expr\nexpr ::= term ([-+*/] term)*\nterm ::= [0-9]+ | \"(\" expr \")\"",
      "root ::= (\"the \" | \"a \" | \"the a\") .+",
      "root ::= \"a\" root \"b\" | \"\"",
  };
  for (const std::string& text : grammars) {
    for (int round = 0; round < 3; round++) {
      const auto matcher = GrammarMatcher::Create(text);
      llama_sampler* const reference = libs.llama_sampler_init_grammar(model.vocab(), text.c_str(), "root");
      REQUIRE(matcher != nullptr && reference != nullptr);
      for (int step = 0; step < 25; step++) {
        std::vector<llama_token_data> list;
        for (TokenId id = 0; id < model.vocab_size(); id++)
          if (model.IsStop(id) || IsPlain(model, id)) list.push_back({id, 0, 0});
        llama_token_data_array array{list.data(), list.size(), -1, false};
        libs.llama_sampler_apply(reference, &array);
        std::vector<TokenId> next;
        matcher->Afford(kSteps);
        for (const llama_token_data& token : list) {
          const bool is_stop = model.IsStop(token.id);
          const bool is_allowed = is_stop ? matcher->MayEnd() : matcher->Allows(model.Piece(token.id, false));
          if (!CHECK_EQ(is_allowed, std::isfinite(token.logit))) std::printf("  %d in %s\n", token.id, text.c_str());
          if (is_allowed && !is_stop) next.push_back(token.id);
        }
        if (next.empty()) break;
        const TokenId id = next[random.Below(next.size())];
        libs.llama_sampler_accept(reference, id);
        matcher->Accept(model.Piece(id, false));
      }
      libs.llama_sampler_free(reference);
    }
  }
}

TEST("under a grammar a sampler stays inside it, looks at the whole vocabulary where it must, and stops only at an end") {
  const Model& model = TestModel();
  REQUIRE(!model.stop_ids().empty());
  const TokenId stop = model.stop_ids()[0];
  std::vector<float> row = LevelRow();
  row[static_cast<size_t>(stop)] = 50;
  // A token far below the best ones.
  const TokenId wanted = TokenOf("q");
  REQUIRE(wanted >= 0);
  row[static_cast<size_t>(wanted)] = -30;
  const auto sampler = Sampler::Create(model, Greedy(), "root ::= \"qq\"");
  REQUIRE(sampler != nullptr);
  Chosen chosen;
  for (int step = 0; step < 2; step++) {
    REQUIRE(sampler->Choose(row.data(), &chosen));
    CHECK_EQ(model.Piece(chosen.id, false), "q");
  }
  REQUIRE(sampler->Choose(row.data(), &chosen));
  CHECK_EQ(chosen.id, stop);
  CHECK_EQ(chosen.logprob, 0.0);
}

TEST("random logits under the grammar of JSON give JSON") {
  Random random;
  const Model& model = TestModel();
  SamplingSpec spec;
  spec.kind = SamplingSpec::Kind::kLlama;
  for (int round = 0; round < 20; round++) {
    spec.llama.seed = static_cast<uint32_t>(random.Next());
    const auto sampler = Sampler::Create(model, spec, kJson);
    std::string text;
    Chosen chosen;
    for (int step = 0; step < 200; step++) {
      std::vector<float> row = LevelRow();
      for (float& logit : row) logit = static_cast<float>(random.Unit() * 10);
      REQUIRE(sampler->Choose(row.data(), &chosen));
      if (model.IsStop(chosen.id)) break;
      text += model.Piece(chosen.id, false);
    }
    const auto matcher = GrammarMatcher::Create(kJson);
    matcher->Afford(kSteps);
    CHECK(matcher->Allows(text));
    matcher->Accept(text);
    CHECK_EQ(matcher->MayEnd() || !model.IsStop(chosen.id), true);
  }
}

TEST("a grammar that no token can follow ends the choice, and one that is none gives no sampler") {
  const Model& model = TestModel();
  Chosen chosen;
  CHECK(Sampler::Create(model, Greedy(), "root ::= x") == nullptr);
  std::vector<float> row = LevelRow();
  const TokenId wanted = TokenOf("q");
  SamplingSpec spec = Greedy();
  for (TokenId id = 0; id < model.vocab_size(); id++)
    if (model.Piece(id, true)[0] == 'q') spec.llama.logit_bias.emplace_back(id, -std::numeric_limits<float>::infinity());
  const auto sampler = Sampler::Create(model, spec, "root ::= \"q\"");
  CHECK(wanted >= 0 && !sampler->Choose(row.data(), &chosen));
}

TEST("control tokens are allowed under a grammar only where they are shown") {
  const Model& model = TestModel();
  TokenId control = -1;
  for (TokenId id = 0; id < model.vocab_size(); id++)
    if (model.IsControl(id) && !model.IsStop(id) && !model.Piece(id, true).empty()) control = id;
  if (control < 0) SKIP("the model has no control token but stop tokens");
  std::vector<float> row = LevelRow();
  row[static_cast<size_t>(control)] = 9;
  Chosen chosen;
  REQUIRE(Sampler::Create(model, Greedy(), "root ::= .*", true)->Choose(row.data(), &chosen));
  CHECK_EQ(chosen.id, control);
  REQUIRE(Sampler::Create(model, Greedy(), "root ::= .*", false)->Choose(row.data(), &chosen));
  CHECK(chosen.id != control);
}

TEST("any text as a grammar, and any grammar with any pieces, ends soon and breaks nothing") {
  Random random;
  const std::string scraps[] = {"root", " ::= ", "\n", "\"a\"", "[a-c]", "[^b]", ".", "(", ")", "|", "*", "+", "?", "{2,3}",
                                "{0,}", " x ", "x ::= ", "\"\"", "[", "\"", "\\", "#", "日", "{", "1"};
  const std::string pieces[] = {"a", "b", "ab", "ccc", "日", "\xe6", "\x97\xa5", " ", ""};
  int grammars = 0;
  for (int round = 0; round < 20000; round++) {
    std::string text = random.Below(4) == 0 ? "" : "x ::= \"b\" | x? \"c\"\nroot ::= ";
    for (uint64_t left = random.Below(14); left > 0; left--) text += scraps[random.Below(25)];
    const auto matcher = GrammarMatcher::Create(text);
    if (matcher == nullptr) continue;
    grammars++;
    for (int step = 0; step < 10; step++) {
      matcher->Afford(2000);
      const std::string& piece = pieces[random.Below(9)];
      if (matcher->Allows(piece)) matcher->Accept(piece);
    }
  }
  CHECK(grammars > 500);
}
