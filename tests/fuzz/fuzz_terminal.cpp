// Any bytes as a frame of a terminal, in each dialect and from either end, and as what is typed: nothing is believed that makes no sense.
#include "fuzz_target.hpp"
#include "terminal/detach_keys.hpp"
#include "terminal/json_text.hpp"
#include "terminal/protocol.hpp"
#include "terminal/screen_state.hpp"
#include "terminal/wire.hpp"

using namespace riverbox::terminal;

namespace {

void check(const ClientMessage& message, std::size_t size) {
  using Kind = ClientMessage::Kind;
  MUST_HOLD(message.input.size() <= size + 1);  // Ctrl-D may be added
  if (message.kind == Kind::leave) MUST_HOLD(message.close_code >= 1000 && message.close_code < 5000);
}

void check_typed(std::string_view bytes) {
  const std::string keys("\x10\x11", 2);
  std::string whole, pieces;
  DetachMatcher one(keys), other(keys);
  const bool ended = one.feed(bytes, whole);
  bool also = false;
  for (std::size_t at = 0; at < bytes.size() && !also; ++at) also = other.feed(bytes.substr(at, 1), pieces);
  MUST_HOLD(ended == also && whole == pieces);
  MUST_HOLD(ended == (bytes.find(keys) != std::string_view::npos));
  if (!ended) MUST_HOLD(whole + one.give_up() == bytes);
}

// Frames of a stream are text that is well-formed, and as long as what came together.
void check_output(std::string_view bytes) {
  JsonStream stream("output");
  const std::string first = stream.frame(bytes.substr(0, bytes.size() / 2)), second = stream.frame(bytes.substr(bytes.size() / 2)), rest = stream.flush();
  for (const std::string& frame : {first, second, rest}) MUST_HOLD(frame.empty() || (frame.front() == '{' && frame.back() == '}'));
}

// What a program says is shown in whole, however it is cut, and without its questions never more; the state is the same.
void check_screen(std::string_view bytes) {
  ScreenState one, other;
  std::string whole, pieces;
  one.feed(bytes, &whole);
  MUST_HOLD(whole + one.held() == bytes);
  for (std::size_t at = 0; at < bytes.size(); ++at) other.feed(bytes.substr(at, 1), &pieces, false);
  MUST_HOLD(pieces.size() <= whole.size() && one.held() == other.held() && one.to({}) == other.to({}));
  ScreenState there;
  there.feed(ScreenState::unknown().to(one));
  MUST_HOLD(!one.at_rest() || there.to(one) == ScreenState().to({}));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto message = parse(bytes)) {
    MUST_HOLD(frame(message->channel, message->payload) == bytes);
    if (const auto number = message->u64()) MUST_HOLD(frame_u64(message->channel, *number, message->payload.substr(8)) == bytes);
    if (const auto number = message->u32()) MUST_HOLD(frame_u32(message->channel, *number) == bytes);
    if (const auto wanted = message->size()) MUST_HOLD(message->payload.size() == 4);
  }
  for (const bool binary : {true, false}) {
    for (const auto& wire : {make_json_server_wire(false), make_json_server_wire(true), make_riverbox_server_wire()}) {
      check(wire->decode(bytes, binary), size);
      check(wire->decode(bytes.substr(size / 2), binary), size);
    }
    for (const auto& wire : {make_json_client_wire(), make_riverbox_client_wire()}) MUST_HOLD(wire->decode(bytes, binary).bytes.size() <= 3 * size);
  }
  check_typed(bytes);
  check_output(bytes);
  check_screen(bytes);
  return 0;
}
