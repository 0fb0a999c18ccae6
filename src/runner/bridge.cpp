#include "runner/bridge.hpp"

#include <algorithm>
#include <utility>

namespace riverbox::runner {

tunnel::StreamEvents Bridge::events(Side side) {
  const auto self = shared_from_this();
  return {.opened = [self, side] { self->flush(side); },  // a classic peer may have sent before
          .data = [self, side](std::string_view bytes) { self->carry(side, bytes); },
          .end = [self, side] {
            self->ends_[other(side)].end_follows = true;
            self->flush(other(side));
          },
          .writable = [self, side] { self->flush(side); },
          .closed = [self, side](const std::string& why) { self->close(side, why); }};
}

void Bridge::attach(Side side, tunnel::GateStream stream) {
  if (ends_[side].closed) return;  // and the stream ends here
  ends_[side].stream = std::move(stream);
  ends_[side].attached = true;
  flush(side);
}

// In good order what it has sent before still arrives; what broke is broken at once on both sides.
void Bridge::close(Side side, const std::string& why) {
  const auto self = shared_from_this();  // the streams hold us
  End& gone = ends_[side];
  if (std::exchange(gone.closed, true)) return;
  gone.stream = {};
  gone.waiting.clear();
  End& left = ends_[other(side)];
  if (left.closed) return;
  left.close_follows = true;
  if (why.empty() && left.attached) return flush(other(side));
  left.closed = true;
  left.stream.close(why);
}

void Bridge::carry(Side from, std::string_view bytes) {
  End& to = ends_[other(from)];
  if (proto_ == tunnel::Proto::udp) {
    if (to.attached && !to.closed) to.stream.send(bytes);  // drops what finds no room
    return ends_[from].stream.consumed(bytes.size());
  }
  const size_t sent = to.waiting.empty() ? push(other(from), bytes) : 0;
  to.waiting += bytes.substr(sent);
  if (to.closed) ends_[from].stream.consumed(bytes.size() - sent), to.waiting.clear();  // nobody wants it any more
}

// As much as there is room for; the side that it came from may send as much again.
size_t Bridge::push(Side to, std::string_view bytes) {
  size_t done = 0;
  while (done < bytes.size() && ends_[to].attached && !ends_[to].closed) {
    const size_t size = std::min({ends_[to].stream.room(), bytes.size() - done, tunnel::kMaxPayloadBytes});
    if (size == 0) break;
    ends_[to].stream.send(bytes.substr(done, size));
    done += size;
  }
  if (done > 0) ends_[other(to)].stream.consumed(done);
  return done;
}

void Bridge::flush(Side to) {
  const auto self = shared_from_this();
  End& end = ends_[to];
  if (!end.attached || end.closed) return;
  if (!end.waiting.empty()) end.waiting.erase(0, push(to, end.waiting));
  if (!end.waiting.empty() || end.closed) return;
  if (std::exchange(end.end_follows, false)) end.stream.end();
  if (end.close_follows) {
    end.closed = true;
    end.stream.close();
  }
}

}  // namespace riverbox::runner
