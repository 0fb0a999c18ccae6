// Any bytes as what the other end of a tunnel says, to each side and in each dialect: it may be refused, but it is never believed beyond what was agreed, and never makes more work than it is.
#include <memory>
#include <optional>
#include <utility>

#include "base/error.hpp"
#include "fuzz_target.hpp"
#include "tunnel/mux.hpp"

using namespace riverbox::tunnel;

namespace {

// One end with a user who takes what comes, and answers by what the bytes say.
class End {
public:
  End(Mux::Side side, Mux::Greeting greeting) {
    Mux::Requests requests;
    requests.connect = [this](StreamId id, Proto, std::uint16_t port) {
      if (port % 3 == 0) mux_->refuse(id, "no");
      else if (port % 3 == 1) mux_->opened(id);
      return events(id);
    };
    requests.listen = [this](StreamId id, Proto, std::uint16_t port) { port % 2 == 0 ? mux_->listening(id, port) : mux_->refuse(id, "no"); };
    mux_.emplace(Mux::Options{side, greeting, {}}, Mux::Link{[this](const Message& message) { sent_ += encode(message).size(); }, [this] { return sent_; }}, std::move(requests));
    mux_->start();
    if (side == Mux::Side::serves) return;
    for (const Proto proto : {Proto::tcp, Proto::udp}) mux_->open(proto, 80, events(proto == Proto::tcp ? 1 : 2));
  }

  // False: the link would be closed.
  bool receive(std::string_view message) {
    sent_ = 0;
    try {
      mux_->receive(message);
    } catch (const riverbox::BadData&) {
      return false;
    }
    MUST_HOLD(mux_->streams() <= 1024);
    MUST_HOLD(sent_ <= 1100 + message.size());
    if (mux_->greeted() && !mux_->classic() && !listened_) listened_ = mux_->streams() > 0 && ask();
    return true;
  }

private:
  bool ask() {
    if (!mux_->room(1)) return false;
    mux_->send(1, "x");
    mux_->listen(0, {{}, [this](StreamId id) { return events(id); }, {}});
    return true;
  }
  StreamEvents events(StreamId id) {
    auto open = std::make_shared<bool>(true);
    return {.opened = {},
            .data = [this, id, open](std::string_view bytes) {
              MUST_HOLD(*open);
              mux_->consumed(id, bytes.size());
            },
            .end = [this, id] { mux_->end(id); },
            .writable = {},
            .closed = [open](const std::string&) { MUST_HOLD(std::exchange(*open, false)); }};
  }
  std::optional<Mux> mux_;
  std::size_t sent_ = 0;
  bool listened_ = false;
};

void check_stream(std::string_view bytes, std::size_t step) {
  Unframer unframer;
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    if (!unframer.feed(bytes.substr(at, step), [](std::string_view message) {
          MUST_HOLD(message.size() >= kHeaderBytes && message.size() <= kMaxMessageBytes);
          return true;
        }))
      return;
    MUST_HOLD(unframer.kept_bytes() < kLengthBytes + kMaxMessageBytes);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto message = parse(bytes)) MUST_HOLD(encode(*message) == bytes);
  if (const auto hello = parse_hello(bytes)) MUST_HOLD(bytes.starts_with(encode(*hello)));
  check_stream(bytes, 1);
  check_stream(bytes, 1 + size / 3);
  for (const auto side : {Mux::Side::asks, Mux::Side::serves}) {
    for (const auto greeting : {Mux::Greeting::first, Mux::Greeting::answer, Mux::Greeting::never}) {
      End end(side, greeting);
      Unframer unframer;
      bool goes_on = true;
      unframer.feed(bytes, [&](std::string_view message) { return goes_on = goes_on && end.receive(message); });
    }
  }
  return 0;
}
