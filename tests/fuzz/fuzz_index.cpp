// Any bytes as the index beside an archive: read_index() answers or does not, and what it answers fits the file and survives the round trip.
#include <unistd.h>

#include "base/ids.hpp"
#include "environment/archive.hpp"
#include "fuzz_target.hpp"

using namespace riverbox;
using namespace riverbox::environment;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::uint64_t kTarSize = 10240;  // what the seeds say
  const MemoryFile file({reinterpret_cast<const char*>(data), size});
  const auto archive = read_index(file.path(), kTarSize);
  if (!archive) return 0;
  MUST_HOLD(archive->size_bytes == kTarSize);
  MUST_HOLD(Digest::is_valid(archive->config_digest));
  MUST_HOLD(archive->layers.size() == archive->identity.diff_ids.size());
  MUST_HOLD(archive->manifest_digest.empty() || Digest::is_valid(archive->manifest_digest));
  for (const Span& span : {archive->config, archive->manifest}) MUST_HOLD(span.offset <= kTarSize && span.size_bytes <= kTarSize - span.offset);
  for (const Layer& layer : archive->layers) {
    MUST_HOLD(Digest::is_valid(layer.diff_id));
    MUST_HOLD(layer.offset <= kTarSize && layer.size_bytes <= kTarSize - layer.offset);
  }
  return 0;
}
