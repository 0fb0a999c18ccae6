// The runner's end of the tunnels: a unix socket for each container, and streams into the containers. Who a container is follows from which socket it came in by, because only its own is
// mounted into it; what it says about itself counts for nothing. Loop thread only.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include <boost/asio/io_context.hpp>

#include "os/fd.hpp"
#include "tunnel/tunnel.hpp"

namespace riverbox::tunnel {

// A stream into a container. Ends with the handle; when the tunnel is lost, what is called here does nothing.
class GateStream {
public:
  GateStream() = default;
  GateStream(std::weak_ptr<Tunnel> tunnel, StreamId id) : tunnel_(std::move(tunnel)), id_(id) {}
  GateStream(GateStream&& other) noexcept : tunnel_(std::move(other.tunnel_)), id_(std::exchange(other.id_, 0)) {}
  GateStream& operator=(GateStream&& other) noexcept;
  ~GateStream() { close(); }
  // As in Mux, which says what they mean.
  std::size_t room() const;
  void send(std::string_view bytes);
  void consumed(std::size_t size);
  bool end();
  void close(const std::string& why = {});

private:
  std::weak_ptr<Tunnel> tunnel_;
  StreamId id_ = 0;
};

// A port that is listened on in a container. Ends with the handle.
class GateListener {
public:
  GateListener() = default;
  GateListener(std::weak_ptr<Tunnel> tunnel, StreamId id) : tunnel_(std::move(tunnel)), id_(id) {}
  GateListener(GateListener&& other) noexcept : tunnel_(std::move(other.tunnel_)), id_(std::exchange(other.id_, 0)) {}
  GateListener& operator=(GateListener&& other) noexcept;
  ~GateListener() { close(); }
  void close();

private:
  std::weak_ptr<Tunnel> tunnel_;
  StreamId id_ = 0;
};

class Gate {
public:
  // Somebody has connected to a port that is listened on: the stream, then what is to be told of it. `opened` is not among that: the connection is there. answer() decides.
  class Caller {
  public:
    Caller(std::weak_ptr<Tunnel> tunnel, StreamId id) : tunnel_(std::move(tunnel)), id_(id) {}
    GateStream take();                    // it is connected now
    void refuse(const std::string& why);  // the connection in the container is reset

  private:
    std::weak_ptr<Tunnel> tunnel_;
    StreamId id_;
  };
  struct ListenEvents {
    std::function<void(std::uint16_t port)> listening;
    std::function<void(const std::string& why)> closed;
    std::function<StreamEvents(Caller)> accept;  // answered now or later
  };

  // The folder is made, for this user alone; in it lies one for each container. Throws IoError.
  Gate(boost::asio::io_context& loop, std::filesystem::path folder);
  ~Gate();
  Gate(Gate&&) = delete;

  static bool is_name(const std::string& container);  // as Docker names containers
  // The folder that a container of that name will have; any thread. Throws InvalidInput for what is no name of a container, IoError.
  static void make_door(const std::filesystem::path& folder);
  // Begins to listen for a container; nothing happens when it does already. Returns the folder to mount read-only at /run/riverbox there: a folder, so that a socket which a later runner makes
  // is seen as well. Throws InvalidInput for what is no name of a container, IoError.
  std::filesystem::path add(const std::string& container);
  void remove(const std::string& container);  // the tunnel ends, and the folder goes
  // No more is listened for, so that the loop can end. The folders stay: the containers go on, and dial whoever listens there next.
  void close();
  // A tunnel that came another way, as a WebSocket from an address that is known to be the container's: `greeting` is first when the client has offered kSubprotocol, else never, since a
  // classic client says nothing until it is asked. Throws NotFound when the container was not added.
  void adopt(const std::string& container, std::shared_ptr<Link> link, Mux::Greeting greeting);

  bool connected(const std::string& container) const;
  // Throw NotFound (no such container), Unavailable (it has no tunnel now), Conflict (too many streams).
  GateStream open(const std::string& container, Proto proto, std::uint16_t port, StreamEvents events);
  // A TCP socket that is connected, joined with a port of the container: reset when there is nobody. Throws as open() does.
  void splice(const std::string& container, std::uint16_t port, os::UniqueFd socket);
  GateListener listen(const std::string& container, std::uint16_t port, ListenEvents events);
  // Told whenever a tunnel comes or goes.
  std::function<void(const std::string& container, bool connected)> changed;

private:
  struct Door;
  void greet(const std::string& container, const std::shared_ptr<Tunnel>& tunnel);
  void lost(const std::string& container, const std::shared_ptr<Tunnel>& tunnel, const std::string& why);
  const std::shared_ptr<Tunnel>& tunnel_of(const std::string& container) const;

  boost::asio::io_context& loop_;
  const std::filesystem::path folder_;
  std::map<std::string, std::unique_ptr<Door>> doors_;
  bool closed_ = false;
};

}  // namespace riverbox::tunnel
