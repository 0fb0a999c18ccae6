#include "tunnel/mux.hpp"

#include <fmt/format.h>

#include <utility>

#include "base/error.hpp"

namespace riverbox::tunnel {

namespace {

constexpr StreamId kServed = 0x80000000;  // the bit of the ids that the side that serves gives out
constexpr std::size_t kMaxPingBytes = 125;

template <class Callback, class... Values>
void tell(const Callback& callback, const Values&... values) {
  if (callback) callback(values...);
}

[[noreturn]] void broken(const std::string& what) { throw BadData("the tunnel's other end does not speak the protocol: " + what); }

}  // namespace

Mux::Mux(Options options, Link link, Requests requests) : options_(options), link_(std::move(link)), requests_(std::move(requests)) {}

// ------------------------------------------------------------------------------------------------------------------------- link

void Mux::start() {
  if (options_.greeting == Greeting::never) dialect_ = Dialect::classic;
  if (options_.greeting == Greeting::first) say(Type::hello, 0, encode(options_.hello));
}

void Mux::say(Type type, StreamId id, std::string_view payload, Proto proto, std::uint16_t port) { link_.send({type, proto, id, port, payload}); }

void Mux::say_error(StreamId id, std::string_view why) { say(Type::error, id, error_text(why)); }

void Mux::settle(Dialect dialect) {
  dialect_ = dialect;
  tell(requests_.greeted);
}

void Mux::first_message(const Message& message) {
  if (message.type != Type::hello || message.id != 0) return settle(Dialect::classic);
  const auto hello = parse_hello(message.payload);
  if (!hello) broken("a HELLO that says nothing");
  peer_ = *hello;
  if (options_.greeting == Greeting::answer) say(Type::hello, 0, encode(options_.hello));
  settle(Dialect::riverbox);
}

void Mux::receive(std::string_view bytes) {
  if (lost_) return;
  const auto message = parse(bytes);
  if (!message) broken(fmt::format("a message of {} bytes that is none", bytes.size()));
  if (dialect_ == Dialect::unknown) {
    first_message(*message);
    if (message->type == Type::hello || lost_) return;
  }
  const bool ours = dialect_ == Dialect::riverbox, serves = options_.side == Side::serves;
  switch (message->type) {
    case Type::ping: say(Type::pong, message->id, message->payload.substr(0, kMaxPingBytes)); break;
    case Type::pong: break;
    case Type::connect:
      if (serves) asked_to_connect(*message);
      else if (ours) broken("CONNECT from the side that serves");
      break;
    case Type::connected:
    case Type::data:
    case Type::close: of_stream(*message); break;
    case Type::error: got_error(*message); break;
    case Type::hello:
      if (ours) broken("a second HELLO");
      break;
    case Type::window:
    case Type::eof:
      if (ours) of_stream(*message);
      break;
    case Type::listen:
    case Type::unlisten:
      if (ours && !serves) broken("LISTEN from the side that serves");
      if (ours) asked_to_listen(*message);
      break;
    case Type::listening:
    case Type::accept:
      if (ours && serves) broken("ACCEPT from the side that asks");
      if (ours) message->type == Type::accept ? asked_to_accept(*message) : is_listening(*message);
      break;
    default: break;  // what later versions have more
  }
  weigh_reading();
}

void Mux::drained() {
  // Each gets its turn; who still has something to send then stands at the end of the line.
  for (std::size_t turns = waiting_.size(); turns > 0 && !waiting_.empty() && !clogged(); --turns) {
    const StreamId id = waiting_.front();
    waiting_.pop_front();
    if (const Held stream = find(id)) {
      stream->in_line = false;
      make_writable(*stream);
    }
  }
  weigh_reading();
}

void Mux::farewell(const std::string& why) {
  if (!lost_ && greeted()) say_error(0, why);
}

void Mux::lost(const std::string& why) {
  if (std::exchange(lost_, true)) return;
  waiting_.clear();
  const auto streams = std::exchange(streams_, {});
  const auto listeners = std::exchange(listeners_, {});
  for (const auto& [id, stream] : streams) tell(stream->events.closed, why);
  for (const auto& [id, listener] : listeners) {
    if (options_.side == Side::serves) tell(requests_.unlisten, id);
    else tell(listener.events.closed, why);
  }
}

void Mux::weigh_reading() {
  const std::size_t queued = lost_ ? 0 : link_.queued_bytes();
  const bool may = slow_streams_ == 0 && queued < (reading_ ? kOverfullBytes : kQueueBytes);
  if (std::exchange(reading_, may) != may && !lost_) tell(requests_.may_read, may);
}

// ---------------------------------------------------------------------------------------------------------------------- streams

Mux::Held Mux::find(StreamId id) const {
  const auto found = streams_.find(id);
  return found == streams_.end() ? nullptr : found->second;
}

Mux::Held Mux::add(StreamId id, Proto proto) {
  auto stream = std::make_shared<Stream>();
  stream->proto = proto;
  stream->receive_credit = options_.hello.window;
  stream->send_credit = peer_.window;
  streams_[id] = stream;
  return stream;
}

void Mux::erase(StreamId id, Stream& stream) {
  slow(stream, false);
  streams_.erase(id);
}

// An id comes again only after all others: what is still on its way for an old stream never meets a new one.
StreamId Mux::next_id() {
  const StreamId served = options_.side == Side::serves ? kServed : 0;
  do last_id_ = (last_id_ + 1) & ~kServed;
  while (last_id_ == 0 || streams_.contains(last_id_ | served) || listeners_.contains(last_id_));
  return last_id_ | served;
}

StreamId Mux::open(Proto proto, std::uint16_t port, StreamEvents events) {
  if (lost_) throw Unavailable("the tunnel is lost");
  if (full()) throw Conflict(fmt::format("{} connections go through the tunnel already, which is all that it takes", streams_.size()), "Close some of them first.");
  const StreamId id = next_id();
  add(id, proto)->events = std::move(events);
  say(Type::connect, id, {}, proto, port);
  return id;
}

void Mux::asked_to_connect(const Message& message) {
  const bool ours = dialect_ == Dialect::riverbox;
  if (streams_.contains(message.id) || listeners_.contains(message.id)) {
    if (ours) broken("CONNECT with an id that is in use");
    return;  // as the reference does
  }
  if (ours && (message.id == 0 || message.id & kServed)) broken("CONNECT with an id that is not its to give");
  if (full()) return say_error(message.id, fmt::format("{} connections go through the tunnel already, which is all that it takes", streams_.size()));
  const Held stream = add(message.id, message.proto);
  stream->asked = true;
  stream->events = requests_.connect(message.id, message.proto, message.port);
}

void Mux::opened(StreamId id) {
  const Held stream = find(id);
  if (!stream || !stream->asked) return;
  stream->asked = stream->connecting = false;
  say(Type::connected, id, {}, stream->proto);
}

void Mux::refuse(StreamId id, const std::string& why) {
  if (const Held stream = find(id); stream && stream->asked) {
    erase(id, *stream);
    say_error(id, why);
  } else if (options_.side == Side::serves && listeners_.erase(id) > 0) {
    say_error(id, why);
  }
}

std::size_t Mux::room(StreamId id) {
  const Held stream = find(id);
  if (!stream || stream->connecting || stream->sent_end) return 0;
  if (clogged()) {
    stream->waits = true;
    stand_in_line(id, *stream);
    return 0;
  }
  if (!windowed(*stream)) return kMaxPayloadBytes;
  if (stream->send_credit == 0) stream->waits = true;
  return static_cast<std::size_t>(std::min<std::uint64_t>(stream->send_credit, kMaxPayloadBytes));
}

void Mux::stand_in_line(StreamId id, Stream& stream) {
  if (!std::exchange(stream.in_line, true)) waiting_.push_back(id);
}

void Mux::make_writable(Stream& stream) {
  if (std::exchange(stream.waits, false)) tell(stream.events.writable);
}

void Mux::send(StreamId id, std::string_view bytes) {
  const Held stream = find(id);
  if (!stream || stream->connecting || stream->sent_end || bytes.size() > kMaxPayloadBytes) return;
  if (stream->proto == Proto::udp) {
    if (clogged()) return;  // as any network does
  } else if (bytes.empty()) {
    return;
  }
  if (windowed(*stream)) {
    if (bytes.size() > stream->send_credit) throw InternalError("more was sent through a tunnel than there was room for");
    stream->send_credit -= bytes.size();
  }
  say(Type::data, id, bytes, stream->proto);
}

void Mux::consumed(StreamId id, std::size_t size) {
  const Held stream = find(id);
  if (!stream || stream->proto == Proto::udp) return;
  stream->unconsumed -= std::min(size, stream->unconsumed);
  if (!windowed(*stream)) {
    if (stream->unconsumed <= kBacklogBytes / 2) slow(*stream, false);
    return;
  }
  stream->unreported += size;
  if (stream->got_end || stream->unreported < std::max<std::size_t>(options_.hello.window / 4, 1)) return;
  stream->receive_credit += stream->unreported;
  say(Type::window, id, encode_u32(static_cast<std::uint32_t>(std::exchange(stream->unreported, 0))));
}

void Mux::slow(Stream& stream, bool is_slow) {
  if (std::exchange(stream.slow, is_slow) == is_slow) return;
  is_slow ? ++slow_streams_ : --slow_streams_;
  weigh_reading();
}

bool Mux::end(StreamId id) {
  const Held stream = find(id);
  if (!stream || stream->sent_end) return stream != nullptr;
  if (!windowed(*stream) || stream->connecting) {
    close(id);
    return false;
  }
  stream->sent_end = true;
  say(Type::eof, id);
  if (stream->got_end) erase(id, *stream);
  return !stream->got_end;
}

void Mux::close(StreamId id, const std::string& why) {
  const Held stream = find(id);
  if (!stream) return;
  erase(id, *stream);
  const bool told_why = !why.empty() && !(classic() && options_.side == Side::asks);  // a classic client knows no ERROR
  if (told_why || stream->asked) say_error(id, why.empty() ? "the connection was given up" : why);
  else say(Type::close, id, {}, stream->proto);
}

void Mux::break_off(StreamId id, const Held& stream, const std::string& why) {
  close(id, why);
  tell(stream->events.closed, why);
}

void Mux::of_stream(const Message& message) {
  const Held stream = find(message.id);
  if (!stream) return;  // it has ended here, and the peer did not know that yet
  switch (message.type) {
    case Type::connected:
      if (!stream->connecting || stream->asked) return;
      stream->connecting = false;
      stream->send_credit = peer_.window;
      return tell(stream->events.opened);
    case Type::data: return got_data(message.id, stream, message.payload);
    case Type::window: return got_window(message.id, stream, message.payload);
    case Type::eof: return got_end(message.id, stream);
    default: break;
  }
  erase(message.id, *stream);
  tell(stream->events.closed, std::string());
}

void Mux::got_data(StreamId id, const Held& stream, std::string_view payload) {
  if (stream->connecting && !stream->asked) return break_off(id, stream, "the other end of the tunnel sent data before it was connected");
  if (stream->got_end) return break_off(id, stream, "the other end of the tunnel sent data after its end");
  if (stream->proto == Proto::tcp) {
    if (payload.empty()) return;
    if (windowed(*stream) && payload.size() > stream->receive_credit) return break_off(id, stream, "the other end of the tunnel sent more than its window");
    if (windowed(*stream)) stream->receive_credit -= payload.size();
    stream->unconsumed += payload.size();
    if (!windowed(*stream) && stream->unconsumed > kBacklogBytes) slow(*stream, true);
  }
  tell(stream->events.data, payload);
}

void Mux::got_window(StreamId id, const Held& stream, std::string_view payload) {
  const auto more = parse_u32(payload);
  if (!more || !windowed(*stream) || stream->send_credit + *more > UINT32_MAX) return break_off(id, stream, "the other end of the tunnel opened a window that there is not");
  stream->send_credit += *more;
  if (!stream->waits || stream->in_line) return;
  if (clogged()) stand_in_line(id, *stream);
  else make_writable(*stream);
}

void Mux::got_end(StreamId id, const Held& stream) {
  if (stream->proto == Proto::udp || stream->connecting || stream->got_end) return break_off(id, stream, "the other end of the tunnel ended what had no end to come");
  stream->got_end = true;
  if (stream->sent_end) erase(id, *stream);
  tell(stream->events.end);
}

void Mux::got_error(const Message& message) {
  const std::string why = error_text(message.payload);
  if (message.id == 0 && dialect_ == Dialect::riverbox) return tell(requests_.farewell, why);
  if (const Held stream = find(message.id)) {
    erase(message.id, *stream);
    return tell(stream->events.closed, why.empty() ? "the other end of the tunnel failed" : why);
  }
  if (options_.side != Side::asks) return;
  if (const auto found = listeners_.find(message.id); found != listeners_.end()) {
    const ListenEvents events = std::move(found->second.events);
    listeners_.erase(found);
    tell(events.closed, why);
  }
}

// -------------------------------------------------------------------------------------------------------------------- listeners

StreamId Mux::listen(std::uint16_t port, ListenEvents events) {
  if (lost_) throw Unavailable("the tunnel is lost");
  if (dialect_ != Dialect::riverbox) throw Unavailable("the container's tunnel-client cannot listen", "Start the container again: it gets the tunnel-client of this riverbox.");
  if (listeners_.size() >= kMaxListeners) throw Conflict(fmt::format("{} ports of the container are listened on already, which is all that a tunnel takes", listeners_.size()));
  const StreamId id = next_id();
  listeners_[id] = {std::move(events)};
  say(Type::listen, id, {}, Proto::tcp, port);
  return id;
}

void Mux::unlisten(StreamId listener) {
  if (options_.side == Side::asks && listeners_.erase(listener) > 0) say(Type::unlisten, listener);
}

void Mux::asked_to_listen(const Message& message) {
  if (message.type == Type::unlisten) {
    if (listeners_.erase(message.id) > 0) tell(requests_.unlisten, message.id);
    return;
  }
  if (message.id == 0 || message.id & kServed || streams_.contains(message.id) || listeners_.contains(message.id)) broken("LISTEN with an id that is not its to give");
  if (message.proto != Proto::tcp) return say_error(message.id, "only TCP ports can be listened on");
  if (listeners_.size() >= kMaxListeners) return say_error(message.id, fmt::format("{} ports are listened on already, which is all that a tunnel takes", listeners_.size()));
  listeners_[message.id] = {};
  requests_.listen(message.id, message.proto, message.port);
}

void Mux::listening(StreamId listener, std::uint16_t port) {
  const auto found = listeners_.find(listener);
  if (found == listeners_.end() || std::exchange(found->second.answered, true)) return;
  say(Type::listening, listener, {}, Proto::tcp, port);
}

void Mux::is_listening(const Message& message) {
  const auto found = listeners_.find(message.id);
  if (found == listeners_.end() || std::exchange(found->second.answered, true)) return;
  const auto told = found->second.events.listening;
  tell(told, message.port);
}

StreamId Mux::accept(StreamId listener, std::uint16_t port, StreamEvents events) {
  if (lost_ || full() || !listeners_.contains(listener)) return 0;
  const StreamId id = next_id();
  add(id, Proto::tcp)->events = std::move(events);
  say(Type::accept, id, encode_u32(listener), Proto::tcp, port);
  return id;
}

void Mux::asked_to_accept(const Message& message) {
  const auto listener = parse_u32(message.payload);
  if (!listener || !(message.id & kServed) || streams_.contains(message.id)) broken("ACCEPT with an id that is not its to give");
  const auto found = listeners_.find(*listener);
  if (found == listeners_.end()) return say_error(message.id, "nobody listens there any more");
  if (full()) return say_error(message.id, fmt::format("{} connections go through the tunnel already, which is all that it takes", streams_.size()));
  const Held stream = add(message.id, Proto::tcp);
  stream->asked = true;
  const auto accept = found->second.events.accept;  // it may end the listener
  stream->events = accept(message.id);
}

}  // namespace riverbox::tunnel
