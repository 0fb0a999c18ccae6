// The JSON text frames of the classic dialects, {"type": "output", "data": "..."}, made from a byte stream.
#pragma once
#include <string>
#include <string_view>

namespace riverbox::terminal {

// One frame. `bytes` may be anything: what is not UTF-8 becomes U+FFFD. One pass, no DOM: `cat` of a big file goes through here.
std::string json_frame(std::string_view type, std::string_view bytes);

// Frames of one stream. A character that is cut by the end of a read is held back (at most 3 bytes) and leads the next frame.
class JsonStream {
public:
  explicit JsonStream(std::string type) : type_(std::move(type)) {}
  std::string frame(std::string_view bytes);  // empty: all of it is held back
  std::string flush();                        // the end of the stream; empty: nothing was held back

private:
  std::string type_, tail_;
};

}  // namespace riverbox::terminal
