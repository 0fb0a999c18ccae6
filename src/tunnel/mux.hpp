// Many streams over one tunnel: ids, windows, half-close, limits. A state machine without sockets and clocks; one for each end. What it does is decided by what it is told, in the order
// in which it is told. One thread.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "tunnel/frames.hpp"

namespace riverbox::tunnel {

using StreamId = std::uint32_t;  // 0: none

// What the user of a stream is told. `closed` comes at most once and last: "" when the other side is done with the stream in order, else why it broke. It does not come after close(), nor
// when both sides have said end(): then everything has been said.
struct StreamEvents {
  std::function<void()> opened;                       // the other side has connected; until then nothing can be sent
  std::function<void(std::string_view bytes)> data;   // to be kept until it is consumed(); of UDP one datagram
  std::function<void()> end;                          // no more data
  std::function<void()> writable;                     // room() has said 0 and would not any more
  std::function<void(const std::string& why)> closed;
};

class Mux {
public:
  enum class Side {
    asks,    // the runner, or whoever sits there instead: opens streams to ports of the other side
    serves,  // the client in a container
  };
  enum class Greeting {
    first,   // says HELLO before anything else; a peer that does not is classic
    answer,  // says HELLO when the peer has: until then it is taken for classic
    never,   // classic
  };
  struct Options {
    Side side = Side::asks;
    Greeting greeting = Greeting::first;
    Hello hello;
  };
  // What lies below. `send` takes the message at once, and tells nothing before it returns.
  struct Link {
    std::function<void(const Message&)> send;
    std::function<std::size_t()> queued_bytes;  // sent and not yet on their way
  };
  struct Requests {
    // serves: connect, then opened() or refuse(); data of a classic peer may come before.
    std::function<StreamEvents(StreamId id, Proto proto, std::uint16_t port)> connect;
    std::function<void(StreamId listener, Proto proto, std::uint16_t port)> listen;  // then listening() or refuse()
    std::function<void(StreamId listener)> unlisten;
    std::function<void()> greeted;  // the peer speaks our dialect, or has shown that it does not
    std::function<void(const std::string& why)> farewell;  // the peer does not want this tunnel any more, and says why
    // Whether more messages are to be read: not while a peer does not take what it asks for, and, in the classic dialect alone, while one stream holds up all.
    std::function<void(bool)> may_read;
  };
  struct ListenEvents {
    std::function<void(std::uint16_t port)> listening;
    std::function<StreamEvents(StreamId id)> accept;     // somebody has connected; then opened() or refuse()
    std::function<void(const std::string& why)> closed;  // refused, or the tunnel is lost; not after unlisten()
  };

  static constexpr std::size_t kQueueBytes = 256 << 10;   // no stream sends while so much waits for the link
  static constexpr std::size_t kOverfullBytes = 1 << 20;  // nothing is read while so many answers wait for the link
  static constexpr std::size_t kBacklogBytes = 1 << 20;   // of a stream of a classic peer: then nothing is read until half of it is consumed
  static constexpr std::size_t kMaxListeners = 64;

  Mux(Options options, Link link, Requests requests);
  Mux(Mux&&) = delete;

  // ---- the link
  void start();                             // once, before the others
  void receive(std::string_view message);   // throws BadData when the peer breaks the protocol: then the link is to be closed
  void drained();                           // queued_bytes() is small again
  void farewell(const std::string& why);    // tells the peer that it is not wanted any more; the link is closed after it
  void lost(const std::string& why);        // ends everything; nothing is sent or told any more

  // ---- streams
  // asks. Throws Conflict when there are too many, Unavailable after lost().
  StreamId open(Proto proto, std::uint16_t port, StreamEvents events);
  StreamId listen(std::uint16_t port, ListenEvents events);  // throws Unavailable also when the peer is classic
  void unlisten(StreamId listener);
  // serves
  void listening(StreamId listener, std::uint16_t port);
  StreamId accept(StreamId listener, std::uint16_t port, StreamEvents events);  // somebody has connected; 0 when there are too many streams
  // whoever was asked
  void opened(StreamId id);
  void refuse(StreamId id, const std::string& why);

  // An id that is not, or no longer, known is no mistake: the stream may have ended meanwhile. Room is 0 then.
  std::size_t room(StreamId id);  // how much may be sent now; 0: `writable` will tell
  void send(StreamId id, std::string_view bytes);  // at most room(), and at most kMaxPayloadBytes. A datagram for which there is no room is dropped
  void consumed(StreamId id, std::size_t size);
  bool end(StreamId id);  // no more data from here. False: the stream is over, because the other side has said so before, or because the peer or UDP knows no half
  void close(StreamId id, const std::string& why = {});  // why: it broke

  std::size_t streams() const { return streams_.size(); }
  bool classic() const { return dialect_ != Dialect::riverbox; }
  bool greeted() const { return dialect_ != Dialect::unknown; }

private:
  enum class Dialect { unknown, classic, riverbox };
  struct Stream {
    StreamEvents events;
    Proto proto = Proto::tcp;
    bool connecting = true, asked = false;       // asked: we owe the answer
    bool sent_end = false, got_end = false;
    bool waits = false, in_line = false;         // was told that there is no room; stands in waiting_
    bool slow = false;                           // counts in slow_streams_
    std::uint64_t send_credit = 0;               // bytes that may be sent still; of TCP in our dialect
    std::uint64_t receive_credit = 0;            // bytes that may come still
    std::size_t unreported = 0, unconsumed = 0;  // of those that came
  };
  struct Listener {
    ListenEvents events;
    bool answered = false;
  };
  using Held = std::shared_ptr<Stream>;  // a callback may end its stream: whoever calls one holds it

  void say(Type type, StreamId id = 0, std::string_view payload = {}, Proto proto = Proto::tcp, std::uint16_t port = 0);
  void say_error(StreamId id, std::string_view why);
  void settle(Dialect dialect);
  void first_message(const Message& message);
  void asked_to_connect(const Message& message);
  void asked_to_listen(const Message& message);
  void is_listening(const Message& message);
  void asked_to_accept(const Message& message);
  void of_stream(const Message& message);
  void got_data(StreamId id, const Held& stream, std::string_view payload);
  void got_window(StreamId id, const Held& stream, std::string_view payload);
  void got_end(StreamId id, const Held& stream);
  void got_error(const Message& message);
  void break_off(StreamId id, const Held& stream, const std::string& why);  // the peer is told as well as the user
  bool windowed(const Stream& stream) const { return dialect_ == Dialect::riverbox && stream.proto == Proto::tcp; }
  bool clogged() const { return link_.queued_bytes() >= kQueueBytes; }
  Held find(StreamId id) const;
  Held add(StreamId id, Proto proto);
  void erase(StreamId id, Stream& stream);
  void stand_in_line(StreamId id, Stream& stream);
  void make_writable(Stream& stream);
  void slow(Stream& stream, bool is_slow);
  void weigh_reading();
  StreamId next_id();
  bool full() const { return streams_.size() >= std::min(options_.hello.max_streams, peer_.max_streams); }

  Options options_;
  Link link_;
  Requests requests_;
  Dialect dialect_ = Dialect::unknown;
  Hello peer_;
  bool lost_ = false, said_hello_ = false;
  StreamId last_id_ = 0;
  std::map<StreamId, Held> streams_;
  std::map<StreamId, Listener> listeners_;  // asks: those that were asked for; serves: those that it listens for
  std::deque<StreamId> waiting_;            // for the link, in the order in which they get their turn
  std::size_t slow_streams_ = 0;            // of a classic peer: those with too long a backlog
  bool reading_ = true;                     // what may_read() was told last
};

}  // namespace riverbox::tunnel
