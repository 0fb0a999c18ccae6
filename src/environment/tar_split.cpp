#include "environment/tar_split.hpp"

#include <fmt/format.h>
#include <zlib.h>

#include <optional>

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/strings.hpp"

namespace riverbox::environment {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxLine = 16u << 20;  // the longest honest one holds the headers and the padding of one member
constexpr int kFile = 1, kBytes = 2;

// One line, without building a tree of it: a layer of 50,000 files has 100,000 lines.
class Entry final : public Json::json_sax_t {
public:
  std::optional<std::uint64_t> type, size;
  std::string name, raw_name, payload;

  bool key(std::string& text) override {
    key_ = std::move(text);
    return true;
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (key_ == "type") type = value;
    if (key_ == "size") size = value;
    return depth_ == 1;
  }
  bool string(std::string& text) override {
    if (key_ == "name") name = std::move(text);
    else if (key_ == "name_raw") raw_name = std::move(text);
    else if (key_ == "payload") payload = std::move(text);
    return depth_ == 1;
  }
  bool start_object(std::size_t) override { return ++depth_ == 1; }
  bool end_object() override { return true; }
  bool null() override { return depth_ == 1; }
  bool boolean(bool) override { return depth_ == 1; }
  bool number_integer(number_integer_t) override { return key_ != "size" && key_ != "type"; }  // a negative one
  bool number_float(number_float_t, const std::string&) override { return key_ != "size" && key_ != "type"; }
  bool binary(binary_t&) override { return false; }
  bool start_array(std::size_t) override { return false; }
  bool end_array() override { return false; }
  bool parse_error(std::size_t, const std::string&, const Json::exception&) override { return false; }

private:
  std::string key_;
  int depth_ = 0;
};

std::string decoded(const std::string& base64) {
  auto bytes = base64_decoded(base64);
  if (!bytes) throw BadData("the record of a layer holds something that is not base64");
  return std::move(*bytes);
}

}  // namespace

struct TarSplitParser::Impl {
  Visitor visitor;
  z_stream stream{};
  std::string line;
  bool ended = false;

  explicit Impl(Visitor v) : visitor(std::move(v)) {
    if (inflateInit2(&stream, 15 + 16) != Z_OK) throw InternalError("cannot start zlib");
  }
  ~Impl() { inflateEnd(&stream); }

  void on_line() {
    Entry entry;
    if (!Json::sax_parse(line, &entry) || !entry.type) throw BadData("a line of the record of a layer is malformed");
    if (*entry.type == kBytes) return visitor.bytes(decoded(entry.payload));
    if (*entry.type != kFile) throw BadData(fmt::format("the record of a layer has an entry of the unknown type {}", *entry.type));
    if (entry.size.value_or(0) == 0) return;
    visitor.file(entry.raw_name.empty() ? entry.name : decoded(entry.raw_name), *entry.size);
  }

  void take(std::string_view text) {
    while (!text.empty()) {
      const size_t end = text.find('\n');
      line += text.substr(0, end);
      if (line.size() > kMaxLine) throw BadData("the record of a layer has an absurdly long line");
      if (end == std::string_view::npos) return;
      text.remove_prefix(end + 1);
      if (!line.empty()) on_line();
      line.clear();
    }
  }
};

TarSplitParser::TarSplitParser(Visitor visitor) : impl_(std::make_unique<Impl>(std::move(visitor))) {}
TarSplitParser::~TarSplitParser() = default;

void TarSplitParser::feed(std::string_view gzip) {
  z_stream& stream = impl_->stream;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(gzip.data()));
  stream.avail_in = static_cast<uInt>(gzip.size());
  char buffer[64 << 10];
  do {
    if (impl_->ended) {
      if (stream.avail_in > 0) throw BadData("something follows the record of a layer");
      return;
    }
    stream.next_out = reinterpret_cast<Bytef*>(buffer);
    stream.avail_out = sizeof buffer;
    const int rc = inflate(&stream, Z_NO_FLUSH);
    if (rc == Z_STREAM_END) impl_->ended = true;
    else if (rc != Z_OK && rc != Z_BUF_ERROR) throw BadData("the record of a layer is no valid gzip stream");
    impl_->take({buffer, sizeof buffer - stream.avail_out});
    if (rc == Z_BUF_ERROR) return;
  } while (stream.avail_in > 0 || stream.avail_out == 0);
}

void TarSplitParser::finish() {
  if (!impl_->ended) throw BadData("the record of a layer is truncated");
  if (!impl_->line.empty()) impl_->on_line();  // the last line may lack its end
  impl_->line.clear();
}

}  // namespace riverbox::environment
