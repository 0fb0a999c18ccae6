// Environments: an archive that a runner has written becomes a version.
#include "base/error.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"
#include "environment/republish.hpp"
#include "host/environment_turn.hpp"
#include "os/atomic_file.hpp"

namespace riverbox::host {
namespace {

// Whatever becomes of it, it is not needed afterwards.
class Intake {
public:
  Intake(const environment::Share& share, std::string file) : share_(share), file_(std::move(file)) {
    if (!os::PendingFile::is_temporary_name(file_) || file_.find('/') != std::string::npos) throw InvalidInput("'" + printable(file_, 200) + "' is no archive that a runner has written");
  }
  ~Intake() {
    try {
      os::unlink_beneath(place());
    } catch (const std::exception& error) {
      log::warning("host", "a file is left over on the share for a day", {{"file", file_}, {"reason", error.what()}});
    }
  }
  Intake(Intake&&) = delete;
  os::Place place() const { return share_.place_of(file_); }

private:
  const environment::Share& share_;
  const std::string file_;
};

}  // namespace

// The host vouches for it, so it reads every byte of it first.
Environments::TakenIn Environments::take_in(const EnvironmentName& name, const std::string& file, const StepCallback& progress) {
  const Intake intake(share_, file);
  progress({"waiting for its turn"});
  Turn turn(*this, name);
  for (const auto& p : publications_.all())
    if (p.name == name.str()) undo_interrupted(p);
  const auto status = os::stat_beneath(intake.place());
  if (!status) throw NotFound("the archive that the runner has written is not on the host's share", "Host and runner must see the same folder: look at [paths] shared_dir of both.");
  const auto whole = environment::verify_archive(intake.place(), {}, [&](std::uint64_t bytes, std::chrono::nanoseconds) { progress({"verifying", bytes, static_cast<std::uint64_t>(status->st_size)}); });
  progress({"publishing", whole.size_bytes, whole.size_bytes});
  const auto sign = [&](std::int64_t number, const environment::Archive& archive) {
    return options_.keys ? std::optional(options_.keys->sign(name, number, archive)) : std::nullopt;
  };
  TakenIn out{.version = environment::republish(share_, name, {.tarball = file}, sign, {})};
  out.pruned = environment::prune_versions(share_, name, packaging_->keep_versions, out.version.tarball, [&](const environment::Version& old) { return options_.in_use(name, old); });
  log::info("host", "version published from a VPS", {{"environment", name.str()}, {"tarball", out.version.tarball}, {"bytes", std::to_string(out.version.size_bytes)}});
  tell_published("published", name, out.version, out.pruned);
  return out;
}

}  // namespace riverbox::host
