// riverbox __complete: called by the completion scripts at every TAB, so it must be quick and silent.
#include "applets/complete.hpp"

#include "applets/api_client.hpp"
#include "applets/commands.hpp"
#include "base/json.hpp"
#include "base/strings.hpp"
#include "net/http_client.hpp"
#include "net/security.hpp"

namespace riverbox::applets {

namespace {

// A person notices 200 ms; starting up and drawing take the rest.
constexpr auto kLiveTimeout = std::chrono::milliseconds(150);

const Option* option_called(const Resolution& so_far, const std::string& name) {
  for (const Command* command : so_far.path)
    for (const Option& option : command->options)
      for (const std::string& spelling : split(option.names, ','))
        if (spelling == name) return &option;
  return nullptr;
}

// "files" gives nothing: the shell does that better.
std::vector<std::string> values_of(const std::string& complete, const Resolution& so_far, const LiveNames& live) {
  if (complete.empty() || complete == "files") return {};
  for (const char* kind : {"containers", "environments", "nodes", "tasks", "tokens", "versions", "vps"})
    if (complete == kind) return live(complete, so_far);
  return split(complete, '|');
}

// The arguments of the command that have been given.
std::vector<std::string> positionals(const Resolution& so_far) {
  std::vector<std::string> given;
  bool only_positionals = false;
  for (size_t i = 0; i < so_far.words.size(); ++i) {
    const std::string& word = so_far.words[i];
    if (!only_positionals && word == "--") {
      only_positionals = true;
    } else if (!only_positionals && word.size() > 1 && word[0] == '-') {
      const Option* option = option_called(so_far, word);
      if (option && !option->value.empty()) ++i;
    } else {
      given.push_back(word);
    }
  }
  return given;
}

std::vector<std::string> option_names(const Resolution& so_far) {
  std::vector<std::string> names;
  for (auto command = so_far.path.rbegin(); command != so_far.path.rend(); ++command)
    for (const Option& option : (*command)->options)
      if (!option.hidden) names.push_back(option.long_name());
  names.push_back("--help");
  return names;
}

std::vector<std::string> next_words(const Resolution& so_far, const std::vector<std::string>& before, const std::string& current,
                                    const LiveNames& live) {
  const Command& command = *so_far.path.back();
  if (so_far.tail || so_far.unknown) return {};  // the task's own command line
  const Option* pending = before.empty() ? nullptr : option_called(so_far, before.back());
  if (pending && !pending->value.empty()) return values_of(pending->complete, so_far, live);
  const size_t equals = current.find('=');
  if (current.rfind("--", 0) == 0 && equals != std::string::npos) {
    const Option* option = option_called(so_far, current.substr(0, equals));
    std::vector<std::string> words;
    if (option)
      for (const std::string& value : values_of(option->complete, so_far, live)) words.push_back(current.substr(0, equals + 1) + value);
    return words;
  }
  if (current.rfind('-', 0) == 0) return option_names(so_far);
  if (!command.subcommands.empty()) {
    std::vector<std::string> names;
    for (const Command& sub : command.subcommands) names.push_back(sub.name);
    return names;
  }
  const size_t position = positionals(so_far).size();
  return position < command.arguments.size() ? values_of(command.arguments[position].complete, so_far, live) : std::vector<std::string>{};
}

std::string value_given(const Resolution& so_far, const std::string& name) {
  for (size_t i = 0; i < so_far.words.size(); ++i) {
    if (so_far.words[i] == name && i + 1 < so_far.words.size()) return so_far.words[i + 1];
    if (so_far.words[i].rfind(name + "=", 0) == 0) return so_far.words[i].substr(name.size() + 1);
  }
  return {};
}

bool fit_for_a_shell(const std::string& name) { return !name.empty() && printable(name) == name && name.find(' ') == std::string::npos; }

std::vector<std::string> ask_host(const std::string& kind, const Resolution& so_far) {
  const std::string file = value_given(so_far, "--config"), host = value_given(so_far, "--host");
  const auto given = [](const std::string& text) { return text.empty() ? std::nullopt : std::optional(text); };
  const Config config = config_of(given(file), given(host));
  const net::HostAccess access = net::host_access(config);
  net::HttpClient client(access.url, access.token);
  net::HttpClient::Options options;
  options.connect_timeout = options.total_timeout = kLiveTimeout;
  std::string path = "/api/complete/" + kind;
  if (const auto given = positionals(so_far); kind == "versions" && !given.empty()) path += "?name=" + percent_encoded(given[0]);
  const net::Response response = client.request("GET", path, {}, options);
  std::vector<std::string> names;
  const Json json = Json::parse(response.body, nullptr, false);
  if (response.status == 200 && json.is_array())
    for (const Json& name : json)
      if (name.is_string() && fit_for_a_shell(name.get<std::string>())) names.push_back(name.get<std::string>());
  return names;
}

}  // namespace

std::vector<std::string> candidates(std::span<const Applet> table, const std::vector<std::string>& words, const LiveNames& live) {
  if (words.empty()) return {};
  const std::string& current = words.back();
  std::vector<std::string> found;
  if (words.size() == 1) {
    for (const Applet& applet : table)
      if (!applet.summary.empty()) found.emplace_back(applet.name);
  } else {
    const std::string name = words[0].substr(words[0].find('.') + 1);  // also "hakuriver.docker"
    const std::vector<std::string> before(words.begin() + 1, words.end() - 1);
    for (const Applet& applet : table)
      if (applet.name == name && applet.describe) found = next_words(resolve(applet.describe(), before), before, current, live);
  }
  std::erase_if(found, [&current](const std::string& word) { return word.rfind(current, 0) != 0; });
  return found;
}

int run_complete(const Invocation& invocation) {
  try {
    std::string lines;
    for (const std::string& word : candidates(invocation.table, invocation.args, ask_host)) lines += word + "\n";
    write_out(lines);
  } catch (...) {
    // A message here would land in the middle of the line that is being typed.
  }
  return 0;
}

}  // namespace riverbox::applets
