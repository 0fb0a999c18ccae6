// Who is who: the token of the administrator, and those that were made for users. A token is told once, when it is made; what is kept is its hash.
#pragma once
#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/identity.hpp"
#include "base/ids.hpp"
#include "store/token_repository.hpp"

namespace riverbox::host {

inline constexpr const char* kAdministrator = "admin";  // the user of the token that the first start makes

class Tokens {
public:
  // `administrator`: the token of the token file or the configuration; empty: authentication is off. Reads the others.
  Tokens(store::TokenRepository& repository, std::string administrator, Clock clock = {});
  bool off() const { return administrator_hash_.empty(); }

  struct Wish {
    std::string user;  // "alice", "ci-runner", "alice@example.org"
    Role role = Role::user;
    std::optional<std::chrono::seconds> lifetime;
    std::string note;
  };
  struct Made {
    store::TokenRecord record;
    std::string token;
  };
  // Durable on return. Throws InvalidInput for a name that cannot be one, Conflict when authentication is off. State worker.
  Made create(const Wish& wish);
  // For a runner that is to join: it is worth one thing, and only for so long. State worker.
  Made invite(std::chrono::seconds lifetime);
  // The token of a node that joins. Throws Conflict when one of that name has joined before, or authentication is off. State worker.
  Made join(const NodeName& node);
  // A browser's session for whoever has this token: a token as any other, which ends with it, or after a day's work. nullopt: nobody of ours has it. State worker.
  std::optional<Made> open_session(const std::string& token);
  static constexpr std::chrono::hours kSession{12};
  // Nothing happens when it is none. State worker.
  void close_session(const std::string& token);
  // Whoever had the identity of this node has it no more. False: nobody had. State worker.
  bool forget_node(const std::string& node);
  bool knows_node(const std::string& node) const;
  bool knows_user(const std::string& user) const;  // somebody who has a token
  std::vector<store::TokenRecord> list() const;
  // Throws NotFound. It opens nothing any more when this returns. State worker.
  store::TokenRecord revoke(const std::string& id);
  // Whose token this is; nullopt: nobody's, or its time is over. Any thread; touches no disk.
  std::optional<Identity> find(const std::string& token);
  bool is_valid(const std::string& id) const;  // any thread
  std::function<void(const std::string& id)> on_end;  // set before the first call: a token opens nothing any more. State worker.
  // Notes on disk which were used since the last time, in one transaction. State worker, once in a while.
  void write_down_uses();

private:
  Made make(std::string user, Role role, std::optional<std::chrono::seconds> lifetime, std::string note, std::string parent = {});
  std::string administrator_id() const { return administrator_hash_.substr(0, 16); }
  template <typename Condition>
  void remove_where(const Condition& condition);

  struct Entry {
    store::TokenRecord record;
    std::optional<WallTime> expires;
    bool used = false;  // since it was last written down
  };
  store::TokenRepository& repository_;
  std::string administrator_hash_;
  Clock clock_;
  mutable std::mutex mutex_;
  std::map<std::string, Entry> by_hash_;
};

}  // namespace riverbox::host
