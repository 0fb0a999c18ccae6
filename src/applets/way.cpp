#include "applets/way.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <thread>

#include "base/error.hpp"
#include "base/ids.hpp"
#include "base/strings.hpp"
#include "net/url.hpp"

namespace riverbox::applets {

namespace {

// Until the end of `from`, or until nobody takes what comes.
void copy_stream(int from, int to) {
  std::array<char, 64 << 10> buffer;
  for (;;) {
    const ssize_t size = ::read(from, buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return;
    for (ssize_t done = 0; done < size;) {
      const ssize_t written = ::write(to, buffer.data() + done, static_cast<size_t>(size - done));
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) return;
      done += written;
    }
  }
}

}  // namespace

std::string task_id_of(ApiClient& api, const std::string& id_or_name) {
  if (!id_or_name.empty() && id_or_name.find_first_not_of("0123456789") == std::string::npos) return TaskId::parse(id_or_name).str();
  return TaskId::parse(text_of(api.get("/api/vps/" + path_segment(id_or_name)), "task_id")).str();
}

Argument task_or_vps() { return {.name = "ID", .help = "the id of a task, or a VPS by its name or id", .complete = "vps"}; }

std::uint16_t port_of(const std::string& text, const std::string& option, bool any) {
  const auto number = parse_u64(text);
  if (!number || *number > 65535 || (*number == 0 && !any)) throw UsageError(option + ": '" + printable(text, 40) + "' is no port, which are the numbers from " + (any ? "0" : "1") + " to 65535.");
  return static_cast<std::uint16_t>(*number);
}

std::shared_ptr<tunnel::UserSession> way_to(boost::asio::io_context& loop, ApiClient& api, const std::string& task_id) {
  return std::make_shared<tunnel::UserSession>(loop, net::at_host(api.url(), "/api/tasks/" + task_id + "/forward"), api.token());
}

void throw_way_refused(const std::string& name, const std::string& why) { throw Unavailable("cannot reach ports of " + printable(name) + ": " + printable(why, 500)); }

void copy_both_ways(int in, int out, os::UniqueFd socket) {
  // Nobody waits for this one: it may stand in a read of a terminal for ever.
  std::thread([in, to = ::dup(socket.get())] {
    copy_stream(in, to);
    ::shutdown(to, SHUT_WR);
    ::close(to);
  }).detach();
  copy_stream(socket.get(), out);
}

}  // namespace riverbox::applets
