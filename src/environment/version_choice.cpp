#include "environment/version_choice.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <chrono>
#include <thread>
#include <utility>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"

namespace riverbox::environment {
namespace {

constexpr std::chrono::milliseconds kLookAgain{50}, kPatienceWithNfs{3000};

NotFound no_such_environment(const Share& share, const EnvironmentName& name) {
  std::vector<std::string> names;
  for (const auto& [other, versions] : share.list(false)) names.push_back(other.str());  // throws when there is no share at all
  const std::string fact = fmt::format("there is no environment '{}' in '{}'", name.str(), share.dir().string());
  if (names.empty()) return NotFound(fact, "No environment is packaged yet: make one with create-container, docker-shell and create-tar.");
  std::string next;
  if (const auto close = nearest(name.str(), names)) next = fmt::format("Did you mean '{}'? ", *close);
  constexpr size_t kShown = 20;
  const size_t count = names.size();
  if (count > kShown) names.resize(kShown);
  next += fmt::format("There are: {}{}.", join(names, ", "), count > kShown ? fmt::format(" and {} more", count - kShown) : "");
  return NotFound(fact, next);
}

std::optional<Version> version_on_share(const Share& share, const EnvironmentName& name, const std::string& tarball) {
  const auto parsed = Share::parse_file_name(tarball);
  if (!parsed || parsed->first != name) return std::nullopt;
  const auto st = os::stat_beneath(share.place_of(tarball));
  if (!st || !S_ISREG(st->st_mode) || st->st_size == 0) return std::nullopt;
  return Version{parsed->second, tarball, static_cast<std::uint64_t>(st->st_size), {}};
}

// Asks again for a while: a name that is new on the server may be unknown here for a moment.
template <class Look>
std::optional<Version> look_patiently(const CancelToken& cancel, Look look) {
  const auto give_up = std::chrono::steady_clock::now() + kPatienceWithNfs;
  for (;;) {
    if (auto version = look()) return version;
    if (std::chrono::steady_clock::now() >= give_up) return std::nullopt;
    cancel.check("looking for an environment");
    std::this_thread::sleep_for(kLookAgain);
  }
}

}  // namespace

Version choose_newest(const Share& share, const EnvironmentName& name, const std::string& hint, const CancelToken& cancel) {
  const auto announced = Share::parse_file_name(hint);
  const bool usable_hint = announced && announced->first == name;
  if (!hint.empty() && !usable_hint) log::warning("environment", "the announced archive is not of this environment", {{"archive", hint}, {"environment", name.str()}});
  if (!usable_hint) {
    if (auto newest = share.newest(name)) return std::move(*newest);
    throw no_such_environment(share, name);
  }
  auto found = look_patiently(cancel, [&] {
    auto newest = share.newest(name);
    return newest && newest->timestamp >= announced->second ? newest : version_on_share(share, name, hint);
  });
  if (found) return std::move(*found);
  throw NotFound(fmt::format("the host has announced '{}', but '{}' does not show it", hint, share.dir().string()),
                 "Check that this node mounts the same share as the host, and [paths] shared_dir.");
}

Version choose_exactly(const Share& share, const EnvironmentName& name, const std::string& tarball, const CancelToken& cancel) {
  if (auto found = look_patiently(cancel, [&] { return version_on_share(share, name, tarball); })) return std::move(*found);
  throw NotFound(fmt::format("version '{}' of environment '{}' is not on the share", printable(tarball, 200), name.str()),
                 fmt::format("`hakuriver.docker versions {}` shows those there are; `pin` keeps one.", name.str()));
}

}  // namespace riverbox::environment
