// Any bytes as the record of a layer: the parser refuses with BadData or tells pieces, whatever the bytes are, as they are and as what a gzip stream holds.
#include <zlib.h>

#include "base/error.hpp"
#include "environment/tar_split.hpp"
#include "fuzz_target.hpp"

using namespace riverbox;
using namespace riverbox::environment;

namespace {

void parse(std::string_view record) {
  TarSplitParser parser({.bytes = [](std::string_view) {}, .file = [](const std::string&, std::uint64_t size) { MUST_HOLD(size > 0); }});
  try {
    parser.feed(record.substr(0, record.size() / 2));
    parser.feed(record.substr(record.size() / 2));
    parser.finish();
  } catch (const BadData&) {
  }
}

std::string gzipped(std::string_view plain) {
  z_stream stream{};
  MUST_HOLD(deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&stream, plain.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  MUST_HOLD(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  parse(bytes);
  parse(gzipped(bytes));
  return 0;
}
