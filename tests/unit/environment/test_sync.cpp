#include <doctest/doctest.h>

#include "environment/sync.hpp"

using namespace riverbox;
using namespace riverbox::environment;

// fault: clock-wrong
TEST_CASE("needs_sync compares what the image is, never clocks or tags") {
  const WallTime created = parse_rfc3339("2026-11-21T23:10:12.71186329Z");
  const Identity wanted{{"sha256:aa", "sha256:bb"}, created};
  docker::Image local;
  local.diff_ids = wanted.diff_ids;
  local.created = created;
  CHECK(Syncer::needs_sync(std::nullopt, wanted));
  CHECK_FALSE(Syncer::needs_sync(local, wanted));

  docker::Image other_store = local;  // a containerd store has another Id for the same image
  other_store.id = "sha256:manifest";
  other_store.created = parse_rfc3339("2026-11-21T23:10:12.711863290Z");  // the zero is dropped by some engines
  CHECK_FALSE(Syncer::needs_sync(other_store, wanted));

  docker::Image swapped = local;
  std::swap(swapped.diff_ids[0], swapped.diff_ids[1]);
  CHECK(Syncer::needs_sync(swapped, wanted));

  docker::Image shorter = local;
  shorter.diff_ids.pop_back();
  CHECK(Syncer::needs_sync(shorter, wanted));

  docker::Image only_config_changed = local;
  only_config_changed.created += std::chrono::nanoseconds(1);
  CHECK(Syncer::needs_sync(only_config_changed, wanted));

  docker::Image younger = local;  // the future of a wrong clock proves nothing
  younger.created += std::chrono::hours(24 * 365);
  CHECK(Syncer::needs_sync(younger, wanted));
}
