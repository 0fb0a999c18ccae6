// A link with the streams that go over it: one end of a tunnel. Loop thread only.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "tunnel/link.hpp"
#include "tunnel/mux.hpp"

namespace riverbox::tunnel {

class Tunnel : public std::enable_shared_from_this<Tunnel> {
public:
  using Closed = std::function<void(const std::string& why)>;
  explicit Tunnel(std::shared_ptr<Link> link) : link_(std::move(link)) {}

  // `requests` without may_read, which is the link's. `closed` is told once, after the streams were, and not after close().
  void start(Mux::Options options, Mux::Requests requests, Closed closed);
  void close(const std::string& why);    // the other end sees the link end, and dials again
  void dismiss(const std::string& why);  // the other end is told, and leaves it at that for a while
  Mux& mux() { return *mux_; }
  std::function<void(std::string_view)> on_text;  // of the link; to be set before start()

private:
  void lost(const std::string& why);

  std::shared_ptr<Link> link_;
  std::unique_ptr<Mux> mux_;
  Closed closed_;
};

}  // namespace riverbox::tunnel
