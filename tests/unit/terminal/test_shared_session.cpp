// Sessions that clients share: what each of them sees, whatever the others do.
#include <doctest/doctest.h>

#include <boost/asio/executor_work_guard.hpp>

#include <functional>
#include <list>
#include <random>

#include "fakes.hpp"
#include "terminal/session.hpp"

using namespace riverbox;
using namespace riverbox::terminal;
using namespace std::chrono_literals;

namespace {

// A runner's sessions, whose loop the test turns by hand.
struct Place {
  boost::asio::io_context loop;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work{loop.get_executor()};
  std::list<fakes::ShellState> shells;
  std::exception_ptr refusal;
  os::WorkerPool workers{"shells", 4};
  std::shared_ptr<Sessions> sessions = std::make_shared<Sessions>(loop, workers);

  ~Place() {
    sessions->stop();
    CHECK(until([&] { return std::all_of(shells.begin(), shells.end(), [](const auto& shell) { return shell.alive == 0; }); }));
    settle();
  }
  std::unique_ptr<Shell> join(SessionWish wish = {.name = SessionName::parse("main")}, std::uint16_t rows = 24, std::uint16_t columns = 80, const std::string& where = "box") {
    OpenRequest request;
    request.rows = rows;
    request.columns = columns;
    auto end = sessions->join(where, request, wish, [this](const OpenRequest&) -> std::unique_ptr<Shell> {
      if (refusal) std::rethrow_exception(refusal);
      return std::make_unique<fakes::FakeShell>(shells.emplace_back());
    });
    settle();
    return end;
  }
  std::unique_ptr<Shell> watch() { return join({.name = SessionName::parse("main"), .watch = true}); }
  bool until(const std::function<bool()>& condition, std::chrono::milliseconds patience = 20s) {
    for (auto deadline = std::chrono::steady_clock::now() + patience; !condition(); loop.run_one_for(5ms))
      if (std::chrono::steady_clock::now() > deadline) return false;
    return true;
  }
  void settle(std::chrono::milliseconds time = 10ms) { loop.run_for(time); }
  void says(std::string_view text, int shell = 0) { REQUIRE(::send(at(shell).peer, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size())); }
  fakes::ShellState& at(int shell) { return *std::next(shells.begin(), shell); }
  std::string typed() {
    settle();
    char buffer[65536];
    const auto size = ::recv(at(0).peer, buffer, sizeof buffer, MSG_DONTWAIT);
    return size > 0 ? std::string(buffer, static_cast<size_t>(size)) : "";
  }
};

// At most `most` bytes, as they come now.
std::string read_now(Shell& shell, size_t most = SIZE_MAX, bool* ended = nullptr) {
  std::string out;
  char buffer[32 * 1024];
  bool is_stderr = false;
  while (out.size() < most) {
    const auto size = shell.read_some(buffer, std::min(sizeof buffer, most - out.size()), is_stderr);
    if (!size) break;
    if (*size == 0) {
      if (ended) *ended = true;
      break;
    }
    out.append(buffer, *size);
  }
  return out;
}

std::string refusal_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// What a reader has been given: pieces of `all` in order, with a note wherever something was left out, up to the very end. Only what is not of it has control characters.
void check_consistent(const std::string& all, std::string_view given) {
  constexpr std::string_view kReset = "\x1b[m", kNoteEnds = " of output left out]\x1b[m\r\n";
  if (given.starts_with(kReset) && !given.starts_with("\x1b[m\r\n")) given.remove_prefix(kReset.size());
  size_t at = 0;
  for (;;) {
    const auto length = std::min(given.find_first_of("\x18\x1b"), given.size());
    const std::string piece(given.substr(0, length));
    const auto found = all.find(piece, at);
    REQUIRE(found != all.npos);
    CHECK((found == 0 || at == found || all[found - 1] == '\n'));
    at = found + piece.size();
    if (length == given.size()) break;
    const auto note = given.find(kNoteEnds, length);
    REQUIRE(note != given.npos);
    given.remove_prefix(note + kNoteEnds.size());
  }
  CHECK(at == all.size());
}

}  // namespace

TEST_CASE("shared session: random clients that join, stall, leave and come back see the same") {
  struct Reader {
    std::unique_ptr<Shell> shell;
    std::string given;
    SessionPlace place;
    int pace = 0;
  };
  for (unsigned seed = 1; seed <= 6; ++seed) {
    std::mt19937 random(seed);
    Place place;
    std::vector<Reader> readers;
    readers.push_back({place.join(), {}, {}, 1});
    std::string all;
    for (int turn = 0; turn < 400; ++turn) {
      if (all.size() < 6'000'000) {
        std::string text;
        for (auto lines = random() % 40; lines > 0; --lines) text += "line " + std::to_string(seed * 1'000'000 + all.size() + text.size()) + " " + std::string(random() % 900, 'x') + "\n";
        all += text;
        for (std::string_view left = text; !left.empty();) {
          const auto put = ::send(place.at(0).peer, left.data(), left.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
          if (put > 0) left.remove_prefix(static_cast<size_t>(put));
          place.loop.run_for(put > 0 ? 0ms : 2ms);
        }
      }
      place.loop.poll();
      for (auto& reader : readers)
        if (reader.shell && random() % 4 < static_cast<unsigned>(reader.pace)) reader.given += read_now(*reader.shell, random() % 200'000);
      if (random() % 25 == 0 && readers.size() < 12) readers.push_back({random() % 3 ? place.join() : place.watch(), {}, {}, static_cast<int>(random() % 5)});
      auto& somebody = readers[random() % readers.size()];
      if (!somebody.shell) {
        somebody.shell = place.join({.name = SessionName::parse("main"), .resume = somebody.place});
      } else if (random() % 20 == 0) {
        somebody.given += read_now(*somebody.shell);  // to a place that it has been told
        somebody.place = *somebody.shell->place();
        somebody.shell.reset();
        place.settle(1ms);
      }
    }
    for (auto& reader : readers)
      if (!reader.shell) reader.shell = place.join({.name = SessionName::parse("main"), .resume = reader.place});
    place.at(0).status = 7;
    ::shutdown(place.at(0).peer, SHUT_WR);
    for (auto& reader : readers) {
      bool ended = false;
      CHECK(place.until([&] { return reader.given += read_now(*reader.shell, SIZE_MAX, &ended), ended; }));
      CHECK(reader.shell->exit_status() == 7);
      check_consistent(all, reader.given);
    }
  }
}

TEST_CASE("shared session: a quick reader is given all of it, beside one that stands still") {
  Place place;
  const auto quick = place.join(), still = place.join();
  const std::string block(1 << 20, 'x');
  std::thread writer([&] {
    for (int i = 0; i < 30; ++i)
      for (std::string_view left = block; !left.empty();) left.remove_prefix(static_cast<size_t>(std::max<ssize_t>(0, ::send(place.at(0).peer, left.data(), left.size(), MSG_NOSIGNAL))));
    ::shutdown(place.at(0).peer, SHUT_WR);
  });
  size_t given = 0;
  bool ended = false;
  CHECK(place.until([&] { return given += read_now(*quick, SIZE_MAX, &ended).size(), ended; }));
  writer.join();
  CHECK(given == 30 << 20);
  const auto late = read_now(*still);
  CHECK(late.size() < 200'000);
  CHECK(late.find("MB of output left out") != late.npos);
}

TEST_CASE("shared session: nobody who stands still holds up the shell for long, and one who watches not at all") {
  for (const bool watches : {false, true}) {
    Place place;
    auto first = place.join();
    auto still = watches ? place.watch() : nullptr;
    if (watches) first.reset();
    std::atomic<bool> written{false};
    std::thread writer([&] {
      const std::string block(1 << 20, 'x');
      for (int i = 0; i < 8; ++i)
        for (std::string_view left = block; !left.empty();) left.remove_prefix(static_cast<size_t>(std::max<ssize_t>(0, ::send(place.at(0).peer, left.data(), left.size(), MSG_NOSIGNAL))));
      written = true;
    });
    const auto begin = std::chrono::steady_clock::now();
    CHECK(place.until([&] { return written.load(); }));
    const auto took = std::chrono::steady_clock::now() - begin;
    writer.join();
    if (watches) CHECK(took < 900ms);
    else CHECK((took > 900ms && took < 5s));
  }
}

TEST_CASE("shared session: its size is the smallest of those who may type") {
  Place place;
  auto large = place.join({.name = SessionName::parse("main")}, 50, 200);
  const auto size = [&](int rows, int columns) { return place.until([&] { return place.at(0).current_size() == std::pair(rows, columns); }, 2s); };
  auto wide = place.join({.name = SessionName::parse("main")}, 30, 300);
  CHECK(size(30, 200));
  auto watcher = place.join({.name = SessionName::parse("main"), .watch = true}, 5, 5);
  large->resize(40, 100);
  CHECK(size(30, 100));
  wide.reset();
  CHECK(size(40, 100));
  large.reset();
  place.settle(50ms);
  CHECK(size(40, 100));
  CHECK(place.at(0).most_concurrent == 1);
}

TEST_CASE("shared session: all type, and who watches does not") {
  Place place;
  const auto first = place.join(), second = place.join(), watcher = place.watch();
  CHECK(first->write_some("a", 1) == 1);
  CHECK(watcher->write_some("b", 1) == 1);
  CHECK(second->write_some("c", 1) == 1);
  CHECK(place.typed() == "ac");
  // More than the shell takes: who types waits for it, and is told when it goes on.
  const std::string much(50'000, 'x');
  size_t taken = 0;
  while (const auto now = first->write_some(much.data(), much.size())) taken += *now;
  CHECK(taken > 65536);
  bool writable = false;
  second->when_writable([&] { writable = true; });
  CHECK_FALSE(place.until([&] { return writable; }, 50ms));
  size_t read = 0;
  CHECK(place.until([&] { return (read += place.typed().size()) == taken; }));
  CHECK(writable);
}

TEST_CASE("shared session: who joins sees what was said, without its questions, and one terminal answers") {
  Place place;
  const auto first = place.join();
  place.says("before\x1b[6n\r\n");
  place.settle();
  CHECK(read_now(*first) == "before\x1b[6n\r\n");
  const auto second = place.join(), watcher = place.watch();
  place.says("now\x1b[6n");
  place.settle();
  CHECK(read_now(*first) == "now\x1b[6n");
  CHECK(read_now(*second) == "before\r\nnow");
  CHECK(read_now(*watcher) == "before\r\nnow");
  CHECK(second->write_some("x", 1) == 1);  // now its user is there
  place.says("\x1b[c.");
  place.settle();
  CHECK(read_now(*first) == ".");
  CHECK(read_now(*second) == "\x1b[c.");
}

TEST_CASE("shared session: a program that fills the screen draws it anew for who joins") {
  Place place;
  const auto first = place.join();
  place.says("\x1b[?1049h");
  place.settle();
  const int before = place.at(0).resizes;
  const auto second = place.join();
  CHECK(place.until([&] { return place.at(0).resizes == before + 2; }, 5s));
  CHECK(place.at(0).current_size() == std::pair(24, 80));
}

TEST_CASE("shared session: the shell's end is everybody's, and then there is another") {
  Place place;
  const auto first = place.join(), second = place.watch();
  const auto id = first->place()->session;
  CHECK(place.sessions->list("box").size() == 1);
  place.says("bye");
  place.at(0).exit_fails = true;
  ::shutdown(place.at(0).peer, SHUT_WR);
  bool ended = false;
  CHECK(place.until([&] { return read_now(*first, SIZE_MAX, &ended), ended; }));
  CHECK(read_now(*second) == "bye");
  for (Shell* end : {first.get(), second.get()}) CHECK(refusal_of([&] { end->exit_status(); }) == "Docker does not answer");
  CHECK(place.at(0).hang_ups == 1);
  CHECK(place.sessions->list("box").empty());
  CHECK(refusal_of([&] { place.join({.name = SessionName::parse("main"), .resume = SessionPlace{id, 3}}); }).starts_with("session \"main\" is over"));
  CHECK(place.join()->place()->session != id);
  CHECK(place.shells.size() == 2);
}

TEST_CASE("shared session: it stays without clients, and ends with the runner") {
  Place place;
  place.join();
  place.settle();
  const auto list = place.sessions->list("box");
  REQUIRE(list.size() == 1);
  CHECK((list[0].name == "main" && list[0].clients == 0 && list[0].rows == 24 && list[0].columns == 80));
  place.says("said to nobody\n");
  place.settle();
  CHECK(read_now(*place.join()) == "said to nobody\n");
  place.sessions->stop();
  CHECK(place.until([&] { return place.at(0).hang_ups == 1 && place.at(0).alive == 0; }));
  CHECK(refusal_of([&] { place.join(); }).starts_with("the runner stops"));
}

TEST_CASE("shared session: what is refused") {
  Place place;
  const auto main = SessionName::parse("main");
  CHECK(refusal_of([&] { place.watch(); }).starts_with("there is no session \"main\" to watch"));
  CHECK(refusal_of([&] { place.join({.name = main, .resume = SessionPlace{1, 0}}); }).starts_with("session \"main\" is over"));
  place.refusal = std::make_exception_ptr(Conflict("the task is paused"));
  CHECK(refusal_of([&] { place.join(); }) == "the task is paused");
  CHECK(place.sessions->list("box").empty());
  place.refusal = nullptr;
  std::vector<std::unique_ptr<Shell>> ends;
  for (size_t i = 0; i < SharedSession::kMostClients; ++i) ends.push_back(place.join());
  CHECK(refusal_of([&] { place.join(); }).starts_with("session \"main\" has 32 clients already"));
  ends.pop_back();
  ends.push_back(place.join());
  CHECK(refusal_of([&] { place.join({.name = main, .fresh = true}); }).starts_with("session \"main\" is there already"));
  for (size_t i = 1; i < Sessions::kMostInOnePlace; ++i) place.join({.name = SessionName::parse("s" + std::to_string(i)), .fresh = true});
  CHECK(refusal_of([&] { place.join({.name = SessionName::parse("more")}); }).starts_with("there are 16 sessions already"));
  place.join({.name = main}, 24, 80, "another box");
  for (const char* name : {"", "a b", "a/b", "\xc3\xa9"}) CHECK_THROWS_AS(SessionName::parse(name), InvalidInput);
  CHECK_THROWS_AS(SessionName::parse(std::string(65, 'a')), InvalidInput);
  for (const char* text : {"", ".", "0123456789abcdef", "0123456789abcdef.", "0123456789abcde.1", "0123456789abcdeg.1", "0123456789abcdef.x"}) CHECK_THROWS_AS(SessionPlace::parse(text), InvalidInput);
  CHECK(SessionPlace::parse("0123456789abcdef.4096").str() == "0123456789abcdef.4096");
}
