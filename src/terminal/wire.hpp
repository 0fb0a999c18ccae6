// A dialect of the terminal WebSocket: pure translation between messages and what they mean. One dialect = one file (both of its ends);
// sessions (relay.cpp, client.cpp) know no frame formats.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "terminal/relay.hpp"

namespace riverbox::terminal {

inline constexpr std::uint16_t kMaxRowsOrColumns = 4096;  // larger sizes, and 0, are ignored

// What the client says. `input` is valid until the next decode().
struct ClientMessage {
  enum class Kind { ignore, input, resize, end, consumed, leave };
  Kind kind = Kind::ignore;
  std::string_view input;
  std::uint16_t rows = 0, columns = 0;
  std::uint32_t bytes = 0;
  std::uint16_t close_code = 1000;  // of leave: the session ends, the client does not speak the dialect
};

// Functions that return a message return an empty one where the dialect has nothing to say.
class ServerWire {
public:
  virtual ~ServerWire() = default;
  virtual bool binary() const = 0;
  virtual bool waits_for_size() const { return false; }   // the first message may bring the size to start with
  virtual bool has_window() const { return false; }       // the client acknowledges output
  virtual ClientMessage decode(std::string_view data, bool binary) = 0;
  virtual std::string ready(std::optional<SessionPlace> place = {}) = 0;  // of a shared session
  virtual std::string output(std::string_view bytes, bool is_stderr) = 0;
  virtual std::string output_of(SessionPlace, std::string_view bytes) { return output(bytes, false); }  // of a shared session, up to there
  virtual std::string flush() { return {}; }               // the stream ended: what was held back
  virtual std::string exit(int status) { return {}; }
  virtual std::string failure(std::string_view text) = 0;
  virtual std::string consumed(std::uint32_t bytes) { return {}; }
  virtual std::string probe() = 0;  // changes nothing for the client; a send that fails shows that it has gone
};
std::unique_ptr<ServerWire> make_json_server_wire(bool kohaku);
std::unique_ptr<ServerWire> make_riverbox_server_wire();

// What the host says. `bytes` and `text` are valid until the next decode().
struct HostMessage {
  enum class Kind { ignore, ready, output, error_output, consumed, exit, failure };
  Kind kind = Kind::ignore;
  std::string_view bytes;
  std::uint32_t count = 0;  // of consumed
  int status = 0;           // of exit
  std::optional<std::uint64_t> session = {}, position = {};  // of a shared one: of ready, of output
};

class ClientWire {
public:
  virtual ~ClientWire() = default;
  virtual bool binary() const = 0;
  virtual bool says_ready() const = 0;      // else the session runs as soon as the connection is open
  virtual bool has_window() const = 0;      // input and output are acknowledged
  virtual bool reports_exit() const = 0;    // else the shell's end is close 1000
  virtual HostMessage decode(std::string_view data, bool binary) = 0;
  virtual std::string input(std::string_view bytes) = 0;
  virtual std::string resize(std::uint16_t rows, std::uint16_t columns) = 0;
  virtual std::string end() = 0;
  virtual std::string consumed(std::uint32_t bytes) { return {}; }
};
std::unique_ptr<ClientWire> make_json_client_wire();
std::unique_ptr<ClientWire> make_riverbox_client_wire();

}  // namespace riverbox::terminal
