// What the attempts that have a place hold, by node: from their assignment until their runner says that they are over. An attempt that was given up may hold something
// beside the one that replaces it. Pure; not thread-safe.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "host/scheduler.hpp"

namespace riverbox::host {

class Ledger {
public:
  struct Key {
    TaskId id;
    int attempt = 1;
    bool operator==(const Key&) const = default;
  };
  void hold(const TaskSpec& spec, const std::string& node);  // again: nothing happens
  bool holds(const Key& key) const { return entries_.contains(key); }
  bool holds_on(const Key& key, const std::string& node) const;
  bool release(const Key& key);                              // false: it held nothing
  // What those hold in `other` that `which` names and that hold nothing here.
  void take_over(const Ledger& other, const std::function<bool(const Key&)>& which);
  const Usage& of(const std::string& node) const;
  std::vector<Key> holders_on(const std::string& node) const;

private:
  struct Entry {
    std::string node;
    Usage share;
  };
  struct Hash {
    size_t operator()(const Key& key) const { return std::hash<std::uint64_t>()(key.id.value()) ^ static_cast<size_t>(key.attempt); }
  };
  std::unordered_map<Key, Entry, Hash> entries_;
  std::map<std::string, Usage> usage_;
};

}  // namespace riverbox::host
