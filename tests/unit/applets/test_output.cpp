
#include "applets/api_client.hpp"
#include "applets/follow.hpp"
#include "applets/progress.hpp"
#include "base/json.hpp"
#include "support.hpp"

using namespace riverbox::applets;
using namespace std::chrono_literals;

TEST_CASE("JSON keeps its keys in the documented order") {
  const Json scrambled = Json::parse(R"({"status":"Up","managed":true,"image":"i","id":"1","extra":0,"name":"n"})");
  CHECK(with_key_order(scrambled, {"id", "name", "image", "status", "managed"}).dump() ==
        R"({"id":"1","name":"n","image":"i","status":"Up","managed":true,"extra":0})");
  CHECK(with_key_order(Json::parse(R"({"b":1})"), {"a"}).dump() == R"({"b":1})");
  CHECK(with_key_order(Json::parse("[1]"), {"a"}).dump() == "[1]");
  CHECK(json_text(Json::array()) == "[]\n");
  CHECK(json_text(Json::parse(R"({"a":[1]})")) == "{\n  \"a\": [\n    1\n  ]\n}\n");
  CHECK(json_text(Json("\xff")) == "\"\xEF\xBF\xBD\"\n");
  CHECK(json_text(Json("\u00e9")) == "\"\u00e9\"\n");  // non-ASCII is kept
}

TEST_CASE("members as text") {
  const Json object = Json::parse(R"({"s":"x","n":3,"null":null})");
  CHECK(text_of(object, "s") == "x");
  CHECK(text_of(object, "n") == "3");
  CHECK(text_of(object, "null") == "-");
  CHECK(text_of(object, "none", "") == "");
  CHECK(text_of(Json::array(), "s") == "-");
}

// fault: escape-sequences
TEST_CASE("tables are aligned and harmless") {
  Table table({"NAME", "SIZE", "IMAGE"});
  table.align_right(1);
  table.add({"my-env", "1.2 GB", "python:3.11-slim"});
  table.add({"\u00fcber", "9 B", "x"});
  CHECK(table.render(false) ==
        "NAME      SIZE  IMAGE\n"
        "my-env  1.2 GB  python:3.11-slim\n"
        "\u00fcber       9 B  x\n");
  Table evil({"NAME", "STATUS"});
  evil.add({{"a\033[2J\nb"}, {"Up", Colour::green}});
  const std::string plain = evil.render(false), coloured = evil.render(true);
  CHECK_FALSE(contains(plain, "\033"));
  CHECK(std::count(plain.begin(), plain.end(), '\n') == 2);
  CHECK(contains(coloured, "\033[32mUp\033[0m"));
  CHECK_FALSE(contains(coloured, "\033[2J"));
}

TEST_CASE("a row that is too short is filled") {
  Table table({"A", "B"});
  table.add({"x"});
  CHECK(table.render(false) == "A  B\nx\n");
}

TEST_CASE("progress says step, bytes, rate, percent and time left") {
  CHECK(progress_text({.step = "writing", .bytes = 500'000'000, .total_bytes = 1'000'000'000, .bytes_per_second = 50'000'000}, 100) ==
        "writing  500.0 MB of 1.0 GB  50 %  50.0 MB/s  10 s left");
  CHECK(progress_text({.step = "writing", .bytes = 2'000'000, .total_bytes = 0, .bytes_per_second = 1'000'000}, 100) == "writing  2.0 MB  1.0 MB/s");
  CHECK(progress_text({.step = "committing"}, 100) == "committing");
  CHECK(progress_text({.step = "committing", .elapsed = 5s}, 100) == "committing  5 s");
  CHECK(progress_text({.step = "x", .bytes = 30, .total_bytes = 20}, 100) == "x  30 B");  // a total that was wrong is not shown
  CHECK(progress_text({.step = "writing", .bytes = 500'000'000, .total_bytes = 1'000'000'000}, 12).size() <= 12);
  CHECK_FALSE(contains(progress_text({.step = "\033[2Jx"}, 100), "\033"));
  CHECK(duration_text(59s) == "59 s");
  CHECK(duration_text(125s) == "2 min 5 s");
  CHECK(duration_text(3780s) == "1 h 3 min");
}

TEST_CASE("an answer with progress, in pieces") {
  std::vector<std::string> steps;
  AnswerReader reader([&steps](const Progress& p) { steps.push_back(p.step + " " + std::to_string(p.bytes) + "/" + std::to_string(p.total_bytes)); });
  const std::string stream =
      "{\"progress\":{\"step\":\"pulling\",\"bytes\":1,\"total_bytes\":2}}\n"
      "{\"progress\":{\"step\":\"writing\"}}\n\n"
      "{\"status\":200,\"result\":{\"message\":\"done\"}}\n";
  for (const char c : stream) reader.feed(std::string_view(&c, 1));
  const auto answer = reader.finish(200);
  CHECK(steps == std::vector<std::string>{"pulling 1/2", "writing 0/0"});
  CHECK(answer.status == 200);
  CHECK(answer.body["message"] == "done");
}

TEST_CASE("an error at the end of a 200") {
  AnswerReader reader([](const Progress&) {});
  reader.feed("{\"progress\":{\"step\":\"x\"}}\n{\"status\":409,\"error\":{\"detail\":\"exists\"}}");
  const auto answer = reader.finish(200);
  CHECK(answer.status == 409);
  CHECK(answer.body["detail"] == "exists");
}

TEST_CASE("an older host answers with one document") {
  AnswerReader reader([](const Progress&) {});
  reader.feed("{\n  \"message\": \"Container 'x' created or already exists.\"\n}");
  CHECK(reader.finish(201).status == 201);
  AnswerReader one_line([](const Progress&) {});
  one_line.feed(R"({"message":"m","tarball_path":"/p"})");
  CHECK(one_line.finish(200).body["tarball_path"] == "/p");
}

TEST_CASE("an answer that is cut off is an error") {
  AnswerReader cut([](const Progress&) {});
  cut.feed("{\"progress\":{\"step\":\"x\"}}\n{\"status\":2");
  CHECK_THROWS_AS(cut.finish(200), riverbox::BadData);
  AnswerReader html([](const Progress&) {});
  html.feed("<html>");
  CHECK_THROWS_AS(html.finish(200), riverbox::BadData);
  AnswerReader empty([](const Progress&) {});
  CHECK_THROWS_AS(empty.finish(200), riverbox::BadData);
}

TEST_CASE("hosts and path segments") {
  CHECK(normalised_url("node0", 8000) == "http://node0:8000");
  CHECK(normalised_url("node0:9000", 8000) == "http://node0:9000");
  CHECK(normalised_url("https://node0/", 8000) == "https://node0");
  CHECK(normalised_url("[::1]", 8000) == "http://[::1]:8000");
  CHECK_THROWS_AS(normalised_url("ftp://x", 8000), riverbox::UsageError);
  CHECK_THROWS_AS(normalised_url(" / ", 8000), riverbox::UsageError);
  CHECK(path_segment("my-env_1.0") == "my-env_1.0");
  CHECK(path_segment("../x") == "..%2Fx");
  CHECK(path_segment("a b\n") == "a%20b%0A");
  CHECK_THROWS_AS(path_segment(".."), riverbox::InvalidInput);
}

TEST_CASE("whole lines of several tasks") {
  LineJoiner lines;
  CHECK(lines.feed("ab") == "");
  CHECK(lines.feed("c\nd\ne") == "abc\nd\n");
  CHECK(lines.rest() == "e\n");
  CHECK(lines.rest() == "");
}

TEST_CASE("the exit status of a task") {
  const auto task = [](const char* text) { return Json::parse(text); };
  CHECK(exit_status_of(task(R"({"status":"completed","exit_code":0})")) == 0);
  CHECK(exit_status_of(task(R"({"status":"failed","exit_code":3})")) == 3);
  CHECK(exit_status_of(task(R"({"status":"failed","exit_code":-1})")) == 1);
  CHECK(exit_status_of(task(R"({"status":"failed","exit_code":null})")) == 1);
  CHECK(exit_status_of(task(R"({"status":"failed","exit_code":0})")) == 1);
  CHECK(exit_status_of(task(R"({"status":"killed","exit_code":null})")) == 1);
  CHECK(exit_status_of(task(R"({"status":"lost"})")) == 1);
  CHECK(exit_status_of(task(R"({"status":"killed_oom","exit_code":-9})")) == 137);
  CHECK(exit_status_of(Json()) == 1);
  CHECK(ending_of(task(R"({"status":"completed","exit_code":0})")) == "");
  CHECK(ending_of(task(R"({"status":"failed","exit_code":3,"error_message":null})")) == "");
  CHECK(ending_of(task(R"({"status":"failed","exit_code":3,"error_message":"Exit code 3."})")) == "");
  CHECK(contains(ending_of(task(R"({"status":"failed","exit_code":127,"error_message":"Exit code 127: the command was not found"})")), "not found"));
  CHECK(ending_of(task(R"({"task_id":"7","status":"failed","exit_code":null,"error_message":"no image"})")) == "task 7 failed: no image");
  CHECK(contains(ending_of(task(R"({"task_id":"7","status":"killed_oom"})")), "more memory"));
  CHECK(contains(ending_of(task(R"({"task_id":"7","status":"lost"})")), "lost"));
}
