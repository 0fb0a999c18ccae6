// From the members of a tar to the image in it: manifest.json, the config, and index.json where there is one.
#pragma once
#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "environment/archive.hpp"
#include "environment/tar_format.hpp"

namespace riverbox::environment {

inline constexpr std::uint64_t kMaxJsonBytes = 16u << 20;
inline constexpr int kMaxJsonDepth = 64;
inline constexpr std::string_view kBlobFolder = "blobs/sha256/";
inline constexpr size_t kMaxImageLayers = 500;  // overlay2 takes 125, and no file system many more

// The first `size` bytes of a member (all of it when it is shorter).
using ReadMember = std::function<std::string(const std::string& name, const TarMember& member, std::uint64_t size)>;

// Everything but Archive::size_bytes. Throws BadData with the reason only.
Archive describe_image(const TarMembers& members, const ReadMember& read, Documents* documents = nullptr);

// What the config says the image is. Throws BadData.
void describe_config(std::string_view config, Archive& archive);

// Is this OCI image manifest (or Docker's of schema 2) of exactly the config and the layer files of the archive, in their order? Throws BadData.
bool is_manifest_of(std::string_view manifest, const Archive& archive);

// JSON from outside: bounded depth, BadData instead of the library's exceptions. `what` names it in the message.
nlohmann::json parse_untrusted_json(std::string_view text, std::string_view what);

// The digest in "blobs/sha256/<hex>" or "<hex>.json"; empty: the name is no digest. Throws BadData for a malformed one.
std::string digest_in_name(std::string_view member_name);

}  // namespace riverbox::environment
