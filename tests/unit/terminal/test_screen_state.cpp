#include <doctest/doctest.h>

#include <random>

#include "terminal/scrollback.hpp"

using namespace riverbox::terminal;

namespace {

std::string kept_of(std::string_view bytes, bool questions, size_t step) {
  ScreenState screen;
  std::string kept;
  for (size_t at = 0; at < bytes.size(); at += step) screen.feed(bytes.substr(at, step), &kept, questions);
  return kept + screen.held();
}

ScreenState after(std::string_view bytes) {
  ScreenState screen;
  screen.feed(bytes);
  return screen;
}

}  // namespace

TEST_CASE("screen state: questions are left out, whatever a read cuts") {
  const std::string answered[] = {"\x1b[c",     "\x1b[>c",      "\x1b[6n",    "\x1b[?6n", "\x1b[?2026$p", "\x1b[>q", "\x1b[?u", "\x1b[18t", "\x1b[14;2t", "\x05", "\x1bZ", "\x1b]11;?\x07",
                                  "\x1b]4;1;?\x1b\\", "\x1bP$qm\x1b\\", "\x1bP+q544e\x1b\\", "\x1b]52;c;?\x07"};
  const std::string shown[] = {"plain \xc3\xa9\xe2\x82\xac\r\n\t\b", "\x1b[1;31m",      "\x1b[2J",     "\x1b[?1049h", "\x1b]0;who?\x07", "\x1b]8;;http://a/?b\x1b\\", "\x1b(0\x0elqk\x0f\x1b(B",
                               "\x1b[22;0t",                          "\x1b[4 q", "\x1b[!p", "\x1b" "7\x1b" "8", "\x1bPq#0~\x1b\\", "\a"};
  for (size_t step = 1; step < 9; ++step) {
    std::string all, expected;
    for (const auto& text : shown)
      for (const auto& question : answered) {
        all += text + question;
        expected += text;
      }
    CHECK(kept_of(all, false, step) == expected);
    CHECK(kept_of(all, true, step) == all);
  }
}

TEST_CASE("screen state: what an editor has set is set on another terminal, and taken back") {
  const std::string begins = "\x1b[?1049h\x1b[?1;2004h\x1b=\x1b[?25l\x1b[?1006;1000h", ends = "\x1b[?1000;1006l\x1b[?25h\x1b>\x1b[?2004l\x1b[?1l\x1b[?1049l";
  const auto editing = after(begins);
  CHECK(editing.alternate_screen());
  CHECK(after(begins + ends).to({}) == "\x1b[m");
  CHECK(after(ScreenState().to(editing)).to(editing) == "\x1b[m");  // there, and nothing is left to be done
  CHECK(ScreenState().to(editing).starts_with("\x1b[?1049h"));
  CHECK_FALSE(after(begins + editing.to({})).alternate_screen());
  CHECK(after(begins + "\x1b" "c").to({}) == "\x1b[m");
  CHECK(after(begins + "\x1b[!p").to({}) == "\x1b[?1049l\x1b[m");
  const auto cut = after("\x1b]0;a titl");
  CHECK_FALSE(cut.at_rest());
  CHECK(cut.to({}) == "\x18\x1b[m");
  for (const auto& state : {ScreenState(), editing}) CHECK(ScreenState::unknown().to(state).find("\x1b[?1000") != std::string::npos);
}

TEST_CASE("screen state: a picture is not held until it is complete") {
  ScreenState screen;
  std::string kept;
  screen.feed("\x1bPq" + std::string(1'000'000, '~'), &kept);
  CHECK(kept.size() + screen.held().size() == 1'000'003);
  CHECK(screen.held().size() <= 5000);
  screen.feed("\x1b\\.", &kept, false);
  CHECK(screen.at_rest());
  CHECK(kept.size() == 1'000'006);
}

TEST_CASE("scroll-back: its end, in memory that is bounded, from the beginning of a line") {
  std::mt19937 random(7);
  Scrollback back(100'000);
  std::string all;
  for (int i = 0; i < 3000; ++i) {
    std::string line = i % 7 == 0 ? "\x1b[?2004h\x1b]0;title\nof two lines\x07\xe2\x82\xac " : "";
    line += std::string(random() % 300, 'x') + "\n";
    back.append(line);
    all += line;
  }
  REQUIRE(back.end() == all.size());
  CHECK(back.end() - back.begin() >= 100'000);
  CHECK(back.end() - back.begin() <= 100'000 + 2 * 65536);
  std::string read;
  for (auto at = back.begin(); at < back.end();) {
    const auto part = back.at(at, 1 + random() % 10'000);
    REQUIRE(!part.empty());
    read += part;
    at += part.size();
  }
  CHECK(read == all.substr(back.begin()));
  for (int i = 0; i < 200; ++i) {
    const auto from = back.begin() + random() % (back.end() - back.begin());
    const auto start = back.line_from(from);
    CHECK(start.at >= from);
    CHECK((all[start.at - 1] == '\n' || all.find('\n', from) == all.size() - 1));
    CHECK(start.screen.at_rest());
    CHECK(start.screen.to(back.screen()) == "\x1b[m");
  }
  Scrollback line(1000);
  line.append(std::string(300'000, '\xe2'));
  CHECK(line.line_from(line.begin()).at == line.begin());
}
