// riverbox ssh: ssh(1) into a VPS, through the host.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <future>
#include <thread>

#include <boost/asio/post.hpp>

#include "applets/commands.hpp"
#include "applets/exit_codes.hpp"
#include "applets/output.hpp"
#include "applets/ssh_access.hpp"
#include "applets/ssh_proxy.hpp"
#include "applets/way.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"
#include "os/child.hpp"
#include "tunnel/splice.hpp"

namespace riverbox::applets {

namespace {

constexpr std::uint16_t kSshPort = 22;  // in the container
constexpr std::chrono::seconds kServerStarts{10};  // that it may need after its VPS has started
constexpr std::chrono::milliseconds kLookAgain{300};

// A local socket joined with the SSH server of a VPS. Loop thread.
class SshWay {
public:
  SshWay(boost::asio::io_context& loop, std::shared_ptr<tunnel::UserSession> session, os::UniqueFd socket) : session_(std::move(session)), loop_(loop), socket_(std::move(socket)), timer_(loop) {}

  void start() {
    session_->start({.up = [this] { connect(); },
                     .down = [this](const std::string& why) { fail(0, why); },
                     .refused = [this](int http_status, const std::string& why) { fail(http_status, why); }});
  }
  struct Outcome {
    bool answered = false;  // the SSH server has; else why not
    int http_status = 0;
    std::string why;
  };
  // Any thread, once. Blocks until it is known whether the SSH server answers.
  Outcome wait() { return outcome_.get_future().get(); }

private:
  // The socket is let go of once the server has answered; one that has just been started is asked again.
  void connect() {
    tunnel::Mux* const mux = session_->mux();
    tunnel::splice_socket(loop_, *mux, os::UniqueFd(::fcntl(socket_.get(), F_DUPFD_CLOEXEC, 3)), [this, mux](tunnel::StreamEvents events) {
      const auto opened = std::make_shared<bool>(false);
      events.opened = [this, opened, then = std::move(events.opened)] {
        *opened = true;
        socket_.reset();
        then();
        outcome_.set_value({.answered = true, .http_status = 0, .why = {}});
      };
      events.closed = [this, opened, then = std::move(events.closed)](const std::string& reason) { *opened ? then(reason) : refused(reason); };
      return mux->open(tunnel::Proto::tcp, kSshPort, std::move(events));
    });
  }

  void refused(const std::string& reason) {
    if (std::chrono::steady_clock::now() > give_up_) return fail(0, reason);
    timer_.after(kLookAgain, [this] { session_->mux() ? connect() : fail(0, "the connection to the host was lost"); });
  }

  void fail(int http_status, const std::string& why) {
    if (!socket_) return;  // it has answered, or failed before
    socket_.reset();
    outcome_.set_value({.answered = false, .http_status = http_status, .why = why.empty() ? "the connection was lost" : why});
  }

  const std::shared_ptr<tunnel::UserSession> session_;
  boost::asio::io_context& loop_;
  os::UniqueFd socket_;
  tunnel::Timer timer_;
  const std::chrono::steady_clock::time_point give_up_ = std::chrono::steady_clock::now() + kServerStarts;
  std::promise<Outcome> outcome_;
};

// A host without our API, but with the proxy that all of them have.
int serve_by_proxy(const std::string& address, std::uint16_t port, const std::string& id, const std::string& token) {
  os::UniqueFd socket = dial_ssh_proxy(address, port, id, token);
  ::fcntl(socket.get(), F_SETFL, ::fcntl(socket.get(), F_GETFL) & ~O_NONBLOCK);
  copy_both_ways(STDIN_FILENO, STDOUT_FILENO, std::move(socket));
  return 0;
}

// For ProxyCommand: the SSH server of a VPS on stdin and stdout.
int serve_stdio(const Arguments& arguments) {
  const Config config = client_config(arguments);
  ApiClient api(config);
  const std::string name = arguments.value("VPS");
  if (const auto proxy = arguments.find("--proxy")) {
    const size_t colon = proxy->rfind(':');
    return serve_by_proxy(proxy->substr(0, colon), port_of(colon == std::string::npos ? "" : proxy->substr(colon + 1), "--proxy"), name, api.token());
  }
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) throw IoError("make a pair of sockets", errno);
  os::UniqueFd ours(ends[0]), theirs(ends[1]);
  ::fcntl(theirs.get(), F_SETFL, O_NONBLOCK);
  boost::asio::io_context loop(1);
  const std::string id = task_id_of(api, name);
  const auto session = way_to(loop, api, id);
  SshWay way(loop, session, std::move(theirs));
  boost::asio::post(loop, [&way] { way.start(); });
  std::thread runs([&loop, guard = boost::asio::make_work_guard(loop)] { loop.run(); });
  // Nothing of the user's input is read before the server has answered: if it does not, another way may want it.
  const SshWay::Outcome outcome = way.wait();
  if (outcome.answered) copy_both_ways(STDIN_FILENO, STDOUT_FILENO, std::move(ours));
  loop.stop();
  runs.join();
  if (outcome.answered) return 0;
  if (outcome.http_status == 404) return serve_by_proxy(config.network.host_reachable_address, config.network.host_ssh_proxy_port, id, api.token());
  throw_way_refused(name, outcome.why);
}

}  // namespace

const Command& ssh_command() {
  static const Command command{
      .name = "ssh",
      .examples = "{ssh} my-box\n"
                  "{ssh} my-box -- nvidia-smi -l\n"
                  "# options of ssh come after the name\n"
                  "{ssh} my-box -- -L 8888:localhost:8888 -N\n"
                  "# plain ssh, scp, rsync and editors\n"
                  "{ssh-config} --write && scp results.csv my-box:",
      .details = "Runs ssh with the host as the way there: the VPS needs no port of its node, and the node none that can be reached.\n"
                 "The VPS must have been made with SSH: riverbox vps create --ssh upload.",
      .arguments = {{.name = "VPS", .help = "its name or its id", .complete = "vps"}},
      .options = {config_option(),
                  {.names = "--host", .value = "URL", .help = "the riverbox host, such as http://node0:8000"},
                  {.names = "--stdio", .help = "connect stdin and stdout with the SSH server: for ProxyCommand"},
                  {.names = "--proxy", .value = "ADDRESS:PORT", .help = "of the SSH proxy, for --stdio", .hidden = true}},
      .tail = "[SSH-OPTION...] [COMMAND [ARG...]]",
  };
  return command;
}

int run_ssh(const Invocation& invocation) {
  if (invocation.family != "riverbox ") return run_classic_ssh(invocation);
  const Arguments arguments = parse(ssh_command(), invocation);
  if (arguments.has("--stdio")) return serve_stdio(arguments);
  ApiClient api(client_config(arguments));
  const Json vps = api.get("/api/vps/" + path_segment(arguments.value("VPS")));
  const TaskId id = TaskId::parse(text_of(vps, "task_id"));
  if (text_of(vps, "ssh_key_mode", "") == "disabled")
    throw Conflict("VPS " + printable(arguments.value("VPS")) + " was made without SSH", "A terminal in it: riverbox connect " + printable(arguments.value("VPS")) + ". SSH is chosen when a VPS is made: riverbox vps create --ssh upload.");
  std::vector<std::string> words{"ssh"};
  for (const auto& [key, value] : ssh_settings(arguments, id)) words.insert(words.end(), {"-o", key + "=" + value});
  words.push_back(arguments.value("VPS"));  // not what the host says: ssh would read it as an option
  words.insert(words.end(), arguments.tail.begin(), arguments.tail.end());
  try {
    os::become_program("ssh", words);
  } catch (const IoError& error) {
    throw Unavailable(error.fact(), "Install OpenSSH's client; on Debian: apt install openssh-client.");
  }
}

}  // namespace riverbox::applets
