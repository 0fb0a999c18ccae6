// riverbox forward: ports of a task or VPS on this machine, and ports of this machine in there.
#include <arpa/inet.h>
#include <csignal>

#include <list>
#include <optional>

#include <boost/asio/signal_set.hpp>

#include "applets/commands.hpp"
#include "applets/output.hpp"
#include "applets/way.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"
#include "net/listener.hpp"
#include "os/process.hpp"
#include "tunnel/acceptor.hpp"
#include "tunnel/splice.hpp"
#include "tunnel/udp_listener.hpp"

namespace riverbox::applets {

namespace {

constexpr size_t kMaxEarly = 256;

struct PortPair {
  std::uint16_t from = 0, to = 0;
};

struct Wanted {
  std::string address;
  bool udp = false;
  std::vector<PortPair> forward;   // from here into the container
  std::vector<PortPair> backward;  // from the container to here
};

// "8080", or "8080:80" with the port where somebody listens for us first.
PortPair pair_of(const std::string& text, const std::string& option) {
  const size_t colon = text.find(':');
  if (colon == std::string::npos) return {port_of(text, option), port_of(text, option)};
  return {port_of(text.substr(0, colon), option, true), port_of(text.substr(colon + 1), option)};
}

Wanted wanted_of(const Arguments& arguments) {
  Wanted wanted{.address = arguments.value("--address", "127.0.0.1"), .udp = false, .forward = {}, .backward = {}};
  const auto proto = arguments.value("--proto", "tcp");
  if (proto != "tcp" && proto != "udp") throw UsageError("--proto: '" + printable(proto, 40) + "' is neither tcp nor udp.");
  wanted.udp = proto == "udp";
  for (const auto& text : arguments.all("PORT")) wanted.forward.push_back(pair_of(text, "PORT"));
  for (const auto& text : arguments.all("--reverse")) wanted.backward.push_back(pair_of(text, "--reverse"));
  if (const auto local = arguments.find("--local")) {
    if (wanted.forward.size() != 1) throw UsageError("--local is for one PORT.", "Of several, write each as LOCAL:PORT.");
    wanted.forward.front().from = port_of(*local, "--local", true);
  }
  if (wanted.udp && !wanted.backward.empty()) throw UsageError("--reverse is for TCP only.");
  if (wanted.backward.size() > tunnel::Mux::kMaxListeners) throw UsageError("--reverse: at most " + std::to_string(tunnel::Mux::kMaxListeners) + " ports at once.", "Run a second riverbox forward for the others.");
  if (wanted.forward.empty() && wanted.backward.empty()) throw UsageError("There is no PORT.", "Such as: riverbox forward my-box 8888");
  return wanted;
}

os::UniqueFd tcp_socket(boost::asio::io_context& loop, const std::string& address, std::uint16_t& port) {
  net::Listener listener = net::open_listener(loop, address, port);
  port = net::port_of(listener);
  listener.native_non_blocking(true);
  return os::UniqueFd(listener.release());
}

os::UniqueFd udp_socket(const std::string& address, std::uint16_t& port) {
  sockaddr_storage where{};
  auto& v4 = reinterpret_cast<sockaddr_in&>(where);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(where);
  const bool is_v4 = ::inet_pton(AF_INET, address.c_str(), &v4.sin_addr) == 1;
  if (!is_v4 && ::inet_pton(AF_INET6, address.c_str(), &v6.sin6_addr) != 1) throw UsageError("--address: '" + printable(address, 60) + "' is no address.");
  where.ss_family = is_v4 ? AF_INET : AF_INET6;
  (is_v4 ? v4.sin_port : v6.sin6_port) = htons(port);
  socklen_t size = is_v4 ? sizeof v4 : sizeof v6;
  os::UniqueFd fd(::socket(where.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd || ::bind(fd.get(), reinterpret_cast<sockaddr*>(&where), size) != 0) throw IoError("listen on UDP port " + std::to_string(port) + " of " + address, errno, "Choose another: --local PORT; 0 takes any that is free.");
  ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&where), &size);
  port = ntohs(is_v4 ? v4.sin_port : v6.sin6_port);
  return fd;
}

// Everything between this machine and one container. Loop thread.
class Forwarding {
public:
  Forwarding(boost::asio::io_context& loop, std::shared_ptr<tunnel::UserSession> session, std::string name) : loop_(loop), session_(std::move(session)), name_(std::move(name)) {}

  void open(const Wanted& wanted) {
    for (PortPair pair : wanted.forward) wanted.udp ? open_udp(wanted.address, pair) : open_tcp(wanted.address, pair);
    backward_ = wanted.backward;
    session_->start({.up = [this] { up(); },
                     .down = [this](const std::string& why) { down(why); },
                     .refused = [this](int, const std::string& why) {
                       refused_ = why;
                       loop_.stop();
                     }});
  }
  const std::optional<std::string>& refused() const { return refused_; }

private:
  void open_tcp(const std::string& address, PortPair pair) {
    auto socket = tcp_socket(loop_, address, pair.from);
    acceptors_.emplace_back(loop_, std::move(socket), [this, port = pair.to](os::UniqueFd connection) {
      if (session_->mux()) connect(std::move(connection), port);
      else if (early_.size() < kMaxEarly) early_.emplace_back(std::move(connection), port);  // else it is closed
    });
    tell(address, pair, "");
  }

  void connect(os::UniqueFd connection, std::uint16_t port) {
    tunnel::Mux* const mux = session_->mux();
    tunnel::splice_socket(loop_, *mux, std::move(connection), [mux, port](tunnel::StreamEvents events) -> tunnel::StreamId {
      try {
        return mux->open(tunnel::Proto::tcp, port, std::move(events));
      } catch (const Error& error) {
        write_err("riverbox: " + std::string(error.what()) + "\n");
        return 0;
      }
    });
  }

  void open_udp(const std::string& address, PortPair pair) {
    auto socket = udp_socket(address, pair.from);
    udp_.emplace_back(loop_, std::move(socket), pair.to, [this] { return session_->mux(); });
    tell(address, pair, "UDP ");
  }

  void tell(const std::string& address, PortPair pair, const char* proto) { told_.push_back(proto + authority_of(address, pair.from) + " -> port " + std::to_string(pair.to) + " of " + printable(name_) + "\n"); }

  void up() {
    for (const std::string& line : std::exchange(told_, {})) write_out(line);
    if (std::exchange(told_down_, false)) write_err("riverbox: connected again\n");
    for (auto& [connection, port] : std::exchange(early_, {})) connect(std::move(connection), port);
    for (const PortPair pair : backward_) listen_there(pair);
  }

  void listen_there(PortPair pair) {
    tunnel::Mux* const mux = session_->mux();
    mux->listen(pair.from, {.listening = [this, pair](std::uint16_t port) { write_out("port " + std::to_string(port) + " of " + printable(name_) + " -> port " + std::to_string(pair.to) + " here\n"); },
                            .accept = [this, mux, port = pair.to](tunnel::StreamId id) { return tunnel::splice_to_port(loop_, *mux, id, tunnel::Proto::tcp, port); },
                            .closed = [this, pair](const std::string& why) {
                              if (session_->mux()) write_err("riverbox: port " + std::to_string(pair.from) + " of " + printable(name_) + " is not listened on: " + printable(why, 300) + "\n");
                            }});
  }

  void down(const std::string& why) {
    if (!std::exchange(told_down_, true)) write_err("riverbox: the way to " + printable(name_) + " is lost (" + printable(why, 300) + "); trying again\n");
  }

  boost::asio::io_context& loop_;
  const std::shared_ptr<tunnel::UserSession> session_;
  const std::string name_;
  std::list<tunnel::Acceptor> acceptors_;
  std::list<tunnel::UdpListener> udp_;
  std::vector<PortPair> backward_;
  std::vector<std::string> told_;                                // once there is a way
  std::vector<std::pair<os::UniqueFd, std::uint16_t>> early_;  // connections that wait for one
  std::optional<std::string> refused_;
  bool told_down_ = false;
};

}  // namespace

const Command& forward_command() {
  static const Command command{
      .name = "forward",
      .examples = "# http://127.0.0.1:8888 is what listens on port 8888 of my-box\n"
                  "{forward} my-box 8888\n"
                  "# several at once, one of them under another number here\n"
                  "{forward} my-box 8888 6007:6006\n"
                  "# programs in my-box reach port 5432 of this machine at 127.0.0.1:5432\n"
                  "{forward} my-box --reverse 5432",
      .details = "Runs until Ctrl-C. When the connection is lost it is made again; what went over it is cut.",
      .arguments = {task_or_vps(), {.name = "PORT", .help = "of the container; LOCAL:PORT for another number here, 0 takes any that is free", .complete = "", .required = false, .repeated = true}},
      .options = {config_option(),
                  {.names = "--host", .value = "URL", .help = "the riverbox host, such as http://node0:8000"},
                  {.names = "-l,--local", .value = "LOCAL", .help = "the port here, for one PORT"},
                  {.names = "--proto", .value = "PROTO", .help = "tcp or udp (tcp)", .complete = "tcp|udp"},
                  {.names = "-R,--reverse", .value = "PORT[:HERE]", .help = "listen on PORT in the container and connect who comes to a port of this machine; may be given again"},
                  {.names = "--address", .value = "ADDRESS", .help = "where to listen here (127.0.0.1)"}},
  };
  return command;
}

int run_forward(const Invocation& invocation) {
  const Arguments arguments = parse(forward_command(), invocation);
  const Wanted wanted = wanted_of(arguments);
  ApiClient api(client_config(arguments));
  const std::string name = arguments.value("ID");
  os::raise_file_limit();
  boost::asio::io_context loop(1);
  const auto session = way_to(loop, api, task_id_of(api, name));
  Forwarding forwarding(loop, session, name);
  forwarding.open(wanted);
  boost::asio::signal_set signals(loop, SIGTERM, SIGINT, SIGHUP);
  signals.async_wait([&](const boost::system::error_code& error, int) {
    if (!error) loop.stop();
  });
  loop.run();
  if (forwarding.refused()) throw_way_refused(name, *forwarding.refused());
  return 0;
}

}  // namespace riverbox::applets
