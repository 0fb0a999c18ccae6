// The agent of a compute node: dials the host, brings environments up to date, runs tasks, and outlives the host's absence.
// docs/link-protocol.md is what it says and hears.
#pragma once
#include <boost/asio/io_context.hpp>

#include <memory>
#include <string>

#include "base/config.hpp"

namespace riverbox::runner {

struct RunnerOptions {
  Config config;      // url() is the host; paths are absolute
  std::string token;  // empty: the host runs without authentication
};

class Runner {
public:
  // Opens (or creates) <state_dir>/runner-<node>.db. Throws ConfigError or IoError when that is impossible, InvalidInput for
  // a bad node name or Docker endpoint. Starts nothing.
  Runner(boost::asio::io_context& loop, RunnerOptions options);
  // Joins the workers: at most about a second after stop(), unless the share or Docker hangs. Containers live on.
  ~Runner();
  Runner(Runner&&) = delete;

  // Loop thread. Takes up the attempts of an earlier run and dials the host for ever; a host that is away is no error.
  void start();
  // Loop thread; idempotent. Accepts nothing more and leaves the containers running: the next runner adopts them. Terminals in them end; the loop runs
  // until their shells have.
  void stop();

private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace riverbox::runner
