#include "support.hpp"

using namespace riverbox::applets;
using Words = std::vector<std::string>;

namespace {
std::string name_for(const Words& argv) {
  const Dispatch meant = find_applet(kTestTable, argv);
  return meant.applet ? std::string(meant.applet->name) : "?";
}
}  // namespace

TEST_CASE("the name of a link chooses the applet") {
  CHECK(name_for({"hakuriver.docker", "list-tars"}) == "docker");
  CHECK(name_for({"/usr/local/bin/hakuriver.docker-shell", "x"}) == "docker-shell");
  CHECK(name_for({"./kohakuriver.client"}) == "client");
  CHECK(called({"hakuriver.docker", "list-tars"}).args == Words{"list-tars"});
}

TEST_CASE("tunnel-client is mounted into containers under that name alone") {
  CHECK(name_for({"/usr/local/bin/tunnel-client", "--socket", "/x"}) == "tunnel-client");
  CHECK(called({"tunnel-client", "-c", "vps"}).args == Words{"-c", "vps"});
  CHECK(called({"riverbox", "tunnel-client", "-c", "vps"}).args == Words{"-c", "vps"});
  CHECK_FALSE(contains(overview(kTestTable), "tunnel-client"));
}

TEST_CASE("any other name counts as riverbox") {
  CHECK(name_for({"riverbox", "docker", "list-tars"}) == "docker");
  CHECK(name_for({"rb-test", "docker"}) == "docker");
  CHECK(name_for({"docker", "task", "list"}) == "task");  // a link called "docker" is not one of ours
  CHECK(name_for({"hakuriver.nothing", "docker"}) == "docker");
  CHECK(called({"riverbox", "docker", "list-tars"}).args == Words{"list-tars"});
}

TEST_CASE("help and version") {
  CHECK(find_applet(kTestTable, {"riverbox"}).overview);
  CHECK(find_applet(kTestTable, {"riverbox", "--help"}).overview);
  CHECK(find_applet(kTestTable, {"riverbox", "help"}).overview);
  CHECK(find_applet(kTestTable, {}).overview);
  CHECK(find_applet(kTestTable, {"riverbox", "--version"}).version);
  CHECK(find_applet(kTestTable, {"hakuriver.docker", "--version"}).version);
  CHECK(called({"riverbox", "help", "docker", "create-tar"}).args == Words{"create-tar", "--help"});
  CHECK(version_line().rfind("riverbox ", 0) == 0);
  const std::string text = overview(kTestTable);
  CHECK(text.rfind("Examples:\n", 0) == 0);
  CHECK_FALSE(contains(text, "__complete"));
}

TEST_CASE("an unknown word gets a suggestion") {
  CHECK(find_applet(kTestTable, {"riverbox", "dokcer"}).unknown == "dokcer");
  CHECK(unknown_command(kTestTable, "dokcer") == "riverbox: 'dokcer' is not a riverbox command. Did you mean 'docker'?\n");
  CHECK(contains(unknown_command(kTestTable, "list-containers"), "Did you mean 'docker list-containers'?"));
  CHECK(contains(unknown_command(kTestTable, "qqqqqqqq"), "See 'riverbox --help'."));
  CHECK_FALSE(contains(unknown_command(kTestTable, "\033[31mx"), "\033"));
  CHECK(contains(unknown_command(kTestTable, "--bogus"), "unknown option"));
}

TEST_CASE("other commands are named the way this one was called") {
  const Invocation link = called({"hakuriver.docker", "list-tars"});
  CHECK(link.program() == "hakuriver.docker");
  CHECK(link.typed("docker-shell") == "hakuriver.docker-shell");
  CHECK(link.typed("up") == "riverbox up");
  const Invocation path = called({"/opt/rb/kohakuriver.docker"});
  CHECK(path.program() == "kohakuriver.docker");
  CHECK(path.typed("client") == "/opt/rb/kohakuriver.client");
  const Invocation main = called({"./build/riverbox", "docker"});
  CHECK(main.program() == "riverbox docker");
  CHECK(main.typed("docker-shell") == "./build/riverbox docker-shell");
}

TEST_CASE("the table check sees a wrong order") {
  static constexpr Applet wrong[] = {{"b", no_run, nullptr, ""}, {"a", no_run, nullptr, ""}};
  static constexpr Applet twice[] = {{"a", no_run, nullptr, ""}, {"a", no_run, nullptr, ""}};
  CHECK(sorted_by_name(kTestTable));
  CHECK_FALSE(sorted_by_name(wrong));
  CHECK_FALSE(sorted_by_name(twice));
}

TEST_CASE("exit codes") {
  using riverbox::ErrorKind;
  CHECK(exit_code_of(ErrorKind::usage) == 64);
  CHECK(exit_code_of(ErrorKind::bad_data) == 65);
  CHECK(exit_code_of(ErrorKind::unavailable) == 69);
  CHECK(exit_code_of(ErrorKind::internal) == 70);
  CHECK(exit_code_of(ErrorKind::io) == 74);
  CHECK(exit_code_of(ErrorKind::timeout) == 75);
  CHECK(exit_code_of(ErrorKind::unauthorized) == 77);
  CHECK(exit_code_of(ErrorKind::forbidden) == 77);
  CHECK(exit_code_of(ErrorKind::config) == 78);
  CHECK(exit_code_of(ErrorKind::cancelled) == 130);
  for (const ErrorKind kind : {ErrorKind::invalid_input, ErrorKind::not_found, ErrorKind::conflict}) CHECK(exit_code_of(kind) == 1);
  CHECK(exit_code_of(HostRefusal(503, "the Docker Engine does not answer")) == 1);  // the host is there and says no

  CHECK(safe_main("test", [] { return 7; }) == 7);
  CHECK(safe_main("test", []() -> int { throw BrokenPipe{}; }) == 141);
  CHECK(safe_main("test", []() -> int { throw HelpRequest{""}; }) == 0);
  CHECK(safe_main("test", []() -> int { throw riverbox::Unavailable("away"); }) == 69);
  CHECK(safe_main("test", []() -> int { throw std::out_of_range("bug"); }) == 70);
}

// fault: escape-sequences
TEST_CASE("error lines: the fact, then what to do, nothing that a terminal would obey") {
  CHECK(error_lines("riverbox docker", riverbox::NotFound("no container 'x'", "List them.")) == "riverbox docker: no container 'x'\nList them.\n");
  CHECK(error_lines("p", HostRefusal(500, "evil \033[2J text")) == "p: evil \\x1b[2J text\n");
}
