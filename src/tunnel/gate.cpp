#include "tunnel/gate.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include <fmt/format.h>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"
#include "os/folders.hpp"
#include "os/unix_socket.hpp"
#include "tunnel/acceptor.hpp"
#include "tunnel/splice.hpp"

namespace riverbox::tunnel {

namespace fs = std::filesystem;

namespace {

constexpr const char* kSocketName = "tunnel.sock";
constexpr std::size_t kMaxNameBytes = 128;

// It is the name of a folder, too.
void check_name(const std::string& container) {
  if (!Gate::is_name(container)) throw InvalidInput(fmt::format("\"{}\" is not the name of a container", printable(container)));
}

}  // namespace

bool Gate::is_name(const std::string& container) {
  const auto fits = [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '.' || c == '-'; };
  return !container.empty() && container.size() <= kMaxNameBytes && std::isalnum(static_cast<unsigned char>(container[0])) && std::ranges::all_of(container, fits);
}

// Any user of the container shall get to the socket, whatever umask we have. Others do not get into the folder above.
void Gate::make_door(const fs::path& folder) {
  check_name(folder.filename());
  if (::mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) throw IoError("make the folder " + folder.string(), errno);
  if (::chmod(folder.c_str(), 0755) != 0) throw IoError("open the folder " + folder.string(), errno);
}

// ---------------------------------------------------------------------------------------------------------------------- handles

GateStream& GateStream::operator=(GateStream&& other) noexcept {
  close();
  tunnel_ = std::move(other.tunnel_);
  id_ = std::exchange(other.id_, 0);
  return *this;
}

std::size_t GateStream::room() const {
  const auto tunnel = tunnel_.lock();
  return tunnel ? tunnel->mux().room(id_) : 0;
}

void GateStream::send(std::string_view bytes) {
  if (const auto tunnel = tunnel_.lock()) tunnel->mux().send(id_, bytes);
}

void GateStream::consumed(std::size_t size) {
  if (const auto tunnel = tunnel_.lock()) tunnel->mux().consumed(id_, size);
}

bool GateStream::end() {
  const auto tunnel = tunnel_.lock();
  return tunnel && tunnel->mux().end(id_);
}

void GateStream::close(const std::string& why) {
  if (const auto tunnel = tunnel_.lock(); tunnel && id_ != 0) tunnel->mux().close(id_, why);
  id_ = 0;
}

GateListener& GateListener::operator=(GateListener&& other) noexcept {
  close();
  tunnel_ = std::move(other.tunnel_);
  id_ = std::exchange(other.id_, 0);
  return *this;
}

void GateListener::close() {
  if (const auto tunnel = tunnel_.lock(); tunnel && id_ != 0) tunnel->mux().unlisten(id_);
  id_ = 0;
}

GateStream Gate::Caller::take() {
  if (const auto tunnel = tunnel_.lock()) tunnel->mux().opened(id_);
  return {tunnel_, id_};
}

void Gate::Caller::refuse(const std::string& why) {
  if (const auto tunnel = tunnel_.lock()) tunnel->mux().refuse(id_, why);
}

// ------------------------------------------------------------------------------------------------------------------------- gate

struct Gate::Door {
  fs::path folder;
  std::optional<Acceptor> acceptor;
  std::shared_ptr<Tunnel> tunnel;
  std::shared_ptr<Tunnel> arriving;  // has connected and not said HELLO; one that comes after it takes its place, so that whoever connects often holds no more than this
};

Gate::Gate(boost::asio::io_context& loop, fs::path folder) : loop_(loop), folder_(std::move(folder)) {
  if (const auto error = os::make_private_folders(folder_)) throw IoError("make the folder " + folder_.string(), error.value());
  if (::chmod(folder_.c_str(), 0700) != 0) throw IoError("close the folder " + folder_.string() + " to others", errno);
}

Gate::~Gate() { close(); }

void Gate::close() {
  closed_ = true;
  changed = nullptr;
  for (const auto& [container, door] : std::exchange(doors_, {})) {
    door->acceptor.reset();
    for (auto* tunnel : {&door->arriving, &door->tunnel})
      if (*tunnel) std::exchange(*tunnel, nullptr)->close("the runner was stopped");
  }
}

fs::path Gate::add(const std::string& container) {
  check_name(container);
  const fs::path folder = folder_ / container;
  if (closed_ || doors_.contains(container)) return folder;
  make_door(folder);
  auto door = std::make_unique<Door>();
  door->folder = folder;
  door->acceptor.emplace(loop_, os::listen_unix(folder / kSocketName, 0666),
                         [this, container](os::UniqueFd fd) { adopt(container, make_link(loop_, std::move(fd)), Mux::Greeting::first); });
  doors_[container] = std::move(door);
  return folder;
}

void Gate::remove(const std::string& container) {
  const auto found = doors_.find(container);
  if (found == doors_.end()) return;
  const auto door = std::move(found->second);
  doors_.erase(found);
  door->acceptor.reset();
  if (door->arriving) door->arriving->close("the container was removed");
  if (door->tunnel) {
    door->tunnel->close("the container was removed");
    if (changed) changed(container, false);
  }
  std::error_code ignored;  // a folder that stays does no harm
  fs::remove(door->folder / kSocketName, ignored);
  fs::remove(door->folder, ignored);  // unless it holds more
}

void Gate::adopt(const std::string& container, std::shared_ptr<Link> link, Mux::Greeting greeting) {
  const auto found = doors_.find(container);
  if (found == doors_.end()) throw NotFound("there is no container " + printable(container) + " here");
  Door& door = *found->second;
  if (door.arriving) std::exchange(door.arriving, nullptr)->close("a newer connection has taken its place");
  const auto tunnel = std::make_shared<Tunnel>(std::move(link));
  door.arriving = tunnel;
  Mux::Requests requests;
  const std::weak_ptr<Tunnel> weak = tunnel;  // it holds the requests
  requests.greeted = [this, container, weak] { greet(container, weak.lock()); };
  tunnel->start({.side = Mux::Side::asks, .greeting = greeting}, std::move(requests), [this, container, weak](const std::string& why) { lost(container, weak.lock(), why); });
  if (greeting == Mux::Greeting::never) greet(container, tunnel);  // such a peer says nothing until it is asked
}

void Gate::greet(const std::string& container, const std::shared_ptr<Tunnel>& tunnel) {
  const auto found = doors_.find(container);
  if (found == doors_.end() || found->second->arriving != tunnel) return;
  Door& door = *found->second;
  const auto before = std::exchange(door.tunnel, std::exchange(door.arriving, nullptr));
  if (before) before->dismiss("a newer tunnel of this container has taken its place");
  log::info("tunnel", before ? "a newer tunnel has taken the place of one" : "connected", {{"container", container}});
  if (changed) changed(container, true);
}

void Gate::lost(const std::string& container, const std::shared_ptr<Tunnel>& tunnel, const std::string& why) {
  const auto found = doors_.find(container);
  if (found == doors_.end() || !tunnel) return;
  Door& door = *found->second;
  if (door.arriving == tunnel) door.arriving.reset();
  if (door.tunnel != tunnel) return;
  door.tunnel.reset();
  log::info("tunnel", "lost", {{"container", container}, {"reason", why}});
  if (changed) changed(container, false);
}

bool Gate::connected(const std::string& container) const {
  const auto found = doors_.find(container);
  return found != doors_.end() && found->second->tunnel;
}

const std::shared_ptr<Tunnel>& Gate::tunnel_of(const std::string& container) const {
  const auto found = doors_.find(container);
  if (found == doors_.end()) throw NotFound("there is no container " + printable(container) + " here");
  if (!found->second->tunnel)
    throw Unavailable("the tunnel-client in the container " + container + " is not connected", "It dials again by itself within seconds, unless the container runs none.");
  return found->second->tunnel;
}

GateStream Gate::open(const std::string& container, Proto proto, std::uint16_t port, StreamEvents events) {
  const auto& tunnel = tunnel_of(container);
  return {tunnel, tunnel->mux().open(proto, port, std::move(events))};
}

void Gate::splice(const std::string& container, std::uint16_t port, os::UniqueFd socket) {
  Mux& mux = tunnel_of(container)->mux();
  splice_socket(loop_, mux, std::move(socket), [&](StreamEvents events) { return mux.open(Proto::tcp, port, std::move(events)); });
}

GateListener Gate::listen(const std::string& container, std::uint16_t port, ListenEvents events) {
  const auto& tunnel = tunnel_of(container);
  const std::weak_ptr<Tunnel> weak = tunnel;  // it holds the events
  return {tunnel, tunnel->mux().listen(port, {.listening = std::move(events.listening),
                                              .accept = [weak, accept = std::move(events.accept)](StreamId id) { return accept(Caller(weak, id)); },
                                              .closed = std::move(events.closed)})};
}

}  // namespace riverbox::tunnel
