#include "terminal/client.hpp"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>

#include "base/error.hpp"
#include "base/strings.hpp"
#include "net/url.hpp"
#include "net/websocket.hpp"
#include "os/tty.hpp"
#include "terminal/detach_keys.hpp"
#include "terminal/local_stream.hpp"
#include "terminal/protocol.hpp"
#include "terminal/screen_state.hpp"
#include "terminal/session_wish.hpp"
#include "terminal/wire.hpp"

namespace riverbox::terminal {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

constexpr size_t kMaxUnwritten = 256 * 1024;   // classic hosts, which know no window: above this the socket is not read
constexpr size_t kMaxQueuedBytes = 256 * 1024; // classic hosts: above this the local input is not read
constexpr auto kResizeInterval = 25ms;         // of a storm of sizes one in so much time is sent, and the last
constexpr auto kDetachPatience = 1s;           // a begun detach sequence goes to the shell after this
constexpr auto kGoodbyeWait = 500ms;
constexpr auto kFirstRetry = 200ms, kLongestRetry = 5000ms;
constexpr char kInterrupt = '\x03';
constexpr int kExitHangUp = 128 + SIGHUP, kExitPipe = 128 + SIGPIPE;

// Writing to a pipe that nobody reads shall give EPIPE.
class IgnoredSigpipe {
public:
  IgnoredSigpipe() { saved_ = ::signal(SIGPIPE, SIG_IGN); }
  ~IgnoredSigpipe() { ::signal(SIGPIPE, saved_); }

private:
  void (*saved_)(int);
};

// `place`: where we were.
std::string session_query(const ClientOptions& options, const std::optional<SessionPlace>& place) {
  if (!options.session) return {};
  std::string query = "&session=" + percent_encoded(options.session->name);
  if (options.session->watch) query += "&watch=1";
  if (place) query += "&resume=" + place->str();
  else if (options.session->fresh) query += "&new=1";
  return query;
}

std::string request_url(const ClientOptions& options, bool tty) {
  auto size = os::terminal_size(options.output).value_or(os::TerminalSize{});
  std::string query = fmt::format("{}tty={}&rows={}&cols={}", options.url.find('?') == std::string::npos ? '?' : '&', tty ? 1 : 0, size.rows, size.columns);
  for (const char* name : {"TERM", "COLORTERM", "LANG"}) {
    if (!tty && std::string_view(name) != "LANG") continue;
    const char* value = std::getenv(name);
    if (value && *value && std::string_view(value).size() <= 128) query += fmt::format("&env.{}={}", name, percent_encoded(value));
  }
  return net::at_host(options.url, query);
}

std::string host_of(const std::string& url) {
  auto begin = url.find("://");
  begin = begin == std::string::npos ? 0 : begin + 3;
  return url.substr(0, url.find('/', begin));
}

[[noreturn]] void throw_refusal(const ClientOptions& options, const net::WebSocketResult& result) {
  if (result.http_status == 0)
    throw Unavailable(printable(result.error), "Is `riverbox host` running there, and are network.host_reachable_address and network.host_port right?");
  std::string text = fmt::format("the host at {} refused the terminal of \"{}\": {}", host_of(options.url), printable(options.name),
                                 result.error.empty() ? fmt::format("HTTP {}", result.http_status) : printable(result.error));
  switch (result.http_status) {
    case 401:
      throw Unauthorized(text, "Give this client a token of the host: $RIVERBOX_TOKEN, ~/.riverbox/token or [security] token in the configuration. An administrator makes one: riverbox token create NAME.");
    case 403: throw Forbidden(text);
    case 404: throw NotFound(text, options.when_missing);
    case 400: case 422: throw InvalidInput(text);
    case 409: throw Conflict(text);
    case 502: case 503: case 504: throw Unavailable(text, "Try again in a few seconds.");
    default: throw InternalError(text);
  }
}

class Session {
public:
  explicit Session(const ClientOptions& options);
  int run();

private:
  enum class Outcome { open, shell_ended, detached, output_gone, terminal_gone };

  net::WebSocketResult dial();
  void connect(net::WebSocketResult answer);
  bool lost_a_session() const;
  bool come_back();
  void rest(std::chrono::milliseconds time);
  void tell_of_the_break();
  void take_the_screen_back();
  void converse();  // until outcome_ is known or failed_ is set
  void begin();
  void say_goodbye();
  int result();

  void on_message(std::string_view data, bool binary);
  void on_closed(std::uint16_t code, std::string_view reason);
  void show(LocalOutput& output, std::string_view bytes);
  void on_shown(size_t size);
  void on_output_broken(int error_number);

  void on_input(std::string_view bytes);
  void on_input_end(int error_number);
  void send_input(std::string_view bytes);
  void throttle_input();
  void await_detach();

  void watch_size();
  void watch_stop();
  void send_size();
  void send(std::string message) { if (!message.empty() && !closed_) socket_->send(std::move(message), wire_->binary()); }
  void end(Outcome outcome) { if (outcome_ == Outcome::open) outcome_ = outcome; }
  void end_when_shown() { if (closed_ && output_.pending() + error_output_.pending() == 0) end(Outcome::shell_ended); }

  const ClientOptions& options_;
  const bool tty_, notes_on_screen_;
  IgnoredSigpipe sigpipe_;
  asio::io_context loop_;
  asio::executor_work_guard<asio::io_context::executor_type> work_{loop_.get_executor()};  // a quiet moment is not the end
  DetachMatcher detach_;
  LocalInput input_;
  LocalOutput output_, error_output_;
  std::shared_ptr<net::WebSocket> socket_;
  std::unique_ptr<ClientWire> wire_;
  std::optional<os::RawMode> raw_;
  asio::signal_set resized_{loop_}, stopped_{loop_};
  asio::steady_timer resize_timer_{loop_}, detach_timer_{loop_};

  bool running_ = false;         // the shell is there
  bool closed_ = false;          // the connection is not
  bool socket_paused_ = false, resize_waits_ = false;
  bool shown_anything_ = false;
  std::optional<SessionPlace> place_;  // in the session
  ScreenState screen_;                 // of our terminal in it
  bool away_ = false;                  // the connection to it broke
  std::uint16_t close_code_ = 0;
  std::chrono::milliseconds retry_ = kFirstRetry;
  std::string close_reason_;
  std::uint32_t unacknowledged_output_ = 0;
  size_t input_in_flight_ = 0;   // sent, not yet taken by the shell
  std::optional<int> status_;
  std::string failure_;
  std::exception_ptr local_error_;
  Outcome outcome_ = Outcome::open;
};

Session::Session(const ClientOptions& options)
    : options_(options), tty_(os::is_tty(options.input) && os::is_tty(options.output)), notes_on_screen_(os::is_tty(options.error)),
      detach_(parse_detach_keys(options.detach_keys)),
      input_(loop_, options.input),
      output_(loop_, options.output, {[this](size_t n) { on_shown(n); }, [this](int e) { on_output_broken(e); }}),
      error_output_(loop_, options.error, {[this](size_t n) { on_shown(n); }, [this](int e) { on_output_broken(e); }}) {}

int Session::run() {
  connect(dial());
  converse();
  while (lost_a_session() && come_back()) converse();
  take_the_screen_back();
  input_.stop();
  raw_.reset();
  say_goodbye();
  return result();
}

// Until it is there or refused, or outcome_ is known.
net::WebSocketResult Session::dial() {
  net::WebSocketRequest request;
  request.url = request_url(options_, tty_) + (tty_ ? session_query(options_, place_) : "");
  if (!options_.token.empty()) request.headers.emplace_back("Authorization", "Bearer " + options_.token);
  request.subprotocols.emplace_back(kSubprotocol);
  auto answer = std::make_shared<std::optional<net::WebSocketResult>>();
  net::connect_websocket(loop_, std::move(request), [answer](net::WebSocketResult result) { *answer = std::move(result); });
  while (!*answer && outcome_ == Outcome::open && loop_.run_one() > 0) {}
  return answer->value_or(net::WebSocketResult{});
}

void Session::connect(net::WebSocketResult answer) {
  if (!answer.socket) throw_refusal(options_, answer);
  socket_ = std::move(answer.socket);
  wire_ = socket_->subprotocol() == kSubprotocol ? make_riverbox_client_wire() : make_json_client_wire();
}

void Session::converse() {
  socket_->start({.message = [this](std::string_view data, bool binary) { on_message(data, binary); },
                  .closed = [this](std::uint16_t code, std::string_view reason) { on_closed(code, reason); },
                  .drained = [this] { throttle_input(); }});
  if (!wire_->says_ready()) begin();
  while (outcome_ == Outcome::open && !local_error_ && loop_.run_one() > 0) {}
}

// A host that restarts, a network that went; not an end that somebody has told us. Without a place there is nowhere to come back to.
bool Session::lost_a_session() const { return closed_ && place_ && !status_ && outcome_ == Outcome::shell_ended && close_code_ != 1000 && close_code_ != 1002 && close_code_ != 1008; }

// True: connected again; whether the session is still there, the host says next. What is typed meanwhile goes nowhere, but Ctrl-C and the detach keys leave.
bool Session::come_back() {
  if (!std::exchange(away_, true)) tell_of_the_break();
  outcome_ = Outcome::open;
  input_.resume();
  for (;; retry_ = std::min(retry_ * 2, kLongestRetry)) {
    rest(retry_);
    if (outcome_ != Outcome::open || local_error_) return false;
    auto answer = dial();
    if (outcome_ != Outcome::open || local_error_) return false;
    if (!answer.socket && (answer.http_status == 0 || answer.http_status >= 500)) continue;
    if (!answer.socket) take_the_screen_back();  // for the reason
    closed_ = false;
    failure_.clear();
    unacknowledged_output_ = 0;
    input_in_flight_ = 0;
    connect(std::move(answer));
    retry_ = std::min(retry_ * 2, kLongestRetry);
    return true;
  }
}

void Session::rest(std::chrono::milliseconds time) {
  for (const auto until = std::chrono::steady_clock::now() + time; outcome_ == Outcome::open && std::chrono::steady_clock::now() < until;) loop_.run_one_until(until);
}

// On the other screen, so that ours is as it was when we are back; but where a program has that, over its first line, which it draws again then.
void Session::tell_of_the_break() {
  const std::string text = fmt::format("[riverbox: the connection broke; trying to come back to session \"{}\". Ctrl-C gives up.]", options_.session->name);
  if (!notes_on_screen_) return error_output_.write(text + "\n");
  output_.write(screen_.alternate_screen() ? "\x1b" "7\x1b[H\x1b[7m" + text + "\x1b[m\x1b[K\x1b" "8" : "\x1b[?1049h\x1b[2J\x1b[H\x1b[m" + text + "\r\n");
}

// From the notice, and from what a program in the session has made of it.
void Session::take_the_screen_back() {
  if (!place_) return;
  if (std::exchange(away_, false) && notes_on_screen_ && !screen_.alternate_screen()) output_.write("\x1b[?1049l");
  output_.write(screen_.to({}));
  screen_ = {};
  const auto until = std::chrono::steady_clock::now() + kGoodbyeWait;
  while (output_.pending() + error_output_.pending() > 0 && std::chrono::steady_clock::now() < until) loop_.run_one_until(until);
}

// The shell is there. Before this the terminal is in its usual mode, so that Ctrl-C ends a client that waits for a slow host.
void Session::begin() {
  if (closed_) return;
  if (std::exchange(away_, false)) {
    if (!notes_on_screen_) error_output_.write("[riverbox: back]\n");
    else if (!screen_.alternate_screen()) output_.write("\x1b[?1049l");
    retry_ = kFirstRetry;
  }
  if (std::exchange(running_, true)) {
    if (tty_) send_size();
    return throttle_input();
  }
  if (tty_ && options_.session && !place_) error_output_.write("riverbox: this host shares no terminals: the shell ends with this connection\n");
  if (tty_) {
    raw_.emplace(options_.input);
    watch_size();
    watch_stop();
  }
  if (tty_ || !wire_->says_ready()) send_size();  // it may have changed since the request; old hosts wait for it
  input_.start({[this](std::string_view bytes) { on_input(bytes); }, [this](int error_number) { on_input_end(error_number); }});
}

// The close frame goes out, so that the host need not find out by itself; but a host that hangs does not hold us.
void Session::say_goodbye() {
  if (!closed_) socket_->close(1000, "");
  auto until = std::chrono::steady_clock::now() + kGoodbyeWait;
  while (!closed_ && std::chrono::steady_clock::now() < until && loop_.run_one_until(until) > 0) {}
}

int Session::result() {
  if (local_error_) std::rethrow_exception(local_error_);
  switch (outcome_) {
    case Outcome::detached: {
      auto text = place_ ? fmt::format("\ndetached; the session goes on. To come back: {}\n", options_.session->come_back)
                         : fmt::format("\ndetached from \"{}\"; its shell has been ended\n", printable(options_.name));
      [[maybe_unused]] auto told = ::write(options_.error, text.data(), text.size());
      return 0;
    }
    case Outcome::output_gone: return kExitPipe;
    case Outcome::terminal_gone: return kExitHangUp;
    case Outcome::open: case Outcome::shell_ended: break;
  }
  if (status_) return *status_;
  if (!failure_.empty()) throw Conflict(printable(trim(failure_), 2000));
  if (!wire_->reports_exit() && close_code_ == 1000) return 0;
  std::string why = close_reason_.empty() ? fmt::format("closed with code {}", close_code_) : printable(close_reason_);
  throw Unavailable(fmt::format("connection to the host lost ({})", why),
                    place_ ? fmt::format("The session goes on. To come back: {}.", options_.session->come_back)
                           : fmt::format("The shell in \"{}\" has been ended; start the command again for a new one.", printable(options_.name)));
}

// ------------------------------------------------------------------------------------------------------------------------- the host

void Session::on_message(std::string_view data, bool binary) {
  if (outcome_ != Outcome::open) return;
  auto message = wire_->decode(data, binary);
  switch (message.kind) {
    case HostMessage::Kind::ignore: break;
    case HostMessage::Kind::ready:
      if (message.session && !place_) place_ = SessionPlace{*message.session, 0};
      begin();
      break;
    case HostMessage::Kind::output:
      show(output_, message.bytes);
      if (place_) screen_.feed(message.bytes);
      if (place_ && message.position) place_->position = *message.position;
      break;
    case HostMessage::Kind::error_output: show(error_output_, message.bytes); break;
    case HostMessage::Kind::exit: status_ = message.status; break;
    case HostMessage::Kind::consumed:
      input_in_flight_ -= std::min<size_t>(input_in_flight_, message.count);
      throttle_input();
      break;
    case HostMessage::Kind::failure:
      // A classic host also uses it for news within a session; only before any output it is the reason why there is none.
      if (wire_->says_ready() || !shown_anything_) failure_ = message.bytes;
      else show(error_output_, message.bytes);
      break;
  }
}

void Session::on_closed(std::uint16_t code, std::string_view reason) {
  closed_ = true;
  close_code_ = code;
  close_reason_ = reason;
  end_when_shown();
}

void Session::show(LocalOutput& output, std::string_view bytes) {
  shown_anything_ = shown_anything_ || !bytes.empty();
  output.write(bytes);
  if (!wire_->has_window() && output_.pending() > kMaxUnwritten && !std::exchange(socket_paused_, true)) socket_->pause_reading();
}

void Session::on_shown(size_t size) {
  if (away_) return;
  if (closed_) return end_when_shown();
  if (!wire_->has_window()) {
    if (output_.pending() == 0 && std::exchange(socket_paused_, false)) socket_->resume_reading();
    return;
  }
  unacknowledged_output_ += static_cast<std::uint32_t>(size);
  if (unacknowledged_output_ >= kWindowBytes / 4) send(wire_->consumed(std::exchange(unacknowledged_output_, 0)));
}

void Session::on_output_broken(int error_number) {
  if (error_number == EPIPE) end(Outcome::output_gone);
  else if (tty_) end(Outcome::terminal_gone);
  else local_error_ = std::make_exception_ptr(IoError("write the output", error_number));
}

// ------------------------------------------------------------------------------------------------------------------------ the input

void Session::on_input(std::string_view bytes) {
  if (!tty_) return send_input(bytes);
  std::string typed;
  const bool heard = !away_ && !(place_ && options_.session->watch);
  if (detach_.feed(bytes, typed) || (!heard && typed.find(kInterrupt) != typed.npos)) return end(Outcome::detached);
  if (!heard) return;
  send_input(typed);
  await_detach();
}

void Session::on_input_end(int error_number) {
  if (tty_) return end(Outcome::terminal_gone);
  if (error_number != 0 && error_number != EBADF) {
    local_error_ = std::make_exception_ptr(IoError("read the input", error_number));
    return;
  }
  send(wire_->end());
}

void Session::send_input(std::string_view bytes) {
  if (bytes.empty()) return;
  send(wire_->input(bytes));
  if (wire_->has_window()) input_in_flight_ += bytes.size();
  throttle_input();
}

void Session::throttle_input() {
  if (!running_ || closed_) return;
  // A read may bring 32 KB: begin to wait early enough to stay within the window.
  bool full = wire_->has_window() ? input_in_flight_ > kInputWindowBytes - 32 * 1024 : socket_->queued_bytes() > kMaxQueuedBytes;
  if (full) input_.pause();
  else input_.resume();
}

// Ctrl-P alone is also a key of the shell: it is late then, but not lost.
void Session::await_detach() {
  detach_timer_.cancel();
  if (!detach_.pending()) return;
  detach_timer_.expires_after(kDetachPatience);
  detach_timer_.async_wait([this](auto error) {
    if (const auto typed = error ? "" : detach_.give_up(); !away_) send_input(typed);
  });
}

// ------------------------------------------------------------------------------------------------------------- the local terminal

void Session::watch_size() {
  boost::system::error_code ignored;
  if (resized_.add(SIGWINCH, ignored); ignored) return;
  resized_.async_wait([this](auto error, int) {
    if (error) return;
    watch_size();
    if (std::exchange(resize_waits_, true)) return;
    resize_timer_.expires_after(kResizeInterval);
    resize_timer_.async_wait([this](auto error) {
      resize_waits_ = false;
      if (!error) send_size();
    });
  });
}

// `kill -TSTP`: stop as every program does, with the terminal as it was, and go on when continued.
void Session::watch_stop() {
  boost::system::error_code ignored;
  if (stopped_.add(SIGTSTP, ignored); ignored) return;
  stopped_.async_wait([this](auto error, int) {
    if (error) return;
    raw_.reset();
    ::kill(::getpid(), SIGSTOP);
    raw_.emplace(options_.input);
    send_size();
    watch_stop();
  });
}

void Session::send_size() {
  auto size = os::terminal_size(options_.output).value_or(os::TerminalSize{});
  send(wire_->resize(size.rows, size.columns));
}

}  // namespace

int run_client(const ClientOptions& options) { return Session(options).run(); }

}  // namespace riverbox::terminal
