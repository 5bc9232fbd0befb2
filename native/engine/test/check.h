// A test framework of one page: TEST registers, CHECK goes on after a failure, REQUIRE ends its test, SKIP says why.
#pragma once

#include <string>
#include <type_traits>
#include <vector>

namespace cfab::test {

using Body = void (*)();

struct Registration {
  Registration(const char* name, Body body);
};

// May be called from any thread.
void Fail(const char* file, int line, const std::string& what);
// The running test counts as skipped; the reason is printed.
void Skip(const std::string& reason);

std::string Show(const std::string& value);
std::string Show(const char* value);
std::string Show(bool value);
std::string Show(double value);
std::string Show(const void* value);

template <typename T>
std::enable_if_t<std::is_integral_v<T> || std::is_enum_v<T>, std::string> Show(T value) {
  return std::to_string(static_cast<long long>(value));
}

template <typename T>
std::string Show(const std::vector<T>& values) {
  std::string text = "[";
  for (const T& value : values) text += (text.size() > 1 ? ", " : "") + Show(value);
  return text + "]";
}

template <typename A, typename B>
bool CheckEqual(const A& found, const B& wanted, const char* file, int line, const char* what) {
  if (found == wanted) return true;
  Fail(file, line, std::string(what) + " is " + Show(found) + ", wanted " + Show(wanted));
  return false;
}

}  // namespace cfab::test

#define CFAB_JOIN2(a, b) a##b
#define CFAB_JOIN(a, b) CFAB_JOIN2(a, b)
#define CFAB_TEST(name, body)                                                \
  static void body();                                                        \
  static const ::cfab::test::Registration CFAB_JOIN(body, _told)(name, body); \
  static void body()

// TEST("a name that is a sentence") { ... }
#define TEST(name) CFAB_TEST(name, CFAB_JOIN(TestOfLine, __LINE__))
#define CHECK(condition)                                                            \
  do {                                                                              \
    if (!(condition)) ::cfab::test::Fail(__FILE__, __LINE__, #condition " is false"); \
  } while (false)
#define CHECK_EQ(found, wanted) ::cfab::test::CheckEqual((found), (wanted), __FILE__, __LINE__, #found)
#define REQUIRE(condition)                                                   \
  do {                                                                       \
    if (!(condition)) {                                                      \
      ::cfab::test::Fail(__FILE__, __LINE__, #condition " is false, the rest is left out"); \
      return;                                                                \
    }                                                                        \
  } while (false)
#define SKIP(reason) return ::cfab::test::Skip(reason)
