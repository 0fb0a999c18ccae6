// Which layers of an archive have to travel to a daemon, and the stream that takes them there. Pure: what the daemon has is told, nothing is read.
#pragma once
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "docker/engine.hpp"
#include "environment/archive.hpp"

namespace riverbox::environment {

// Length of the longest chain of layers from the bottom on that one of the images has too. A layer in another place is another layer.
size_t common_chain(const std::vector<std::string>& diff_ids, const std::vector<std::vector<std::string>>& images);

// What travels. Every file travels once, however many layers it is.
struct Shipment {
  std::vector<size_t> layers;     // whose files travel: the first layer of each file, in chain order
  size_t left_out = 0;            // layers whose file does not
  std::uint64_t layer_bytes = 0;  // of the files that travel
};
Shipment ship_all(const Archive& archive);
// To a graph-driver store that has the first `present` layers as a chain. A file that a later layer needs too stays.
Shipment ship_above(const Archive& archive, size_t present);
// To a containerd store that has these blobs ("sha256:...").
Shipment ship_without(const Archive& archive, const std::set<std::string>& blobs);
// The blobs of the layers of an archive with a manifest_digest.
std::set<std::string> layer_blobs(const Archive& archive);

// The names of the layers' files in the stream; a daemon's error may name one.
std::vector<std::string> names_in_stream(const Archive& archive);

// What the stream of every archive with an OCI manifest begins with, whatever it brings.
std::string stream_beginning();

// The image as `docker load` takes it, with one tag, or without a tag when it is empty. In OCI form where the archive has a manifest, else in the form of manifest.json alone. Nothing of
// the archive but the config, the manifest and layer files gets into it. `fd` is the open archive.
std::vector<docker::Segment> image_stream(const Archive& archive, const Documents& documents, const Shipment& shipment, const std::string& tag, int fd);

}  // namespace riverbox::environment
