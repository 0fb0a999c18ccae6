// Paths as several stacks of layers leave them. What a stack did not touch is not in it: the layers of both versions are never
// unpacked, only what differs is laid over each other here.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "environment/layer_reader.hpp"

namespace riverbox::environment {

// The stacks of a comparison: the layers that only one version has, and those below that both have.
enum Stack : size_t { kOnlyA, kOnlyB, kShared, kStacks };

struct PathFacts {
  std::optional<std::uint64_t> size_bytes;  // unknown for a hard link to a file of another layer
  std::int64_t modified = 0;
  std::uint64_t target = 0;                 // of symlinks and devices: a hash, only ever compared
  std::uint32_t mode = 0, uid = 0, gid = 0;
  char type = '0';
};

class PathTable {
public:
  explicit PathTable(size_t max_paths) : max_paths_(max_paths) {}

  // One layer of a stack, in any order: `layer` is its number in the chain, and the higher one counts. Paths beyond the limit are
  // left out and counted; a path that was left out once stays left out, so that all stacks agree.
  void add(Stack stack, int layer, const LayerEntry& entry);
  void remove(Stack stack, int layer, const std::string& path);
  void hide_below(Stack stack, int layer, const std::string& directory);

  // From now on only paths that are there, and the folders they lie in, are taken: for the layers that both versions have.
  void close();
  bool contains(const std::string& path) const { return find(path) != nullptr; }

  struct State {
    enum class Is { untouched, absent, present } is = Is::untouched;
    const PathFacts* facts = nullptr;  // present
    int layer = -1;                    // present: where it comes from
    bool emptied = false;              // what layers below have in this folder is gone
  };
  State state(Stack stack, const std::string& path) const;
  // Some stack of one version says something about it.
  template <class Visit>
  void for_each_touched(const Visit& visit) const {
    for (const auto& [path, nodes] : paths_)
      if (nodes[kOnlyA].touched() || nodes[kOnlyB].touched()) visit(path);
  }
  std::uint64_t left_out() const { return left_out_; }

private:
  struct Node {
    PathFacts facts;
    int layer = -1;   // of `facts`
    int gone = -1;    // the highest layer that deletes the path
    int hidden = -1;  // the highest layer that deletes everything in it
    bool touched() const { return layer >= 0 || gone >= 0; }
  };
  using Nodes = std::array<Node, kStacks>;

  Node* node(Stack stack, const std::string& path, bool counted);
  const Nodes* find(const std::string& path) const;

  std::map<std::string, Nodes, std::less<>> paths_;
  size_t max_paths_;
  std::uint64_t path_bytes_ = 0, left_out_ = 0;
  bool closed_ = false;
};

}  // namespace riverbox::environment
