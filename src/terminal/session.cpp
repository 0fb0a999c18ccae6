#include "terminal/session.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <random>
#include <thread>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <fmt/format.h>

#include "base/log.hpp"

namespace riverbox::terminal {

namespace asio = boost::asio;
using asio::posix::descriptor_base;
using namespace std::chrono_literals;

namespace {

constexpr size_t kShellReadBytes = 64 * 1024, kShownBytes = 32 * 1024;
constexpr int kShellReadsPerTurn = 4;              // then others have their turn
constexpr size_t kMostTyped = 64 * 1024;           // that the shell has not taken; above this the clients wait
constexpr std::uint64_t kMostLag = 512 * 1024;     // of the quickest reader
constexpr std::uint64_t kLeastPace = 1024 * 1024;  // bytes in a second
constexpr std::uint64_t kShownAfterSkip = 64 * 1024;
constexpr auto kPaceTime = 1s;
constexpr auto kFullPoolRetry = 200ms;
constexpr auto kRedrawPause = 50ms;                // a program that is told of two sizes at once sees only the last

std::uint64_t any_number() {
  std::random_device random;
  return std::uint64_t{random()} << 32 | random();
}

std::string amount(std::uint64_t bytes) { return bytes < 1'000'000 ? fmt::format("{} kB", (bytes + 999) / 1000) : fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6); }

}  // namespace

// One of those who share it. Loop thread, once it has entered.
struct SharedSession::Client {
  const bool watches;
  std::uint16_t rows, columns;
  std::uint64_t seen = 0;       // how far it has been given the output
  std::uint64_t old_until = 0;  // what was said before it came: nobody waits for answers to that
  std::uint64_t shown = 0;      // `seen` without what is held back and what is pending
  ScreenState screen = {};      // of its terminal
  std::string pending = {};     // to be given next
  std::function<void()> readable = {}, writable = {};
};

// A client's end of it, which a relay takes for a shell.
class SharedSession::View final : public Shell {
public:
  View(std::shared_ptr<SharedSession> session, std::shared_ptr<Client> client) : session_(std::move(session)), client_(std::move(client)) {}
  ~View() override {
    leave();
    --session_->joined_;
  }
  int wait_fd() const override { return -1; }
  std::optional<size_t> read_some(char* buffer, size_t size, bool& is_stderr) override {
    is_stderr = false;
    return session_->read(*client_, buffer, size);
  }
  std::optional<size_t> write_some(const char* bytes, size_t size) override { return session_->type(*client_, bytes, size); }
  void shutdown_write() override {}  // the others type on
  void when_readable(std::function<void()> then) override { client_->readable = std::move(then); }
  void when_writable(std::function<void()> then) override { client_->writable = std::move(then); }
  std::optional<SessionPlace> place() const override { return SessionPlace{session_->id_, client_->shown}; }
  void resize(std::uint16_t rows, std::uint16_t columns) override {
    asio::post(session_->loop_, [session = session_, client = client_, rows, columns] { session->resize(*client, rows, columns); });
  }
  int exit_status() override {
    const auto& result = session_->result_;  // set before read_some() told the end
    if (!result) throw Unavailable("the session goes on");
    if (result->error) throw Error(*result->error);
    return result->status;
  }
  void hang_up() override { leave(); }

private:
  void leave() {
    asio::post(session_->loop_, [session = session_, client = client_] { session->leave(*client); });
  }
  const std::shared_ptr<SharedSession> session_;
  const std::shared_ptr<Client> client_;
};

SharedSession::SharedSession(asio::io_context& loop, os::WorkerPool& workers, SessionName name, Opener opener, std::function<void()> ended)
    : loop_(loop), workers_(workers), name_(std::move(name)), id_(any_number()), ended_(std::move(ended)), opener_(std::move(opener)), descriptor_(loop), pace_timer_(loop), retry_timer_(loop) {}

std::unique_ptr<Shell> SharedSession::join(const OpenRequest& request, const SessionWish& wish) {
  if (++joined_ > kMostClients) {
    --joined_;
    throw Conflict(fmt::format("session \"{}\" has {} clients already, the most there may be", name_.str(), kMostClients), "Let one leave, or begin another session: --session NAME.");
  }
  const auto client = std::make_shared<Client>(Client{wish.watch, request.rows, request.columns});
  auto view = std::make_unique<View>(shared_from_this(), client);
  std::call_once(opened_, [&] {
    try {
      std::shared_ptr<Shell> shell = std::exchange(opener_, nullptr)(request);
      if (!shell) throw InternalError("no shell was opened");
      asio::post(loop_, [self = shared_from_this(), shell = std::move(shell), size = std::pair(request.rows, request.columns)]() mutable { self->begin(std::move(shell), size); });
    } catch (...) {
      refusal_ = std::current_exception();
      ended_();
    }
  });
  if (refusal_) std::rethrow_exception(refusal_);
  asio::post(loop_, [self = shared_from_this(), client, resume = wish.resume] { self->enter(client, resume); });
  return view;
}

SessionFacts SharedSession::facts() const {
  const auto watchers = static_cast<size_t>(std::count_if(clients_.begin(), clients_.end(), [](const auto& client) { return client->watches; }));
  return {name_.str(), since_, clients_.size(), watchers, size_.first, size_.second};
}

// --------------------------------------------------------------------------------------------------------------------- the clients

void SharedSession::enter(std::shared_ptr<Client> client, std::optional<SessionPlace> resume) {
  clients_.push_back(client);
  if (!speaker_ && !client->watches) speaker_ = client.get();
  client->old_until = scrollback_.end();
  if (resume) {
    client->seen = std::min(resume->position, scrollback_.end());
    client->screen = client->seen < scrollback_.begin() ? ScreenState::unknown() : scrollback_.screen_at(client->seen);
  } else {
    auto start = scrollback_.line_from(scrollback_.begin());
    if (start.at > 0) client->pending = ScreenState().to(start.screen);
    client->seen = start.at;
    client->screen = std::move(start.screen);
  }
  client->shown = client->seen;
  fit_size();
  if (scrollback_.screen().alternate_screen()) redraw();
}

void SharedSession::leave(Client& client) {
  const auto found = std::find_if(clients_.begin(), clients_.end(), [&](const auto& other) { return other.get() == &client; });
  if (found == clients_.end()) return;
  const auto gone = *found;
  clients_.erase(found);
  gone->readable = gone->writable = nullptr;  // they hold the relay
  if (speaker_ == &client) {
    const auto next = std::find_if(clients_.begin(), clients_.end(), [](const auto& other) { return !other->watches; });
    speaker_ = next == clients_.end() ? nullptr : next->get();
  }
  fit_size();
  read_shell();  // nobody may be left to wait for
}

std::optional<size_t> SharedSession::read(Client& client, char* buffer, size_t size) {
  while (client.pending.empty()) {
    if (client.seen < scrollback_.begin()) {
      skip(client);
      break;
    }
    const bool old = client.seen < client.old_until;
    const auto next = scrollback_.at(client.seen, old ? std::min<std::uint64_t>(kShownBytes, client.old_until - client.seen) : kShownBytes);
    if (next.empty()) return result_ ? std::optional<size_t>(0) : std::nullopt;
    client.seen += next.size();
    client.screen.feed(next, &client.pending, !old && speaker_ == &client);
  }
  const auto given = std::min(size, client.pending.size());
  std::memcpy(buffer, client.pending.data(), given);
  client.pending.erase(0, given);
  if (client.pending.empty()) client.shown = client.seen - client.screen.held().size();
  if (waits_) read_shell();
  return given;
}

// What passed by is lost to this one; it goes on near the end, or it would be behind again at once.
void SharedSession::skip(Client& client) {
  const auto end = scrollback_.end();
  auto start = scrollback_.line_from(std::max(scrollback_.begin(), end - std::min(end, kShownAfterSkip)));
  client.pending = fmt::format("{}\r\n\x1b[7m[riverbox: {} of output left out]\x1b[m\r\n", client.screen.to(start.screen), amount(start.at - client.seen));
  client.seen = start.at;
  client.old_until = end;
  client.screen = std::move(start.screen);
  if (scrollback_.screen().alternate_screen()) redraw();
}

std::optional<size_t> SharedSession::type(Client& client, const char* bytes, size_t size) {
  if (client.watches || result_ || doomed_) return size;
  speaker_ = &client;
  const auto taken = std::min(size, kMostTyped - std::min(kMostTyped, input_.size()));
  if (taken == 0) return std::nullopt;
  input_.append(bytes, taken);
  write_shell();
  return taken;
}

void SharedSession::resize(Client& client, std::uint16_t rows, std::uint16_t columns) {
  client.rows = rows;
  client.columns = columns;
  fit_size();
}

void SharedSession::fit_size() {
  std::optional<std::pair<std::uint16_t, std::uint16_t>> fits;
  for (const auto& client : clients_) {
    if (client->watches) continue;
    fits = fits ? std::pair(std::min(fits->first, client->rows), std::min(fits->second, client->columns)) : std::pair(client->rows, client->columns);
  }
  if (!fits || *fits == size_) return;  // nobody: as it was
  size_ = *fits;
  size_due_ = true;
  next_call();
}

// A program that fills the screen draws it anew when its size changes.
void SharedSession::redraw() {
  redraw_due_ = true;
  next_call();
}

// Not at once: what is told calls us again.
void SharedSession::tell_all(std::function<void()> Client::*what) {
  for (const auto& client : clients_)
    if ((*client).*what) asio::post(loop_, std::exchange((*client).*what, nullptr));
}

std::optional<std::uint64_t> SharedSession::quickest() const {
  std::optional<std::uint64_t> front;
  for (const auto& client : clients_)
    if (!client->watches) front = std::max(front.value_or(0), client->seen);
  return front;
}

// Those who only watch hold up nothing.
bool SharedSession::waits_for_reader() {
  const auto front = quickest();
  const auto lag = front ? scrollback_.end() - *front : 0;
  if (lag < kMostLag / 2) hurried_ = false;
  waits_ = lag >= kMostLag && !hurried_;
  if (waits_ && !watches_pace_) watch_pace(*front);
  return waits_;
}

void SharedSession::watch_pace(std::uint64_t from) {
  watches_pace_ = true;
  pace_timer_.expires_after(kPaceTime);
  pace_timer_.async_wait([self = shared_from_this(), from](auto error) {
    self->watches_pace_ = false;
    if (error || !self->waits_) return;
    self->hurried_ = self->quickest().value_or(0) < from + kLeastPace;
    self->read_shell();
  });
}

// ----------------------------------------------------------------------------------------------------------------------- the shell

void SharedSession::begin(std::shared_ptr<Shell> shell, std::pair<std::uint16_t, std::uint16_t> size) {
  shell_ = std::move(shell);
  size_ = size;
  const int fd = ::fcntl(shell_->wait_fd(), F_DUPFD_CLOEXEC, 3);
  const int error_number = errno;
  boost::system::error_code error;
  if (fd >= 0) descriptor_.assign(fd, error);
  if (fd >= 0 && error) ::close(fd);
  if (fd < 0 || error) return shell_is_over(Farewell::hang_up, IoError("wait for the shell", fd < 0 ? error_number : error.value()));
  running_ = true;
  if (doomed_) return end();
  read_shell();
}

void SharedSession::end() {
  doomed_ = true;
  if (running_) shell_is_over(Farewell::hang_up, Unavailable("the runner stops"));
}

void SharedSession::read_shell() {
  if (!running_ || waiting_to_read_ || read_posted_) return;
  std::array<char, kShellReadBytes> buffer;
  for (int i = 0; i < kShellReadsPerTurn; ++i) {
    if (waits_for_reader()) return;
    std::optional<size_t> size;
    bool is_stderr = false;
    try {
      size = shell_->read_some(buffer.data(), buffer.size(), is_stderr);
    } catch (const std::exception& error) {
      return shell_is_over(Farewell::hang_up, Unavailable(fmt::format("the connection to the shell broke: {}", error.what())));
    }
    if (!size) return wait_for(descriptor_base::wait_read, &SharedSession::waiting_to_read_, &SharedSession::read_shell);
    if (*size == 0) return shell_is_over(Farewell::exit_status);
    scrollback_.append({buffer.data(), *size});
    tell_all(&Client::readable);
  }
  read_posted_ = true;
  asio::post(loop_, [self = shared_from_this()] {
    self->read_posted_ = false;
    self->read_shell();
  });
}

// What was typed after a change of the size reaches the shell after it.
void SharedSession::write_shell() {
  if (!running_ || waiting_to_write_ || size_due_ || resizing_) return;
  try {
    size_t at = 0;
    while (at < input_.size()) {
      const auto taken = shell_->write_some(input_.data() + at, input_.size() - at);
      if (!taken) {
        wait_for(descriptor_base::wait_write, &SharedSession::waiting_to_write_, &SharedSession::write_shell);
        break;
      }
      at += *taken;
    }
    input_.erase(0, at);
  } catch (const std::exception& error) {
    log::debug("terminal", "the shell takes no more input", {{"error", error.what()}});
    input_.clear();  // its output may go on; the end shows there
  }
  if (input_.size() < kMostTyped) tell_all(&Client::writable);
}

void SharedSession::wait_for(descriptor_base::wait_type what, bool SharedSession::*waiting, void (SharedSession::*then)()) {
  this->*waiting = true;
  descriptor_.async_wait(what, [self = shared_from_this(), waiting, then](auto error) {
    (*self).*waiting = false;
    if (!self->running_) return;
    if (error) return self->shell_is_over(Farewell::hang_up, Unavailable("waiting for the shell failed: " + error.message()));
    ((*self).*then)();
  });
}

void SharedSession::shell_is_over(Farewell farewell, std::optional<Error> why) {
  running_ = false;
  waits_ = false;
  farewell_ = farewell;
  why_over_ = std::move(why);
  boost::system::error_code ignored;
  descriptor_.close(ignored);
  pace_timer_.cancel();
  input_.clear();
  tell_all(&Client::writable);
  next_call();
}

// ---------------------------------------------------------------------------------------------------------------- calls that block

// One at a time; of many wanted sizes only the last is set; the farewell comes last.
void SharedSession::next_call() {
  if (calling_ || !shell_) return;
  if (farewell_ != Farewell::none) call_farewell();
  else if (size_due_ || redraw_due_) call_resize();
}

// The loop waits for it, so that a program that ends leaves no shell behind.
void SharedSession::call(std::function<void(Shell&)> work, std::function<void()> done) {
  auto self = shared_from_this();
  calling_ = workers_.post([self, shell = shell_, work = std::move(work), done = std::move(done), waits = asio::make_work_guard(loop_)]() mutable {
    work(*shell);
    shell = nullptr;  // the last call's shell ends here and not on the loop thread
    asio::post(self->loop_, [self, done = std::move(done)] {
      self->calling_ = false;
      done();
      self->next_call();
    });
  });
  if (calling_) return;
  retry_timer_.expires_after(kFullPoolRetry);
  retry_timer_.async_wait([self](auto error) {
    if (!error) self->next_call();
  });
}

void SharedSession::call_resize() {
  auto work = [size = size_, redraw = redraw_due_](Shell& shell) {
    try {
      if (redraw) shell.resize(static_cast<std::uint16_t>(size.first > 1 ? size.first - 1 : 2), size.second);
      if (redraw) std::this_thread::sleep_for(kRedrawPause);
      shell.resize(size.first, size.second);
    } catch (const std::exception& error) {
      log::debug("terminal", "resize failed", {{"error", error.what()}});
    }
  };
  call(work, [self = shared_from_this()] {
    self->resizing_ = false;
    self->write_shell();
  });
  if (!calling_) return;
  size_due_ = redraw_due_ = false;
  resizing_ = true;
}

void SharedSession::call_farewell() {
  auto result = std::make_shared<Result>();
  auto work = [result, farewell = farewell_, why = why_over_](Shell& shell) {
    try {
      if (farewell == Farewell::exit_status) {
        result->status = shell.exit_status();
        if (result->status >= 0) return;
        result->error = Timeout("it has closed its output and still runs");
      } else {
        result->error = why;
      }
    } catch (const Error& error) {
      result->error = error;
    } catch (const std::exception& error) {
      result->error = InternalError(error.what());
    }
    try {
      shell.hang_up();  // nobody will look after it any more
    } catch (const std::exception& error) {
      log::warning("terminal", "the shell of a session could not be ended", {{"error", error.what()}});
    }
  };
  call(work, [self = shared_from_this(), result] {
    self->result_ = std::move(*result);
    self->tell_all(&Client::readable);
    self->ended_();
  });
  if (calling_) shell_.reset();
}

// --------------------------------------------------------------------------------------------------------------------- all of them

std::unique_ptr<Shell> Sessions::join(const std::string& place, const OpenRequest& request, const SessionWish& wish, Opener opener) {
  if (!request.tty) throw InvalidInput("a session is a terminal, and none was asked for", "Without a session there is a shell of its own.");
  return find_or_begin({place, wish.name}, wish, std::move(opener))->join(request, wish);
}

std::shared_ptr<SharedSession> Sessions::find_or_begin(const Key& key, const SessionWish& wish, Opener opener) {
  const std::lock_guard lock(mutex_);
  const auto& name = wish.name.str();
  const auto found = all_.find(key);
  const bool there = found != all_.end() && (!wish.resume || wish.resume->session == found->second->id());
  if (wish.resume && !there)
    throw NotFound(fmt::format("session \"{}\" is over: its shell has ended, or its container or its runner was started anew", name), "Connect again for a new one.");
  if (there && wish.fresh) throw Conflict(fmt::format("session \"{}\" is there already", name), "Join it without --new, or give another name.");
  if (there) return found->second;
  if (wish.watch) throw NotFound(fmt::format("there is no session \"{}\" to watch", name), "--list tells which there are.");
  if (stopped_) throw Unavailable("the runner stops");
  const auto many = std::count_if(all_.begin(), all_.end(), [&](const auto& other) { return other.first.first == key.first; });
  if (static_cast<size_t>(many) >= kMostInOnePlace)
    throw Conflict(fmt::format("there are {} sessions already, the most there may be in one container", many), "Join one of them, or end one: exit in its shell. --list tells which there are.");
  // Its end comes later, from another thread or another turn of the loop.
  const auto made = std::make_shared<std::uint64_t>();
  auto session = std::make_shared<SharedSession>(loop_, workers_, wish.name, std::move(opener), [weak = weak_from_this(), key, made] {
    if (const auto self = weak.lock()) self->ended(key, *made);
  });
  *made = session->id();
  return all_[key] = session;
}

void Sessions::ended(const Key& key, std::uint64_t id) {
  const std::lock_guard lock(mutex_);
  if (const auto found = all_.find(key); found != all_.end() && found->second->id() == id) all_.erase(found);
}

std::vector<SessionFacts> Sessions::list(const std::string& place) const {
  std::vector<std::shared_ptr<SharedSession>> there;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [key, session] : all_)
      if (key.first == place) there.push_back(session);
  }
  std::vector<SessionFacts> out;
  for (const auto& session : there) out.push_back(session->facts());
  return out;
}

void Sessions::stop() {
  std::map<Key, std::shared_ptr<SharedSession>> all;
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    all = all_;  // each is taken out when it has ended
  }
  for (const auto& [key, session] : all) session->end();
}

}  // namespace riverbox::terminal
