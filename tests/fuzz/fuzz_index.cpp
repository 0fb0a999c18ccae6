// Any bytes as the index beside an archive: parse_index() answers or does not, and what it answers fits the file and survives the round trip.
#include "base/ids.hpp"
#include "environment/archive.hpp"
#include "environment/signatures.hpp"
#include "fuzz_target.hpp"

using namespace riverbox;
using namespace riverbox::environment;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::uint64_t kTarSize = 10240;  // what the seeds say
  const auto archive = parse_index({reinterpret_cast<const char*>(data), size}, kTarSize);
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
  // Whatever stands in the place of a signature is the word of nobody.
  static const SigningKey key = SigningKey::from_seed(std::string(64, '1'));
  static TrustedKeys trusted;
  trusted.replace({key.public_key()});
  MUST_HOLD(trusted.examine(EnvironmentName::parse("env"), 5, *archive) != SignatureState::valid);
  return 0;
}
