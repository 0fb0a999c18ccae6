// Two streams of different tunnels joined: what comes from one goes to the other as far as it has room, and only then counts as consumed, so the windows of both hops hold. Loop thread only.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "tunnel/gate.hpp"

namespace riverbox::runner {

class Bridge : public std::enable_shared_from_this<Bridge> {
public:
  enum Side { user, container };
  explicit Bridge(tunnel::Proto proto) : proto_(proto) {}

  // What the stream of that side is to tell.
  tunnel::StreamEvents events(Side side);
  void attach(Side side, tunnel::GateStream stream);
  // That side has broken off, or will never be there.
  void close(Side side, const std::string& why);

private:
  struct End {
    tunnel::GateStream stream;
    bool attached = false, closed = false;
    std::string waiting;                     // to be sent to it
    bool end_follows = false, close_follows = false;  // after that
  };
  static Side other(Side side) { return side == user ? container : user; }
  void carry(Side from, std::string_view bytes);
  size_t push(Side to, std::string_view bytes);
  void flush(Side to);

  const tunnel::Proto proto_;
  End ends_[2];
};

}  // namespace riverbox::runner
