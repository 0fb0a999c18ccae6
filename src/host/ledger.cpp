#include "host/ledger.hpp"

namespace riverbox::host {

void Ledger::hold(const TaskSpec& spec, const std::string& node) {
  const auto share = Usage::of(spec);
  if (entries_.emplace(Key{spec.id, spec.attempt}, Entry{node, share}).second) usage_[node].add(share);
}

bool Ledger::holds_on(const Key& key, const std::string& node) const {
  const auto entry = entries_.find(key);
  return entry != entries_.end() && entry->second.node == node;
}

bool Ledger::release(const Key& key) {
  const auto entry = entries_.find(key);
  if (entry == entries_.end()) return false;
  usage_[entry->second.node].remove(entry->second.share);
  entries_.erase(entry);
  return true;
}

void Ledger::take_over(const Ledger& other, const std::function<bool(const Key&)>& which) {
  for (const auto& [key, entry] : other.entries_)
    if (which(key) && entries_.emplace(key, entry).second) usage_[entry.node].add(entry.share);
}

std::vector<Ledger::Key> Ledger::holders_on(const std::string& node) const {
  std::vector<Key> holders;
  for (const auto& [key, entry] : entries_)
    if (entry.node == node) holders.push_back(key);
  return holders;
}

const Usage& Ledger::of(const std::string& node) const {
  static const Usage kNone;
  const auto usage = usage_.find(node);
  return usage == usage_.end() ? kNone : usage->second;
}

}  // namespace riverbox::host
