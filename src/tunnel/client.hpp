// The end of a tunnel inside a container: dials the runner, for ever, and connects streams to ports there. Loop thread only.
#pragma once
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>

#include "tunnel/acceptor.hpp"
#include "tunnel/socket.hpp"
#include "tunnel/tunnel.hpp"

namespace riverbox::tunnel {

inline constexpr const char* kClientSocket = "/run/riverbox/tunnel.sock";  // where the runner's folder is mounted

struct ClientOptions {
  std::filesystem::path socket;  // empty: a WebSocket to `runner_url`
  std::string runner_url;        // ws://gateway:8001
  std::string container_id;
  std::chrono::milliseconds reconnect_delay{5000};  // the longest; the first tries come sooner
  std::uint64_t max_reconnect = 0;                  // tries in a row that may fail; 0: any number
};

class Client {
public:
  Client(boost::asio::io_context& loop, ClientOptions options);
  ~Client() { stop(); }
  void start(std::function<void()> given_up);  // told after max_reconnect
  void stop();

private:
  void dial();
  void dial_websocket();
  void begin(std::shared_ptr<Link> link, Mux::Greeting greeting);
  void lost(const std::string& why);
  void listen(StreamId listener, std::uint16_t port);

  boost::asio::io_context& loop_;
  const ClientOptions options_;
  std::function<void()> given_up_;
  Timer timer_;
  std::shared_ptr<Tunnel> tunnel_;
  std::map<StreamId, Acceptor> listeners_;
  std::chrono::milliseconds delay_;
  std::uint64_t failures_ = 0;
  bool stopped_ = false, dismissed_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // what is asked of others may be answered when we are gone
};

}  // namespace riverbox::tunnel
