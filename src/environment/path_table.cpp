#include "environment/path_table.hpp"

#include <algorithm>
#include <functional>

namespace riverbox::environment {
namespace {

// Deletions are kept beyond the limit of paths: without them the paths that are kept would be wrong.
constexpr size_t kDeletionsOnTop = 50'000;
// No real layer comes near these; what is beyond is left out like what is beyond the limit of paths.
constexpr std::uint64_t kMaxPathBytes = 32u << 20, kMaxFolderBytes = 32u << 20;
constexpr std::ptrdiff_t kMaxDepth = 128;

std::uint64_t target_of(const LayerEntry& entry) {
  if (entry.type == '2') return std::hash<std::string>{}(entry.link);
  return static_cast<std::uint64_t>(entry.device_major) << 32 | entry.device_minor;
}

// "a/b/c" -> "a/b" -> "a" -> ""
std::string_view parent_of(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

}  // namespace

PathTable::Node* PathTable::node(Stack stack, const std::string& path, bool counted) {
  const auto it = paths_.find(path);
  if (it != paths_.end()) return &it->second[stack];
  if (closed_) return nullptr;
  const bool full = paths_.size() >= max_paths_ + (counted ? 0 : kDeletionsOnTop) || path_bytes_ + path.size() > kMaxPathBytes;
  if (full || std::count(path.begin(), path.end(), '/') > kMaxDepth) {
    ++left_out_;
    return nullptr;
  }
  path_bytes_ += path.size();
  return &paths_[path][stack];
}

const PathTable::Nodes* PathTable::find(const std::string& path) const {
  const auto it = paths_.find(path);
  return it == paths_.end() ? nullptr : &it->second;
}

void PathTable::add(Stack stack, int layer, const LayerEntry& entry) {
  Node* const place = node(stack, entry.path, true);
  if (!place) return;
  PathFacts facts{.size_bytes = entry.size_bytes, .modified = entry.modified, .target = target_of(entry), .mode = entry.mode,
                  .uid = entry.uid, .gid = entry.gid, .type = entry.type};
  if (entry.type == '1') {  // one more name of a file: which of its names is written as the link is chance
    facts.type = '0';
    facts.size_bytes.reset();
    const State original = state(stack, entry.link);
    if (original.is == State::Is::present && original.layer <= layer) facts.size_bytes = original.facts->size_bytes;
  }
  if (layer < place->layer) {
    if (entry.type != '5') place->hidden = std::max(place->hidden, layer);
    return;
  }
  // A folder that was no folder in between begins empty.
  if (place->layer >= 0 && place->facts.type != '5') place->hidden = std::max(place->hidden, place->layer);
  place->facts = facts;
  place->layer = layer;
}

void PathTable::remove(Stack stack, int layer, const std::string& path) {
  if (Node* const place = node(stack, path, false)) {
    place->gone = std::max(place->gone, layer);
    place->hidden = std::max(place->hidden, layer);
  }
}

void PathTable::hide_below(Stack stack, int layer, const std::string& directory) {
  if (Node* const place = node(stack, directory, false)) place->hidden = std::max(place->hidden, layer);
}

void PathTable::close() {
  std::uint64_t folder_bytes = 0;
  for (auto it = paths_.begin(); it != paths_.end(); ++it) {
    for (std::string_view folder = parent_of(it->first); !folder.empty() && folder_bytes <= kMaxFolderBytes; folder = parent_of(folder)) {
      if (!paths_.try_emplace(std::string(folder)).second) break;  // those above it come with it
      folder_bytes += folder.size();
    }
  }
  paths_.try_emplace(std::string());  // the root
  closed_ = true;
}

PathTable::State PathTable::state(Stack stack, const std::string& path) const {
  const Nodes* const nodes = find(path);
  static const Node kNothing;
  const Node& own = nodes ? (*nodes)[stack] : kNothing;
  int deleted = own.gone;
  for (std::string_view folder = path; !folder.empty();) {
    folder = parent_of(folder);
    const auto it = paths_.find(folder);
    if (it == paths_.end()) continue;
    const Node& above = it->second[stack];
    deleted = std::max(deleted, above.hidden);
    if (above.layer >= 0 && above.facts.type != '5') deleted = std::max(deleted, above.layer);
  }
  // What a layer itself brings is not deleted by it, whichever stands first in the tar.
  if (own.layer >= 0 && own.layer >= deleted) return {State::Is::present, &own.facts, own.layer, own.hidden >= 0};
  if (deleted >= 0) return {.is = State::Is::absent};
  return {};
}

}  // namespace riverbox::environment
