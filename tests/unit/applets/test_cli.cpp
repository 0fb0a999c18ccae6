#include "applets/client.hpp"
#include "support.hpp"

using namespace riverbox::applets;
using Words = std::vector<std::string>;

namespace {

Arguments docker(Words words) {
  words.insert(words.begin(), "hakuriver.docker");
  return parse(docker_command(), called(words));
}

// The client's flat form, after the rewriting of old flags.
Resolution flat(const Words& words) { return resolve(client_command(), modern_words(words)); }

Words tail_of(const Words& words) {
  const Resolution meant = flat(words);
  REQUIRE(meant.tail);
  return *meant.tail;
}

std::string help_of(const Command& command, const Words& argv) {
  try {
    parse(command, called(argv));
  } catch (const HelpRequest& help) {
    return help.text;
  }
  FAIL("no help");
  return {};
}

}  // namespace

TEST_CASE("options of the group stand before or after the subcommand") {
  for (const Words& words : {Words{"--config", "f", "create-container", "img", "name"}, Words{"create-container", "--config", "f", "img", "name"},
                             Words{"create-container", "img", "--config=f", "name"}, Words{"create-container", "img", "name", "--config", "f"}}) {
    const Arguments arguments = docker(words);
    CHECK(arguments.command->name == "create-container");
    CHECK(arguments.value("--config") == "f");
    CHECK(arguments.value("IMAGE") == "img");
    CHECK(arguments.value("NAME") == "name");
    CHECK_FALSE(arguments.has("--json"));
  }
  CHECK(docker({"--json", "list-tars"}).has("--json"));
  CHECK(docker({"list-tars", "--host", "a", "--host", "b"}).value("--host") == "b");  // the last one counts
}

TEST_CASE("a name that begins with a dash needs --") {
  CHECK(docker({"delete-container", "--", "-rf"}).value("NAME") == "-rf");
  CHECK(docker({"delete-container", "--", "--json"}).value("NAME") == "--json");
  const std::string error = usage_error([] { docker({"delete-container", "-rf"}); });
  CHECK(contains(error, "unknown option '-rf'"));
  CHECK(contains(error, "write '--' before it"));
}

TEST_CASE("usage errors name the word, the nearest right one, and where help is") {
  const std::string command = usage_error([] { docker({"list-container"}); });
  CHECK(contains(command, "unknown command 'list-container'. Did you mean 'list-containers'?"));
  CHECK(contains(command, "See 'hakuriver.docker --help'."));
  CHECK(contains(usage_error([] { docker({"list-tars", "--jsn"}); }), "unknown option '--jsn'. Did you mean '--json'?"));
  const std::string missing = usage_error([] { docker({"create-container", "img"}); });
  CHECK(contains(missing, "NAME is missing"));
  CHECK(contains(missing, "Usage: hakuriver.docker create-container [OPTIONS] IMAGE NAME"));
  CHECK(contains(usage_error([] { docker({"stop-container", ""}); }), "NAME is empty"));
  CHECK(contains(usage_error([] { docker({"stop-container", "a", "b"}); }), "unexpected argument 'b'"));
  CHECK(contains(usage_error([] { docker({"list-tars", "--config"}); }), "--config needs a value"));
  CHECK(contains(usage_error([] { docker({"--json"}); }), "which command?"));
}

TEST_CASE("an option's empty value is a value") {
  const Arguments shell = parse(docker_shell_command(), called({"hakuriver.docker-shell", "--detach-keys=", "my-env"}));
  CHECK(shell.find("--detach-keys") == "");
  CHECK(shell.value("NAME") == "my-env");
}

TEST_CASE("help starts with examples and speaks as the user types") {
  const std::string link = help_of(docker_command(), {"hakuriver.docker"});
  CHECK(link.rfind("Examples:\n", 0) == 0);
  CHECK(contains(link, "hakuriver.docker-shell my-env"));
  const size_t usage = link.find("Usage:"), options = link.find("Options:"), commands = link.find("\nCommands:");
  CHECK(usage < options);
  CHECK(options < commands);
  CHECK(commands != std::string::npos);
  CHECK(contains(help_of(docker_command(), {"riverbox", "docker", "--help"}), "riverbox docker create-container"));
  const std::string leaf = help_of(docker_command(), {"riverbox", "docker", "create-tar", "--help"});
  CHECK(leaf.rfind("Examples:\n", 0) == 0);
  CHECK(contains(leaf, "Usage: riverbox docker create-tar [OPTIONS] NAME"));
  CHECK(contains(leaf, "--config PATH"));
  CHECK(help_of(docker_command(), {"riverbox", "docker", "help", "create-tar"}) == leaf);
  const std::string client = help_of(client_command(), {"riverbox", "client", "-h"});
  CHECK(contains(client, "--target"));
  CHECK_FALSE(contains(client, "--poll-interval"));  // accepted, not advertised
  CHECK_FALSE(contains(client, "{"));
}

TEST_CASE("the client's flat form: where the command begins") {
  CHECK(tail_of({"echo", "hi"}) == Words{"echo", "hi"});
  CHECK(tail_of({"--", "echo", "hi"}) == Words{"echo", "hi"});
  CHECK(tail_of({"--container", "env", "--", "echo", "hi"}) == Words{"echo", "hi"});
  CHECK(tail_of({"--container", "env", "python", "-c", "print(1)", "--wait"}) == Words{"python", "-c", "print(1)", "--wait"});
  CHECK(tail_of({"--container=env", "--wait", "python", "--help"}) == Words{"python", "--help"});
  CHECK(tail_of({"--wait", "--", "--odd-name", "-x"}) == Words{"--odd-name", "-x"});
  CHECK(tail_of({"--target", "n1", "--target", "n2", "--", "a", "--", "b"}) == Words{"a", "--", "b"});
  CHECK(tail_of({"ls", "--", "x"}) == Words{"ls", "--", "x"});
  CHECK(tail_of({"--", "nodes"}) == Words{"nodes"});  // not our subcommand
  CHECK(tail_of({"--", "help"}) == Words{"help"});
  CHECK(tail_of({"--env", "A=--", "--", "x"}) == Words{"x"});
  CHECK(tail_of({"--privileged", "sh"}) == Words{"sh"});
  CHECK(tail_of({"--"}) == Words{});
  CHECK_FALSE(flat({"--container", "env"}).tail);
}

TEST_CASE("the client's subcommands") {
  CHECK(flat({"nodes"}).path.back()->name == "nodes");
  CHECK(flat({"--host", "h", "status", "12"}).words == Words{"--host", "h", "12"});
  CHECK(flat({"logs", "-f", "12"}).path.back()->name == "logs");
  const Arguments logs = parse(client_command(), called({"hakuriver.client", "logs", "-f", "12"}));
  CHECK(logs.has("--follow"));
  CHECK(logs.value("TASK") == "12");
}

TEST_CASE("the last argument may take all words that are left") {
  const auto share = [](std::vector<std::string> words) { return parse(vps_command(), called(words)); };
  const Arguments two = share({"riverbox", "vps", "share", "box", "bob", "--json", "carol"});
  CHECK(two.value("VPS") == "box");
  CHECK(two.all("USER") == std::vector<std::string>{"bob", "carol"});
  CHECK(two.has("--json"));
  CHECK(share({"riverbox", "vps", "share", "box", "bob"}).all("USER") == std::vector<std::string>{"bob"});
  CHECK(contains(usage_error([&] { share({"riverbox", "vps", "share", "box"}); }), "USER is missing"));
  CHECK(contains(usage_error([&] { share({"riverbox", "vps", "show", "box", "bob"}); }), "unexpected argument 'bob'"));
}

TEST_CASE("a tail begins behind the arguments") {
  const auto ssh = [](std::vector<std::string> words) {
    words.insert(words.begin(), {"riverbox", "ssh"});
    return parse(ssh_command(), called(words));
  };
  const Arguments bare = ssh({"box"});
  CHECK(bare.value("VPS") == "box");
  CHECK(bare.tail.empty());
  const Arguments command = ssh({"--host", "h", "box", "ls", "-l", "--host", "x"});
  CHECK(command.value("VPS") == "box");
  CHECK(command.value("--host") == "h");  // what stands behind the name is not ours
  CHECK(command.tail == Words{"ls", "-l", "--host", "x"});
  CHECK(ssh({"box", "--", "-N", "--stdio"}).tail == Words{"-N", "--stdio"});
  CHECK_FALSE(ssh({"box", "--stdio"}).has("--stdio"));
  CHECK(ssh({"--stdio", "box"}).has("--stdio"));
  CHECK(ssh({"box", "--help"}).tail == Words{"--help"});
  CHECK(contains(usage_error([&] { ssh({}); }), "VPS is missing"));
  CHECK(contains(usage_error([&] { ssh({"--"}); }), "VPS is missing"));
  CHECK(contains(usage_error([&] { ssh({"--nonsense", "box"}); }), "unknown option '--nonsense'"));
}

TEST_CASE("forward takes any number of ports, also none") {
  const auto forward = [](std::vector<std::string> words) {
    words.insert(words.begin(), {"riverbox", "forward"});
    return parse(forward_command(), called(words));
  };
  CHECK(forward({"box", "8888", "--proto", "udp", "6007:6006"}).all("PORT") == Words{"8888", "6007:6006"});
  const Arguments back = forward({"box", "-R", "5432", "--reverse", "80:8080"});
  CHECK(back.all("PORT").empty());
  CHECK(back.all("--reverse") == Words{"5432", "80:8080"});
  CHECK(contains(usage_error([&] { forward({}); }), "ID is missing"));
}

TEST_CASE("HakuRiver 0.2's flags") {
  CHECK(modern_words({"--list-nodes"}) == Words{"nodes"});
  CHECK(modern_words({"--status", "12"}) == Words{"status", "12"});
  CHECK(modern_words({"--status=12"}) == Words{"status", "12"});
  CHECK(modern_words({"--config", "f", "--kill", "12"}) == Words{"--config", "f", "kill", "12"});
  CHECK(modern_words({"--kill", "12", "--config", "f"}) == Words{"--config", "f", "kill", "12"});
  CHECK(modern_words({"--health"}) == Words{"health"});
  CHECK(modern_words({"--health", "node1"}) == Words{"health", "node1"});
  CHECK(modern_words({"--health", "--json"}) == Words{"--json", "health"});
  CHECK(modern_words({"echo", "--status", "1"}) == Words{"echo", "--status", "1"});  // the task's own
  CHECK(modern_words({"--", "x", "--kill", "1"}) == Words{"--", "x", "--kill", "1"});
  CHECK(modern_words({"--container", "--status", "sh"}) == Words{"--container", "--status", "sh"});
}

TEST_CASE("no argument crashes the parser") {
  const Words pieces{"", "-", "--", "--=", "-=", "=", "--config=", "--json=", "--json=maybe", "--target", "help", "\xff\xfe", "create-tar", "[a,b]", "-1"};
  for (const std::string& first : pieces)
    for (const std::string& second : pieces)
      for (const std::string& third : pieces)
        for (const auto describe : {docker_command, client_command, task_command, ssh_command, forward_command})
          try {
            parse(describe(), called({"riverbox", "docker", first, second, third}));
          } catch (const riverbox::UsageError&) {
          } catch (const HelpRequest&) {
          }
}
