#include <doctest/doctest.h>

#include "base/json.hpp"
#include "base/strings.hpp"
#include "terminal/json_text.hpp"
#include "terminal/protocol.hpp"
#include "terminal/wire.hpp"

using namespace riverbox;
using namespace riverbox::terminal;
using nlohmann::json;
using Kind = ClientMessage::Kind;

namespace {

const std::string kText = "a\x7f \"quoted\" \\ tab\t esc\x1b[31m nul" + std::string(1, '\0') + " \xc3\xa9 \xe2\x82\xac \xf0\x9f\x9a\xa2 \xed\x9f\xbf end\r\n";

}  // namespace

TEST_CASE("json frames: any valid text arrives as it was") {
  CHECK(json::parse(json_frame("output", kText)) == json{{"type", "output"}, {"data", kText}});
  CHECK(json_frame("output", "") == R"({"type":"output","data":""})");
  CHECK(json_frame("output", "x\n") == R"({"type":"output","data":"x\n"})");
}

TEST_CASE("json frames: what is not UTF-8 becomes U+FFFD and the rest stays") {
  auto data = [](std::string_view bytes) { return json::parse(json_frame("output", bytes))["data"].get<std::string>(); };
  const std::string r = "\xef\xbf\xbd";
  CHECK(data("a\xff z") == "a" + r + " z");
  CHECK(data("\x80") == r);
  CHECK(data("\xc0\xaf") == r + r);                // overlong
  CHECK(data("\xed\xa0\x80") == r + r + r);        // surrogate
  CHECK(data("\xf4\x90\x80\x80") == r + r + r + r);// beyond Unicode
  CHECK(data("\xe2\x82") == r);                    // cut short: one mark for what was begun
  CHECK(data("\xe2\x82g") == r + "g");
  CHECK(data("\xf0\x9f\x9a") == r);
  std::string all;
  for (int c = 0; c < 256; ++c) all.push_back(static_cast<char>(c));
  CHECK_NOTHROW(data(all + all));
}

TEST_CASE("json stream: characters are never split, wherever the reads end") {
  std::string text;
  for (int i = 0; i < 5; ++i) text += kText;
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    JsonStream stream("output");
    std::string seen;
    for (auto frame : {stream.frame(text.substr(0, cut)), stream.frame(text.substr(cut)), stream.flush()})
      if (!frame.empty()) seen += json::parse(frame)["data"].get<std::string>();
    CHECK(seen == text);
  }
  JsonStream stream("output");
  std::string seen;
  for (char c : text)
    if (auto frame = stream.frame({&c, 1}); !frame.empty()) seen += json::parse(frame)["data"].get<std::string>();
  CHECK(seen == text);
  CHECK(stream.flush().empty());
}

TEST_CASE("json stream: an incomplete character at the end of the stream is not lost silently") {
  JsonStream stream("output");
  CHECK(stream.frame("\xf0\x9f\x9a").empty());
  CHECK(json::parse(stream.flush())["data"] == "\xef\xbf\xbd");
  CHECK(stream.flush().empty());
}

// fault: json-odd
TEST_CASE("classic dialect: what clients may say") {
  auto wire = make_json_server_wire(false);
  auto message = wire->decode(R"({"type":"input","data":"ls \u00e9\n"})", false);
  CHECK(message.kind == Kind::input);
  CHECK(message.input == "ls \xc3\xa9\n");
  message = wire->decode(R"({"type":"resize","rows":50,"cols":120})", false);
  CHECK(message.kind == Kind::resize);
  CHECK(message.rows == 50);
  CHECK(message.columns == 120);
  for (const char* ignored : {"", "ls\n", "{", R"({"type":"ping"})", R"({"type":"input"})", R"({"type":"input","data":7})",
                              R"({"type":"input","data":"\ud800"})"})
    CHECK_MESSAGE(wire->decode(ignored, false).kind == Kind::ignore, ignored);
  for (const char* foreign : {"[]", "7", "null", "\"input\"", "{}", R"({"data":"x"})", R"({"type":null})"}) {
    message = wire->decode(foreign, false);
    CHECK_MESSAGE(message.kind == Kind::leave, foreign);
    CHECK(message.close_code == 1000);
  }
  CHECK(wire->decode(R"({"type":"input","data":"x"})", true).kind == Kind::leave);
  for (const char* insane : {R"({"type":"resize"})", R"({"type":"resize","rows":-1,"cols":"80"})", R"({"type":"resize","rows":1.5,"cols":null})"}) {
    message = wire->decode(insane, false);
    CHECK((message.kind == Kind::resize && message.rows == 0));
  }
  CHECK(wire->decode(R"({"type":"resize","rows":99999999999,"cols":80})", false).rows == 0xffff);
  std::string deep(200000, '[');
  CHECK(wire->decode(deep, false).kind == Kind::ignore);
}

TEST_CASE("classic dialect: how the two begin") {
  CHECK(json::parse(make_json_server_wire(false)->ready())["data"] == "Terminal connected.\r\n");
  CHECK(make_json_server_wire(true)->ready() == R"({"type":"output","data":""})");
}

TEST_CASE("classic dialect, client: the end of the input is a Ctrl-D at the start of a line") {
  auto wire = make_json_client_wire();
  CHECK(json::parse(wire->input("ls\n")) == json{{"type", "input"}, {"data", "ls\n"}});
  CHECK(json::parse(wire->end())["data"] == "\x04");
  wire->input("exit 3");
  CHECK(json::parse(wire->end())["data"] == "\n\x04");
  CHECK(json::parse(wire->resize(3, 4)) == json{{"type", "resize"}, {"rows", 3}, {"cols", 4}});
  CHECK(wire->decode(R"({"type":"output","data":"x"})", false).bytes == "x");
  CHECK(wire->decode("nonsense", false).kind == HostMessage::Kind::ignore);
}

TEST_CASE("our dialect: both ends understand each other, and strangers are sent away") {
  auto server = make_riverbox_server_wire();
  auto client = make_riverbox_client_wire();
  auto message = server->decode(client->resize(4000, 7), true);
  CHECK((message.kind == Kind::resize && message.rows == 4000 && message.columns == 7));
  std::string input = client->input("x\xff");
  CHECK(server->decode(input, true).input == "x\xff");
  CHECK(server->decode(client->end(), true).kind == Kind::end);
  CHECK(server->decode(client->consumed(70000), true).bytes == 70000);
  for (int status : {0, 1, 137, 255, -1}) CHECK(client->decode(server->exit(status), true).status == status);
  std::string failure = server->failure("no such container");
  CHECK(client->decode(failure, true).bytes == "no such container");
  CHECK(client->decode(server->ready(), true).kind == HostMessage::Kind::ready);
  std::string warning = server->output("w", true);
  CHECK(client->decode(warning, true).kind == HostMessage::Kind::error_output);

  CHECK(server->decode(input, false).close_code == 1002);
  CHECK(server->decode("", true).kind == Kind::leave);
  CHECK(server->decode(server->ready(), true).kind == Kind::leave);
  CHECK(server->decode(frame(Channel::resize, "123"), true).kind == Kind::leave);
  CHECK(client->decode("\x63newer", true).kind == HostMessage::Kind::ignore);
}
