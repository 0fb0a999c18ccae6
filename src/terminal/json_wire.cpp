// The dialects of HakuRiver and KohakuRiver: JSON text frames {"type": ..., "data": ...}. They differ only in how they begin.

#include "base/json.hpp"
#include "terminal/json_text.hpp"
#include "terminal/wire.hpp"

namespace riverbox::terminal {
namespace {

using Json = nlohmann::json;

// The member as a string, or null.
std::string* text_of(Json& object, const char* key) {
  auto member = object.find(key);
  return member == object.end() ? nullptr : member->get_ptr<std::string*>();
}

std::uint16_t count_of(const Json& object, const char* key) {
  auto member = object.find(key);
  if (member == object.end() || !member->is_number_unsigned()) return 0;
  return static_cast<std::uint16_t>(std::min<std::uint64_t>(member->get<std::uint64_t>(), 0xffff));
}

class JsonServer : public ServerWire {
public:
  explicit JsonServer(bool kohaku) : kohaku_(kohaku) {}
  bool binary() const override { return false; }
  bool waits_for_size() const override { return kohaku_; }

  ClientMessage decode(std::string_view data, bool binary) override {
    using Kind = ClientMessage::Kind;
    if (binary) return {.kind = Kind::leave};
    Json message = Json::parse(data, nullptr, false);
    if (message.is_discarded()) return {};
    auto* type = message.is_object() ? text_of(message, "type") : nullptr;
    if (!type) return {.kind = Kind::leave};
    if (*type == "resize") return {.kind = Kind::resize, .rows = count_of(message, "rows"), .columns = count_of(message, "cols")};
    auto* text = text_of(message, "data");
    if (*type != "input" || !text) return {};
    input_ = std::move(*text);
    return {.kind = Kind::input, .input = input_};
  }

  std::string ready(std::optional<SessionPlace>) override { return json_frame("output", kohaku_ ? "" : "Terminal connected.\r\n"); }
  std::string output(std::string_view bytes, bool) override { return output_.frame(bytes); }  // there is one kind of output
  std::string flush() override { return output_.flush(); }
  std::string failure(std::string_view text) override { return json_frame("error", text); }
  std::string probe() override { return json_frame("output", ""); }

private:
  bool kohaku_;
  std::string input_;
  JsonStream output_{"output"};
};

class JsonClient : public ClientWire {
public:
  bool binary() const override { return false; }
  bool says_ready() const override { return false; }
  bool has_window() const override { return false; }
  bool reports_exit() const override { return false; }

  HostMessage decode(std::string_view data, bool binary) override {
    using Kind = HostMessage::Kind;
    Json message = binary ? Json() : Json::parse(data, nullptr, false);
    if (!message.is_object()) return {};
    auto *type = text_of(message, "type"), *text = text_of(message, "data");
    if (!type || !text) return {};
    text_ = std::move(*text);
    if (*type == "output") return {.kind = Kind::output, .bytes = text_};
    if (*type == "error") return {.kind = Kind::failure, .bytes = text_};
    return {};
  }

  std::string input(std::string_view bytes) override {
    if (!bytes.empty()) last_byte_ = bytes.back();
    return input_.frame(bytes);
  }
  std::string resize(std::uint16_t rows, std::uint16_t columns) override {
    return Json{{"type", "resize"}, {"rows", rows}, {"cols", columns}}.dump();
  }
  // There is no half close. The remote side is always a terminal, where Ctrl-D at the start of a line is the end of the input.
  std::string end() override { return json_frame("input", last_byte_ == '\n' ? "\x04" : "\n\x04"); }

private:
  std::string text_;
  JsonStream input_{"input"};
  char last_byte_ = '\n';
};

}  // namespace

std::unique_ptr<ServerWire> make_json_server_wire(bool kohaku) { return std::make_unique<JsonServer>(kohaku); }
std::unique_ptr<ClientWire> make_json_client_wire() { return std::make_unique<JsonClient>(); }

}  // namespace riverbox::terminal
