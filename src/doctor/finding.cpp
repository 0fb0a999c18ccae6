#include "doctor/finding.hpp"

#include <fmt/format.h>
#include <sys/statvfs.h>

#include <cerrno>

#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox::doctor {
namespace {

constexpr size_t kMaxTextBytes = 2000;
constexpr std::uint64_t kLittle = 10'000'000'000, kNothing = 1'000'000'000;  // an environment is a few GB

Findings one(Level level, std::string text, std::string mend) {
  Findings out(1);
  out[0] = {level, std::move(text), std::move(mend)};
  return out;
}

}  // namespace

Findings ok(std::string text) { return one(Level::ok, std::move(text), {}); }
Findings warning(std::string text, std::string mend) { return one(Level::warning, std::move(text), std::move(mend)); }
Findings problem(std::string text, std::string mend) { return one(Level::problem, std::move(text), std::move(mend)); }

void add(Findings& to, Findings more) {
  for (Finding& finding : more) to.push_back(std::move(finding));
}

std::string_view to_string(Level level) { return level == Level::ok ? "ok" : level == Level::warning ? "warning" : "problem"; }

std::string encode(const Findings& findings) {
  std::string out;
  for (const Finding& finding : findings)
    out += fmt::format("{}\t{}\t{}\n", to_string(finding.level), printable(finding.text, kMaxTextBytes), printable(finding.mend, kMaxTextBytes));
  return out;
}

Findings decode(std::string_view lines) {
  Findings out;
  for (const std::string& line : split(lines, '\n')) {
    const auto fields = split(line, '\t');
    if (fields.size() != 3) continue;
    add(out, one(fields[0] == "ok" ? Level::ok : fields[0] == "warning" ? Level::warning : Level::problem, fields[1], fields[2]));
  }
  return out;
}

Findings free_space(const std::string& what, const std::filesystem::path& path, const std::string& mend) {
  struct statvfs space {};
  if (::statvfs(path.c_str(), &space) != 0) throw IoError("look how much is free at " + path.string(), errno);
  const std::uint64_t free = std::uint64_t{space.f_bavail} * space.f_frsize, whole = std::uint64_t{space.f_blocks} * space.f_frsize;
  std::string text = fmt::format("{}: {} of {} are free", what, human_bytes(free), human_bytes(whole));
  if (free >= kLittle) return ok(std::move(text));
  return one(free >= kNothing ? Level::warning : Level::problem, std::move(text), mend);
}

}  // namespace riverbox::doctor
