// A daemon for the faults that a real one cannot be made to show: a unix socket and a table of raw answers.
#pragma once
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "docker/engine.hpp"

namespace riverbox::docker::test {

struct Seen {
  std::string method, target, head, body;  // target without the version prefix
};

// What the daemon does with one request.
struct Answer {
  std::vector<std::string> pieces;  // raw bytes, each sent on its own, 5 ms apart
  bool close = false;               // hang up afterwards
  bool never = false;               // say nothing, keep the connection
  bool close_before_body = false;   // answer without reading the body of the request
};

Answer json_answer(const std::string& body, int status = 200);
// Chunked, one chunk per piece.
Answer chunked_answer(const std::vector<std::string>& pieces, bool complete = true);

// One frame of a multiplexed stream.
inline std::string frame(char type, const std::string& payload) {
  std::string bytes{type, 0, 0, 0};
  for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(payload.size() >> shift & 0xff));
  return bytes + payload;
}

class FakeDaemon {
public:
  using Handler = std::function<Answer(const Seen&)>;
  // /_ping is answered by the daemon itself as a Docker of `api`; the handler gets everything else.
  explicit FakeDaemon(Handler handler, std::string api = "1.41");
  ~FakeDaemon();
  Endpoint endpoint() const;
  std::vector<Seen> seen();
  int connections();
  void set_api(const std::string& api);
  void drop_connections();  // as a restart would

private:
  void accept_loop();
  void serve(int fd);

  Handler handler_;
  std::mutex mutex_;
  std::string api_, folder_, path_;
  std::vector<Seen> seen_;
  std::vector<int> open_;
  std::vector<std::thread> threads_;
  int listener_ = -1, connections_ = 0;
  bool stopping_ = false;
};

}  // namespace riverbox::docker::test
