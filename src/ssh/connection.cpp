#include "ssh/connection.hpp"

#include <libssh/callbacks.h>
#include <libssh/server.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"
#include "os/child.hpp"
#include "ssh/addresses.hpp"
#include "ssh/algorithms.hpp"
#include "ssh/messages.hpp"
#include "ssh/remote_forwards.hpp"
#include "ssh/session_channel.hpp"
#include "ssh/socket_channel.hpp"

namespace riverbox::ssh {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kMaxTries = 6, kMaxUnanswered = 3, kPacketsAtOnce = 64;
constexpr size_t kMaxChannels = 200;

class Connection {
public:
  Connection(os::UniqueFd socket, const Settings& settings, const HostKey& host_key);
  ~Connection() { channels_.clear(), forwards_.reset(); }  // before the session that they belong to
  Connection(Connection&&) = delete;
  void run();

private:
  static int on_none(ssh_session, const char* user, void* self) noexcept;
  static int on_key(ssh_session, const char* user, ssh_key key, char state, void* self) noexcept;
  static ssh_string on_gssapi(ssh_session, const char* user, int, ssh_string*, void* self) noexcept;
  static ssh_channel on_session(ssh_session, void* self) noexcept;
  static int on_message(ssh_session, ssh_message message, void* self) noexcept;

  bool let_in(const std::string& name, const std::string& how);
  bool fail_login(const std::string& name);
  bool open_direct(ssh_message message);
  bool answer_global(ssh_message message);
  bool request_terminal(ssh_message message);
  void read_session();
  void move_channels(const std::vector<pollfd>& fds);
  void reap();
  bool check_time();
  bool alive() const { return !(ssh_get_status(session_.get()) & (SSH_CLOSED | SSH_CLOSED_ERROR)); }
  bool writable() const { return !(ssh_get_poll_flags(session_.get()) & SSH_WRITE_PENDING); }
  int wait_ms() const;

  const Settings& settings_;
  os::ChildWatch children_;
  Bind bind_;
  Session session_;
  Event event_;
  ssh_server_callbacks_struct callbacks_{};
  Situation situation_;
  std::optional<os::User> checked_;  // the last one who was asked about, so that a user with many keys is looked up once
  bool logged_in_ = false, over_ = false;
  int tries_ = 0, unanswered_ = 0;
  Clock::time_point started_ = Clock::now(), heard_ = started_;
  std::vector<std::unique_ptr<Channel>> channels_;
  size_t first_ = 0;  // whose turn it is to send first
  std::optional<RemoteForwards> forwards_;
};

Connection::Connection(os::UniqueFd socket, const Settings& settings, const HostKey& host_key) : settings_(settings), bind_(ssh_bind_new()), session_(ssh_new()), event_(ssh_event_new()) {
  if (!bind_ || !session_ || !event_) throw InternalError("out of memory");
  const Endpoint client = peer_of(socket.get()), server = own_end_of(socket.get());
  if (!client.host.empty()) situation_.ends = {client.host + " " + std::to_string(client.port), server.host + " " + std::to_string(server.port)};
  situation_.own_environment = settings.own_environment;
  set_algorithms(bind_.get());
  ssh_key key = ssh_key_dup(host_key.key.get());
  if (!key || ssh_bind_options_set(bind_.get(), SSH_BIND_OPTIONS_IMPORT_KEY, key) != SSH_OK) throw InternalError("cannot use the host key " + host_key.path.string());
  callbacks_.userdata = this;
  if (settings_.rules.no_auth) callbacks_.auth_none_function = on_none;
  callbacks_.auth_pubkey_function = on_key;
  callbacks_.gssapi_select_oid_function = on_gssapi;
  callbacks_.channel_open_request_session_function = on_session;
  ssh_callbacks_init(&callbacks_);
  ssh_set_server_callbacks(session_.get(), &callbacks_);
  ssh_set_message_callback(session_.get(), on_message, this);
  ssh_set_auth_methods(session_.get(), SSH_AUTH_METHOD_PUBLICKEY | (settings_.rules.no_auth ? SSH_AUTH_METHOD_NONE : 0));
  if (ssh_bind_accept_fd(bind_.get(), session_.get(), socket.get()) != SSH_OK) throw InternalError(std::string("cannot begin: ") + ssh_get_error(bind_.get()));
  socket.release();  // libssh closes it from here on
  ssh_set_blocking(session_.get(), 0);
  if (ssh_handle_key_exchange(session_.get()) == SSH_ERROR) throw Unavailable(ssh_get_error(session_.get()));
  if (ssh_event_add_session(event_.get(), session_.get()) != SSH_OK) throw InternalError("out of memory");
  forwards_.emplace(session_.get(), settings_.forward_anywhere);
}

void Connection::run() {
  std::vector<pollfd> fds;
  while (!over_ && alive() && check_time()) {
    fds.clear();
    const bool can_write = writable();
    fds.push_back({ssh_get_fd(session_.get()), static_cast<short>(can_write ? POLLIN : POLLIN | POLLOUT), 0});
    fds.push_back({children_.fd(), POLLIN, 0});
    for (const auto& channel : channels_) channel->want(fds, can_write);
    forwards_->want(fds, channels_.size() < kMaxChannels);
    if (::poll(fds.data(), fds.size(), wait_ms()) < 0 && errno != EINTR) throw IoError("wait", errno);
    if (fds[0].revents) read_session();
    if (fds[1].revents) reap();
    forwards_->move(fds, [&](ssh_channel channel, os::UniqueFd socket) { channels_.push_back(std::make_unique<SocketChannel>(channel, std::move(socket))); });
    move_channels(fds);
  }
  if (!alive() && !logged_in_) log::debug("ssh", ssh_get_error(session_.get()));
}

void Connection::read_session() {
  for (int i = 0; i < kPacketsAtOnce && alive(); ++i) {
    const int result = ssh_event_dopoll(event_.get(), 0);
    if (result != SSH_OK) break;
    heard_ = Clock::now();
    unanswered_ = 0;
    if (!writable()) break;  // what has to be sent goes first
  }
}

// In turn, so that one that always has something to send leaves room for the others. libssh is given more only after it has sent everything.
void Connection::move_channels(const std::vector<pollfd>& fds) {
  const bool can_write = writable();
  for (size_t i = 0; i < channels_.size() && alive(); ++i) channels_[(first_ + i) % channels_.size()]->move(fds, can_write);
  std::erase_if(channels_, [](const auto& channel) { return channel->over(); });
  if (!channels_.empty()) first_ = (first_ + 1) % channels_.size();
}

void Connection::reap() {
  for (const auto& [pid, status] : children_.ended())
    for (const auto& channel : channels_)
      if (channel->child_ended(pid, status)) break;
}

int Connection::wait_ms() const {
  constexpr int kSoon = 20;
  if (std::any_of(channels_.begin(), channels_.end(), [](const auto& channel) { return channel->restless(); })) return kSoon;
  const auto next = logged_in_ ? heard_ + settings_.keep_alive * (unanswered_ + 1) : started_ + settings_.login_grace;
  return static_cast<int>(std::clamp<long>(std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now()).count(), 0, 60'000));
}

// False: it has lasted too long.
bool Connection::check_time() {
  const auto now = Clock::now();
  if (!logged_in_) {
    if (now < started_ + settings_.login_grace) return true;
    log::info("ssh", "nobody has logged in in time", {{"client", situation_.ends.client}});
    return false;
  }
  if (now < heard_ + settings_.keep_alive * (unanswered_ + 1)) return true;
  if (++unanswered_ > kMaxUnanswered) return log::info("ssh", "the client does not answer any more", {{"client", situation_.ends.client}}), false;
  // The first call only takes note of the answer before, if there was one.
  for (int i = 0; i < 2; ++i) ssh_send_keepalive(session_.get());
  return true;
}

// ---- login

int Connection::on_none(ssh_session, const char* user, void* self) noexcept {
  auto& connection = *static_cast<Connection*>(self);
  return connection.let_in(user, "none") ? SSH_AUTH_SUCCESS : (connection.fail_login(user), SSH_AUTH_DENIED);
}

int Connection::on_key(ssh_session, const char* user, ssh_key key, char state, void* self) noexcept {
  auto& connection = *static_cast<Connection*>(self);
  char* text = nullptr;
  if ((state != SSH_PUBLICKEY_STATE_NONE && state != SSH_PUBLICKEY_STATE_VALID) || ssh_pki_export_pubkey_base64(key, &text) != SSH_OK)
    return connection.fail_login(user), SSH_AUTH_DENIED;
  const Text owned(text);
  if (!connection.checked_ || connection.checked_->name != user) connection.checked_ = user_for_login(user);
  const auto blob = base64_decoded(owned.get());
  if (!connection.checked_ || !blob || !is_authorized(connection.settings_.rules, *connection.checked_, *blob)) return connection.fail_login(user), SSH_AUTH_DENIED;
  if (state == SSH_PUBLICKEY_STATE_NONE) return SSH_AUTH_SUCCESS;  // it asked whether the key would do
  return connection.let_in(user, ssh_key_type_to_char(ssh_key_type(key))) ? SSH_AUTH_SUCCESS : SSH_AUTH_DENIED;
}

// Never offered, but libssh asks for it all the same when a client tries, unless it is told here that there is no mechanism.
ssh_string Connection::on_gssapi(ssh_session, const char* user, int, ssh_string*, void* self) noexcept {
  static_cast<Connection*>(self)->fail_login(user);
  return nullptr;
}

// From here on this process has the user's rights and no others.
bool Connection::let_in(const std::string& name, const std::string& how) {
  if (logged_in_) return false;
  const auto user = checked_ && checked_->name == name ? checked_ : user_for_login(name);
  if (!user) return false;
  try {
    situation_.same_user = user->uid == ::geteuid();
    os::become_user(*user);
  } catch (const Error& error) {
    log::error("ssh", error.what());
    over_ = true;
    return false;
  }
  situation_.user = *user;
  log::info("ssh", "logged in", {{"user", name}, {"by", how}, {"client", situation_.ends.client}});
  return logged_in_ = true;
}

bool Connection::fail_login(const std::string& name) {
  if (++tries_ < kMaxTries) return false;
  log::info("ssh", "too many tries to log in", {{"user", name}, {"client", situation_.ends.client}});
  return over_ = true;
}

// ---- channels and forwardings

ssh_channel Connection::on_session(ssh_session session, void* self) noexcept {
  auto& connection = *static_cast<Connection*>(self);
  if (!connection.logged_in_ || connection.channels_.size() >= kMaxChannels) return nullptr;
  ssh_channel channel = ssh_channel_new(session);
  if (channel) connection.channels_.push_back(std::make_unique<SessionChannel>(channel, connection.situation_));
  return channel;
}

// What libssh has no callback for. 1: it says no for us.
int Connection::on_message(ssh_session, ssh_message message, void* self) noexcept {
  auto& connection = *static_cast<Connection*>(self);
  try {
    switch (ssh_message_type(message)) {
      case SSH_REQUEST_AUTH:
        if (ssh_message_subtype(message) != SSH_AUTH_METHOD_NONE) connection.fail_login("");  // "none" only asks what there is
        return 1;
      case SSH_REQUEST_CHANNEL_OPEN: return connection.logged_in_ && ssh_message_subtype(message) == SSH_CHANNEL_DIRECT_TCPIP && connection.open_direct(message) ? 0 : 1;
      case SSH_REQUEST_CHANNEL: return connection.logged_in_ && ssh_message_subtype(message) == SSH_CHANNEL_REQUEST_PTY && connection.request_terminal(message) ? 0 : 1;
      case SSH_REQUEST_GLOBAL: return connection.logged_in_ && connection.answer_global(message) ? 0 : 1;
      default: return 1;
    }
  } catch (const std::exception& error) {
    log::warning("ssh", error.what());
    return 1;
  }
}

bool Connection::open_direct(ssh_message message) {
  const char* host = ssh_message_channel_request_open_destination(message);
  const int port = ssh_message_channel_request_open_destination_port(message);
  if (!host || port <= 0 || port > 65535 || channels_.size() >= kMaxChannels) return false;
  bool refused = false;
  os::UniqueFd socket = connect_here(host, static_cast<std::uint16_t>(port), refused);
  if (refused) return false;
  ssh_channel channel = ssh_message_channel_request_open_reply_accept(message);
  if (!channel) return false;
  if (socket) channels_.push_back(std::make_unique<SocketChannel>(channel, std::move(socket)));
  else channels_.push_back(std::make_unique<SocketChannel>(channel, host, static_cast<std::uint16_t>(port)));
  return true;
}

bool Connection::answer_global(ssh_message message) {
  const char* address = ssh_message_global_request_address(message);
  const int port = ssh_message_global_request_port(message);
  if (!address || port < 0 || port > 65535) return false;
  if (ssh_message_subtype(message) == SSH_GLOBAL_REQUEST_CANCEL_TCPIP_FORWARD) {
    if (!forwards_->cancel(address, static_cast<std::uint16_t>(port))) return false;
    return ssh_message_global_request_reply_success(message, 0) == SSH_OK;
  }
  if (ssh_message_subtype(message) != SSH_GLOBAL_REQUEST_TCPIP_FORWARD) return false;
  const auto bound = forwards_->listen(address, static_cast<std::uint16_t>(port));
  return bound && ssh_message_global_request_reply_success(message, *bound) == SSH_OK;
}

bool Connection::request_terminal(ssh_message message) {
  ssh_channel wanted = ssh_message_channel_request_channel(message);
  for (const auto& channel : channels_)
    if (auto* session = channel->handle() == wanted ? dynamic_cast<SessionChannel*>(channel.get()) : nullptr; session && session->open_terminal(pty_request(message)))
      return ssh_message_channel_request_reply_success(message) == SSH_OK;
  return false;
}

}  // namespace

void serve_connection(os::UniqueFd socket, const Settings& settings, const HostKey& host_key) {
  try {
    Connection(std::move(socket), settings, host_key).run();
  } catch (const std::exception& error) {
    log::warning("ssh", error.what());
  }
}

}  // namespace riverbox::ssh
