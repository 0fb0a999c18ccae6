// A runner that is nothing but a gate, for measuring. tunnel_lab FOLDER (CONTAINER | LOCAL:PORT)... listens for each container, and forwards 127.0.0.1:LOCAL to PORT of the container
// that was named last.
#include <cstdio>
#include <cstdlib>
#include <list>
#include <string>

#include "base/error.hpp"
#include "base/log.hpp"
#include "os/process.hpp"
#include "tunnel/acceptor.hpp"
#include "tunnel/gate.hpp"
#include "tunnel/socket.hpp"

using namespace riverbox;

int main(int argc, char** argv) {
  os::init_runtime();
  os::raise_file_limit();
  log::set_level(log::Level::error);
  boost::asio::io_context loop(1);
  tunnel::Gate gate(loop, argv[1]);
  std::list<tunnel::Acceptor> acceptors;
  std::string container;
  for (int i = 2; i < argc; ++i) {
    const std::string word = argv[i];
    const size_t colon = word.find(':');
    if (colon == std::string::npos) {
      container = word;
      std::puts(gate.add(container).c_str());
      continue;
    }
    const auto port = static_cast<std::uint16_t>(std::atoi(word.c_str() + colon + 1));
    std::uint16_t chosen = 0;
    acceptors.emplace_back(loop, tunnel::listen_loopback(static_cast<std::uint16_t>(std::atoi(word.c_str())), chosen),
                           [&gate, container, port](os::UniqueFd socket) { gate.splice(container, port, std::move(socket)); });
  }
  std::fflush(stdout);
  loop.run();
}
