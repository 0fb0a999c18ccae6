#include "host/tokens.hpp"

#include <algorithm>
#include <cctype>
#include <tuple>
#include <utility>

#include "base/error.hpp"
#include "base/sha256.hpp"
#include "base/strings.hpp"
#include "base/time.hpp"

namespace riverbox::host {
namespace {

constexpr size_t kIdBytes = 4, kSecretBytes = 24;  // of randomness
constexpr size_t kMostSessions = 32;  // of one token; beyond, the oldest ends
constexpr size_t kMaxUser = 64, kMaxNote = 200;
constexpr std::chrono::hours kLongest{24 * 3650}, kLongestInvitation{24 * 30};

// What is looked up is a hash: how long a look-up takes says nothing about a token.
std::string hash_of(const std::string& token) { return Sha256::of(token).str(); }

Conflict authentication_is_off(std::string next) { return Conflict("authentication is off on this host ([security] auth = \"none\")", std::move(next)); }

std::string checked_user(const std::string& user) {
  const auto fits = [](unsigned char c) { return std::isalnum(c) || c == '.' || c == '_' || c == '-' || c == '@'; };
  if (user.empty() || user.size() > kMaxUser || !std::isalnum(static_cast<unsigned char>(user.front())) || !std::all_of(user.begin(), user.end(), fits))
    throw InvalidInput("'" + printable(user, 100) + "' cannot be the name of a user", "Letters, digits and . _ - @, at most 64, the first a letter or a digit.");
  return user;
}

}  // namespace

Tokens::Tokens(store::TokenRepository& repository, std::string administrator, Clock clock)
    : repository_(repository), administrator_hash_(administrator.empty() ? "" : hash_of(administrator)), clock_(std::move(clock)) {
  for (auto& record : repository_.all()) {
    const auto expires = record.expires_at.empty() ? std::nullopt : std::optional(parse_rfc3339(record.expires_at));
    by_hash_.emplace(record.hash, Entry{record, expires});
  }
  remove_where([this](const Entry& entry) {  // opened with what was the administrator's token before this one
    const auto& parent = entry.record.parent;
    return !parent.empty() && parent != administrator_id() && std::none_of(by_hash_.begin(), by_hash_.end(), [&](const auto& other) { return other.second.record.id == parent; });
  });
}

// First on disk: what fails there is still in force, and whoever asked is told so.
template <typename Condition>
void Tokens::remove_where(const Condition& condition) {
  std::vector<store::TokenRecord> found;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [hash, entry] : by_hash_)
      if (condition(entry)) found.push_back(entry.record);
  }
  for (const auto& record : found) {
    repository_.remove(record.id);
    {
      const std::lock_guard lock(mutex_);
      by_hash_.erase(record.hash);
    }
    if (on_end) on_end(record.id);
  }
}

bool Tokens::is_valid(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  return id == administrator_id() || std::any_of(by_hash_.begin(), by_hash_.end(), [&](const auto& entry) { return entry.second.record.id == id; });
}

std::optional<Tokens::Made> Tokens::open_session(const std::string& token) {
  remove_where([now = clock_.wall()](const Entry& entry) { return !entry.record.parent.empty() && entry.expires && *entry.expires <= now; });
  const auto identity = find(token);
  if (!identity || identity->role < Role::viewer) return std::nullopt;
  std::string parent = administrator_id();
  std::chrono::seconds lifetime = kSession;
  {
    const std::lock_guard lock(mutex_);
    if (const auto entry = by_hash_.find(hash_of(token)); entry != by_hash_.end()) {
      const auto& [record, expires, used] = entry->second;
      parent = record.parent.empty() ? record.id : record.parent;
      if (expires) lifetime = std::min(lifetime, std::chrono::duration_cast<std::chrono::seconds>(*expires - clock_.wall()));
    }
  }
  std::vector<store::TokenRecord> open = list();  // oldest first
  std::erase_if(open, [&](const auto& record) { return record.parent != parent; });
  for (size_t i = 0; i + kMostSessions <= open.size(); ++i) revoke(open[i].id);
  return make(identity->name, identity->role, lifetime, "browser", std::move(parent));
}

void Tokens::close_session(const std::string& token) {
  remove_where([hash = hash_of(token)](const Entry& entry) { return !entry.record.parent.empty() && entry.record.hash == hash; });
}

Tokens::Made Tokens::create(const Wish& wish) {
  if (off()) throw authentication_is_off("Set it to \"token\" and restart the host; then tokens mean something.");
  if (wish.user == kAdministrator && wish.role != Role::admin) throw InvalidInput("'admin' is the user of the host's own token", "Choose another name, or the role admin.");
  if (wish.note.size() > kMaxNote || valid_utf8(wish.note) != wish.note) throw InvalidInput("the note of a token is a text of at most 200 bytes");
  if (wish.lifetime && (wish.lifetime->count() <= 0 || *wish.lifetime > kLongest)) throw InvalidInput("a token expires after at most ten years", "Say for example 90d, or nothing at all.");
  return make(checked_user(wish.user), wish.role, wish.lifetime, wish.note);
}

Tokens::Made Tokens::invite(std::chrono::seconds lifetime) {
  if (off()) throw authentication_is_off("A runner needs nothing to join: riverbox runner --host URL.");
  if (lifetime.count() <= 0 || lifetime > kLongestInvitation) throw InvalidInput("an invitation is valid for at most 30 days", "Say for example 1h.");
  for (const auto& record : list())  // those of before are worth nothing any more
    if (record.role == Role::joiner && parse_rfc3339(record.expires_at) <= clock_.wall()) revoke(record.id);
  return make("", Role::joiner, lifetime, "for runners that join");
}

Tokens::Made Tokens::join(const NodeName& node) {
  if (off()) throw authentication_is_off("A runner needs nothing to join: riverbox runner --host URL.");
  if (knows_node(node.str()))
    throw Conflict("a node called '" + node.str() + "' has joined already", "If it is gone or has lost its state: riverbox node rm " + node.str() + ". Else give this one another name with --name.");
  return make(node.str(), Role::node, {}, "");
}

bool Tokens::knows_node(const std::string& node) const {
  const std::lock_guard lock(mutex_);
  return std::any_of(by_hash_.begin(), by_hash_.end(), [&](const auto& entry) { return entry.second.record.role == Role::node && entry.second.record.user == node; });
}

bool Tokens::knows_user(const std::string& user) const {
  const std::lock_guard lock(mutex_);
  return user == kAdministrator || std::any_of(by_hash_.begin(), by_hash_.end(), [&](const auto& entry) { return entry.second.record.role >= Role::viewer && entry.second.record.user == user; });
}

bool Tokens::forget_node(const std::string& node) {
  bool known = false;
  for (const auto& record : list()) {
    if (record.role != Role::node || record.user != node) continue;
    revoke(record.id);
    known = true;
  }
  return known;
}

Tokens::Made Tokens::make(std::string user, Role role, std::optional<std::chrono::seconds> lifetime, std::string note, std::string parent) {
  const auto now = clock_.wall();
  Made made;
  made.record = {.id = random_hex(kIdBytes), .hash = {}, .user = std::move(user), .role = role, .note = std::move(note), .created_at = to_rfc3339(now),
                 .expires_at = lifetime ? to_rfc3339(now + *lifetime) : "", .last_used_at = {}, .parent = std::move(parent)};
  made.token = "rb_" + made.record.id + "_" + random_hex(kSecretBytes);  // a scanner of published code knows it by its beginning
  made.record.hash = hash_of(made.token);
  repository_.insert(made.record);
  const std::lock_guard lock(mutex_);
  by_hash_.emplace(made.record.hash, Entry{made.record, lifetime ? std::optional(parse_rfc3339(made.record.expires_at)) : std::nullopt});
  return made;
}

std::vector<store::TokenRecord> Tokens::list() const {
  std::vector<store::TokenRecord> records;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [hash, entry] : by_hash_) records.push_back(entry.record);
  }
  std::sort(records.begin(), records.end(), [](const auto& a, const auto& b) { return std::tie(a.created_at, a.id) < std::tie(b.created_at, b.id); });
  return records;
}

store::TokenRecord Tokens::revoke(const std::string& id) {
  std::optional<store::TokenRecord> revoked;
  {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(by_hash_.begin(), by_hash_.end(), [&](const auto& entry) { return entry.second.record.id == id; });
    if (found != by_hash_.end()) revoked = found->second.record;
  }
  if (!revoked) throw NotFound("there is no token '" + printable(id, 60) + "'", "`riverbox token list` shows them; the id is in the first column.");
  remove_where([&](const Entry& entry) { return entry.record.id == id || entry.record.parent == id; });
  return *revoked;
}

std::optional<Identity> Tokens::find(const std::string& token) {
  const std::string hash = hash_of(token);
  if (!off() && hash == administrator_hash_) return Identity{kAdministrator, Role::admin, true, administrator_id()};
  const std::lock_guard lock(mutex_);
  const auto found = by_hash_.find(hash);
  if (found == by_hash_.end()) return std::nullopt;
  Entry& entry = found->second;
  const auto now = clock_.wall();
  if (entry.expires && *entry.expires <= now) return std::nullopt;
  entry.record.last_used_at = to_rfc3339(now);
  entry.used = true;
  return Identity{entry.record.user, entry.record.role, true, entry.record.id};
}

void Tokens::write_down_uses() {
  std::vector<std::pair<std::string, std::string>> used;
  {
    const std::lock_guard lock(mutex_);
    for (auto& [hash, entry] : by_hash_)
      if (std::exchange(entry.used, false)) used.emplace_back(entry.record.id, entry.record.last_used_at);
  }
  if (!used.empty()) repository_.used(used);
}

}  // namespace riverbox::host
