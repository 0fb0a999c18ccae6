// riverbox doctor: what is wrong with this machine, and what mends it.
#include "base/json.hpp"
#include "doctor/checks.hpp"

#include "applets/api_client.hpp"
#include "applets/commands.hpp"
#include "applets/exit_codes.hpp"
#include "applets/views.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"
#include "os/process.hpp"

namespace riverbox::applets {

namespace {

using doctor::Examined;
using doctor::Level;

constexpr std::chrono::seconds kPatience{10};
constexpr const char* kMachines = "client|host|runner";

// A mistake in the file is a finding like others, and the only one.
std::vector<Examined> mistake(const Error& error) {
  return {{"config", doctor::problem(error.fact(), error.next().empty() ? "riverbox config show" : error.next())}};
}

Examined config_findings(const Config& config) {
  Examined out{"config", {}};
  const std::string file = config.file.string();
  for (const std::string& warning : config.warnings) add(out.findings, doctor::warning(warning, file.empty() ? "riverbox config show" : "${EDITOR:-vi} " + shell_quoted(file)));
  if (out.findings.empty()) out.findings = doctor::ok(file.empty() ? "there is no configuration file; the defaults hold" : file);
  return out;
}

doctor::Situation situation_of(const Arguments& arguments) {
  doctor::Situation here = doctor::situation_of(config_of(arguments));
  const auto named = arguments.all("--as");
  if (named.empty()) return here;
  here.host = here.runner = false;
  for (const std::string& machine : named) {
    if (machine == "host") here.host = true;
    else if (machine == "runner") here.runner = true;
    else if (machine != "client") throw UsageError("--as: '" + machine + "' is no kind of machine.", "It is one of client, host and runner.");
  }
  return here;
}

Colour colour_of(Level level) { return level == Level::ok ? Colour::green : level == Level::warning ? Colour::yellow : Colour::red; }

void print_for_people(const std::vector<Examined>& examined, const std::string& what) {
  write_out("riverbox doctor on " + os::host_name() + ", as " + what + "\n");
  Table table({"", "CHECK", "FINDING"});
  for (const auto& [check, findings] : examined)
    for (const auto& [level, text, mend] : findings)
      table.add({{std::string(to_string(level)), colour_of(level)}, std::string(check), mend.empty() ? text : text + ". Mend it: " + mend});
  write_out(table.render(stdout_has_colours()));
}

Json as_json(const std::vector<Examined>& examined, const std::string& what) {
  Json findings = Json::array();
  for (const auto& [check, found] : examined)
    for (const auto& [level, text, mend] : found)
      findings.push_back({{"check", std::string(check)}, {"level", std::string(to_string(level))}, {"text", text}, {"mend", mend.empty() ? Json(nullptr) : Json(mend)}});
  return {{"machine", os::host_name()}, {"as", what}, {"findings", std::move(findings)}};
}

bool has_problem(const std::vector<Examined>& examined) {
  for (const Examined& one : examined)
    for (const auto& finding : one.findings)
      if (finding.level == Level::problem) return true;
  return false;
}

}  // namespace

const Command& doctor_command() {
  static const Command command{
      .name = "doctor",
      .examples = "{doctor}\n"
                  "{doctor} --as runner\n"
                  "{doctor} --json | jq -r '.findings[] | select(.level != \"ok\") | .text, .mend'",
      .details = "Looks at the host and the token, the clock, Docker, the share, the state folder, the port, the kernel and GPUs: what\n"
                 "concerns a machine such as this one. Changes nothing; the share gets a small file for a moment. What does not answer\n"
                 "within 10 s is a finding, too. The exit status is 1 if there is a problem; a warning is none.",
      .options = {config_option(),
                  {.names = "--host", .value = "URL", .help = "the riverbox host, such as http://node0:8000"},
                  {.names = "--as", .value = "MACHINE", .help = "client, host or runner; may be given twice (what its state folder tells)", .complete = kMachines},
                  {.names = "--json", .help = "print JSON, as is done anyway when the output is piped"}},
  };
  return command;
}

int run_doctor(const Invocation& invocation) {
  const Arguments arguments = parse(doctor_command(), invocation);
  std::vector<Examined> examined;
  std::string what = "unknown";
  try {
    const doctor::Situation here = situation_of(arguments);
    what = here.text();
    examined = doctor::examine(here, kPatience);
    examined.insert(examined.begin(), config_findings(here.config));
  } catch (const ConfigError& error) {
    examined = mistake(error);
  }
  if (wants_json(arguments)) print(as_json(examined, what));
  else print_for_people(examined, what);
  return has_problem(examined) ? kExitRefused : 0;
}

}  // namespace riverbox::applets
