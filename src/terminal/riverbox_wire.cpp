// Our own dialect, "riverbox.terminal.v1": docs/terminal-protocol.md.
#include "terminal/protocol.hpp"
#include "terminal/wire.hpp"

namespace riverbox::terminal {
namespace {

class RiverboxServer : public ServerWire {
public:
  bool binary() const override { return true; }
  bool has_window() const override { return true; }

  ClientMessage decode(std::string_view data, bool binary) override {
    using Kind = ClientMessage::Kind;
    auto message = binary ? parse(data) : std::nullopt;
    if (!message) return {.kind = Kind::leave, .close_code = 1002};
    switch (message->channel) {
      case Channel::data: return {.kind = Kind::input, .input = message->payload};
      case Channel::end: return {.kind = Kind::end};
      case Channel::resize:
        if (auto size = message->size()) return {.kind = Kind::resize, .rows = size->first, .columns = size->second};
        break;
      case Channel::consumed:
        if (auto bytes = message->u32()) return {.kind = Kind::consumed, .bytes = *bytes};
        break;
      case Channel::error: case Channel::exit: case Channel::failure: case Channel::ready: case Channel::screen: break;  // only a server says these
    }
    return {.kind = Kind::leave, .close_code = 1002};
  }

  std::string ready(std::optional<SessionPlace> place) override { return place ? frame_u64(Channel::ready, place->session) : frame(Channel::ready); }
  std::string output(std::string_view bytes, bool is_stderr) override {
    return frame(is_stderr ? Channel::error : Channel::data, bytes);
  }
  std::string output_of(SessionPlace place, std::string_view bytes) override { return frame_u64(Channel::screen, place.position, bytes); }
  std::string exit(int status) override { return frame_u32(Channel::exit, static_cast<std::uint32_t>(status)); }
  std::string failure(std::string_view text) override { return frame(Channel::failure, text); }
  std::string consumed(std::uint32_t bytes) override { return frame_u32(Channel::consumed, bytes); }
  std::string probe() override { return frame(Channel::data); }
};

class RiverboxClient : public ClientWire {
public:
  bool binary() const override { return true; }
  bool says_ready() const override { return true; }
  bool has_window() const override { return true; }
  bool reports_exit() const override { return true; }

  // What a newer host says beyond version 1 is ignored.
  HostMessage decode(std::string_view data, bool binary) override {
    using Kind = HostMessage::Kind;
    auto message = binary ? parse(data) : std::nullopt;
    if (!message) return {};
    switch (message->channel) {
      case Channel::data: return {.kind = Kind::output, .bytes = message->payload};
      case Channel::error: return {.kind = Kind::error_output, .bytes = message->payload};
      case Channel::ready: return {.kind = Kind::ready, .session = message->u64()};
      case Channel::screen:
        if (auto position = message->u64()) return {.kind = Kind::output, .bytes = message->payload.substr(8), .position = position};
        break;
      case Channel::failure: return {.kind = Kind::failure, .bytes = message->payload};
      case Channel::consumed:
        if (auto count = message->u32()) return {.kind = Kind::consumed, .count = *count};
        break;
      case Channel::exit:
        if (auto status = message->u32()) return {.kind = Kind::exit, .status = static_cast<int>(*status)};
        break;
      case Channel::resize: case Channel::end: break;
    }
    return {};
  }

  std::string input(std::string_view bytes) override { return frame(Channel::data, bytes); }
  std::string resize(std::uint16_t rows, std::uint16_t columns) override { return frame_size(rows, columns); }
  std::string end() override { return frame(Channel::end); }
  std::string consumed(std::uint32_t bytes) override { return frame_u32(Channel::consumed, bytes); }
};

}  // namespace

std::unique_ptr<ServerWire> make_riverbox_server_wire() { return std::make_unique<RiverboxServer>(); }
std::unique_ptr<ClientWire> make_riverbox_client_wire() { return std::make_unique<RiverboxClient>(); }

}  // namespace riverbox::terminal
