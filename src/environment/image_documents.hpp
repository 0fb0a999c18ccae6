// The JSON documents beside the layers of an image, as every engine and store reads them. The same image gives the same bytes.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace riverbox::environment {

inline constexpr const char* kOciManifestType = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view kOciLayout = R"({"imageLayoutVersion":"1.0.0"})";

// manifest.json: what a graph-driver store reads. `tag` may be empty.
std::string manifest_json(const std::string& config_member, const std::string& tag, const std::vector<std::string>& layer_members);
// index.json: what a containerd store reads, the image's name included.
std::string index_json(const std::string& manifest_digest, std::uint64_t manifest_bytes, const std::string& manifest_type, const std::string& tag);

}  // namespace riverbox::environment
