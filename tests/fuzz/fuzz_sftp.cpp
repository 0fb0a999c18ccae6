// Any bytes as a packet of sftp: nothing is told that is not in them, and attributes survive being written down.
#include "fuzz_target.hpp"
#include "ssh/sftp_packet.hpp"

using namespace riverbox::ssh::sftp;

namespace {

bool is_within(std::string_view part, std::string_view whole) {
  return part.empty() || (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  MUST_HOLD(packet_size(bytes).has_value() == (size >= 4));
  std::optional<std::uint32_t> id;
  const auto request = parse_request(bytes, &id);
  MUST_HOLD(id.has_value() == (size >= 5));
  if (!request) return 0;
  MUST_HOLD(id == request->id);
  for (const std::string_view part : {request->extension, request->path, request->second, request->handle, request->data}) MUST_HOLD(is_within(part, bytes));
  for (const std::string_view path : {request->path, request->second}) MUST_HOLD(path.find('\0') == std::string_view::npos);
  const std::string again = Answer(Type::setstat, request->id).text(request->path).attributes(request->attributes).framed();
  const auto same = parse_request(std::string_view(again).substr(4));
  MUST_HOLD(same && same->id == request->id && same->path == request->path && same->attributes == request->attributes);
  MUST_HOLD(packet_size(again) == again.size() - 4);
  return 0;
}
