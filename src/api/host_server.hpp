// The host as one object: store, services, workers, routes and listening socket.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>

#include "base/config.hpp"

namespace riverbox::api {

struct HostServerOptions {
  Config config;
  // `riverbox up`: a runner uses the same daemon, so create-tar leaves the image that it made for it.
  bool shares_daemon_with_runner = false;
  int inherited_socket = -1;  // see net::ServerOptions
};

class HostServer {
public:
  // Opens the store, makes the token, binds the port. Throws ConfigError, IoError, Unavailable (port in use). Docker or the
  // share being away is no error: the host starts and says so where it matters.
  HostServer(boost::asio::io_context& loop, HostServerOptions options);
  ~HostServer();
  void start();  // loop thread: begins to accept; recovery runs in the background
  // Loop thread: what may differ from the configuration before are live values (Config::with_live_values_of). Throws ConfigError, and then nothing has changed.
  void reload(const Config& config);
  void stop();   // loop thread: no new connections, open ones are closed
  std::uint16_t port() const;
  std::string url(const std::string& address) const;  // for clients that reach it at this address; with the fingerprint of its certificate, if it has one
  std::string token() const;  // "" with auth = "none"

private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace riverbox::api
