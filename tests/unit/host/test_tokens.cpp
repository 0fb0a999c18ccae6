#include <doctest/doctest.h>

#include "base/error.hpp"
#include "base/time.hpp"
#include "host/tokens.hpp"
#include "store/host_store.hpp"

using namespace riverbox;
using namespace riverbox::host;
using namespace std::chrono_literals;

namespace {

struct Fixture {
  store::Database database{":memory:", store::kHostMigrations};
  store::TokenRepository repository{database};
  WallTime now = parse_rfc3339("2026-11-23T10:00:00Z");
  Clock clock{.wall = [this] { return now; }};
  Tokens tokens{repository, "first", clock};

  Tokens::Made make(const std::string& user, Role role = Role::user, std::optional<std::chrono::seconds> lifetime = {}) {
    return tokens.create({.user = user, .role = role, .lifetime = lifetime, .note = "laptop"});
  }
};

}  // namespace

TEST_CASE("whoever has a token is who it was made for, also after a restart") {
  Fixture f;
  const auto alice = f.make("alice"), olga = f.make("olga", Role::operator_);
  CHECK(alice.token.starts_with("rb_" + alice.record.id + "_"));
  CHECK(alice.token != olga.token);
  Tokens restarted(f.repository, "first", f.clock);
  for (Tokens* tokens : {&f.tokens, &restarted}) {
    const auto found = tokens->find(alice.token);
    REQUIRE(found);
    CHECK((found->name == "alice" && found->role == Role::user && found->known));
    CHECK(tokens->find(olga.token)->role == Role::operator_);
    CHECK(tokens->find("first")->role == Role::admin);
    CHECK(tokens->find("first")->name == kAdministrator);
    for (const auto& wrong : {std::string(), std::string("other"), alice.token + "0", alice.token.substr(1), alice.record.hash, "rb_" + alice.record.id}) CHECK_FALSE(tokens->find(wrong));
  }
}

TEST_CASE("what is kept does not open anything") {
  Fixture f;
  const auto made = f.make("alice");
  const auto kept = f.repository.all();
  REQUIRE(kept.size() == 1);
  CHECK(kept[0].hash != made.token);
  CHECK(kept[0].hash.find(made.token.substr(12)) == std::string::npos);
  CHECK((kept[0].user == "alice" && kept[0].note == "laptop" && kept[0].created_at == "2026-11-23T10:00:00.000000000Z"));
}

TEST_CASE("a token ends when it expires and when it is revoked") {
  Fixture f;
  const auto brief = f.make("alice", Role::user, 60s), lasting = f.make("alice");
  f.now += 59s;
  CHECK(f.tokens.find(brief.token));
  f.now += 1s;
  CHECK_FALSE(f.tokens.find(brief.token));
  CHECK(f.tokens.find(lasting.token));
  CHECK(f.tokens.revoke(lasting.record.id).user == "alice");
  CHECK_FALSE(f.tokens.find(lasting.token));
  CHECK_FALSE(Tokens(f.repository, "first", f.clock).find(lasting.token));
  CHECK_THROWS_WITH_AS(f.tokens.revoke(lasting.record.id), doctest::Contains("token list"), NotFound);
  CHECK(f.tokens.list().size() == 1);  // one that has expired is still shown
}

TEST_CASE("when a token was last used is kept, and written down from time to time") {
  Fixture f;
  const auto made = f.make("alice");
  CHECK(f.tokens.list()[0].last_used_at.empty());
  f.now += 1h;
  f.tokens.find(made.token);
  CHECK(f.tokens.list()[0].last_used_at == to_rfc3339(f.now));
  CHECK(f.repository.all()[0].last_used_at.empty());
  f.tokens.write_down_uses();
  CHECK(f.repository.all()[0].last_used_at == to_rfc3339(f.now));
  const auto changes = f.database.changes();
  f.tokens.write_down_uses();
  CHECK(f.database.changes() == changes);
}

TEST_CASE("users have names that can be printed, and tokens lifetimes that make sense") {
  Fixture f;
  for (const char* good : {"a", "alice@example.org", "ci-runner_2", "7"}) CHECK_NOTHROW(f.make(good));
  for (const char* bad : {"", "-x", "two words", "a/b", "al\nice", "\xc3\xa9", "@x"}) CHECK_THROWS_AS(f.make(bad), InvalidInput);
  CHECK_THROWS_AS(f.make(std::string(65, 'a')), InvalidInput);
  CHECK_THROWS_AS(f.make("a", Role::user, 0s), InvalidInput);
  CHECK_THROWS_AS(f.make("a", Role::user, std::chrono::hours(24 * 4000)), InvalidInput);
  CHECK_THROWS_AS(f.tokens.create({.user = "a", .note = std::string(201, 'x')}), InvalidInput);
  CHECK_THROWS_AS(f.tokens.create({.user = "a", .note = "\xff"}), InvalidInput);
  Tokens off(f.repository, "", f.clock);
  CHECK(off.off());
  CHECK_THROWS_WITH_AS(off.create({.user = "a"}), doctest::Contains("authentication is off"), Conflict);
  CHECK_FALSE(off.find(""));
}

TEST_CASE("a session ends with the token it was opened with, by itself, and after its time") {
  Fixture f;
  const auto alice = f.make("alice", Role::operator_);
  const auto session = f.tokens.open_session(alice.token);
  REQUIRE(session);
  CHECK(session->token != alice.token);
  CHECK((f.tokens.find(session->token)->name == "alice" && f.tokens.find(session->token)->role == Role::operator_));
  CHECK(Tokens(f.repository, "first", f.clock).find(session->token));
  const auto second = f.tokens.open_session(session->token);  // of the same token, not of the session
  REQUIRE(second);
  f.tokens.close_session(session->token);
  CHECK_FALSE(f.tokens.find(session->token));
  CHECK(f.tokens.find(second->token));
  f.tokens.close_session(alice.token);
  CHECK(f.tokens.find(alice.token));
  f.tokens.revoke(alice.record.id);
  CHECK_FALSE(f.tokens.find(second->token));
  CHECK(f.repository.all().empty());
}

TEST_CASE("the sessions of the administrator end when the host's token is another one") {
  Fixture f;
  const auto session = f.tokens.open_session("first");
  REQUIRE(session);
  CHECK(Tokens(f.repository, "first", f.clock).find(session->token)->role == Role::admin);
  CHECK_FALSE(Tokens(f.repository, "other", f.clock).find(session->token));
}

TEST_CASE("a session lasts no longer than its token, and is forgotten after its time") {
  Fixture f;
  const auto soon = f.make("alice", Role::user, 1h), lasting = f.make("bob");
  const auto first = f.tokens.open_session(soon.token), second = f.tokens.open_session(lasting.token);
  f.now += 1h;
  CHECK_FALSE(f.tokens.find(first->token));
  CHECK_FALSE(f.tokens.open_session(soon.token));
  CHECK(f.tokens.find(second->token));
  f.now += Tokens::kSession;
  CHECK_FALSE(f.tokens.find(second->token));
  f.tokens.open_session(lasting.token);
  CHECK(f.repository.all().size() == 3);  // both tokens and the last session
}

TEST_CASE("no session for who is nobody, joins, or is a node") {
  Fixture f;
  CHECK_FALSE(f.tokens.open_session(""));
  CHECK_FALSE(f.tokens.open_session("made-up"));
  CHECK_FALSE(f.tokens.open_session(f.tokens.invite(1h).token));
  CHECK_FALSE(f.tokens.open_session(f.tokens.join(NodeName::parse("node1")).token));
}
