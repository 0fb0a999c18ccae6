#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "os/fd.hpp"
#include "ssh/sftp_names.hpp"
#include "ssh/sftp_packet.hpp"
#include "ssh/sftp_server.hpp"

using namespace riverbox;
using namespace riverbox::ssh::sftp;
namespace fs = std::filesystem;

namespace {

// A request is built as an answer is.
std::string body(const Answer& packet) { return packet.framed().substr(4); }

}  // namespace

TEST_CASE("sftp packets: requests") {
  const Attributes all{5, std::pair{1u, 2u}, 0644u, std::pair{10u, 11u}};
  const std::string open = body(Answer(Type::open, 7).text("a b").u32(kOpenRead | kOpenCreate).attributes(all));
  const auto request = parse_request(open);
  REQUIRE(request);
  CHECK(request->type == Type::open);
  CHECK(request->id == 7);
  CHECK(request->path == "a b");
  CHECK(request->flags == (kOpenRead | kOpenCreate));
  CHECK(request->attributes == all);
  const std::string write = body(Answer(Type::write, 8).text("3").u64(1ull << 40).text(std::string("\0x", 2)));
  CHECK(parse_request(write)->offset == 1ull << 40);
  CHECK(parse_request(write)->data == std::string_view("\0x", 2));
  const std::string link = body(Answer(Type::extended, 9).text("hardlink@openssh.com").text("a").text("b"));
  CHECK(parse_request(link)->extension == "hardlink@openssh.com");
  CHECK(parse_request(link)->second == "b");
  CHECK(parse_request(body(Answer(Type::extended, 9).text("who@knows").u32(5)))->extension == "who@knows");
}

TEST_CASE("sftp packets: what ends too early or has a NUL in a name is none") {
  const std::string rename = body(Answer(Type::rename, 3).text("from").text("to"));
  for (size_t size = 0; size < rename.size(); ++size) {
    std::optional<std::uint32_t> id;
    CHECK_FALSE(parse_request(std::string_view(rename).substr(0, size), &id));
    CHECK(id.has_value() == (size >= 5));
  }
  CHECK_FALSE(parse_request(body(Answer(Type::stat, 1).text(std::string_view("a\0b", 3)))));
  CHECK_FALSE(parse_request(body(Answer(Type::setstat, 1).text("a").u32(0x80000000).u32(0xffffffff))));
}

TEST_CASE("sftp packets: sizes") {
  CHECK_FALSE(packet_size("abc"));
  CHECK(packet_size(std::string_view("\0\0\1\2rest", 8)) == 258);
}

TEST_CASE("sftp: a real path whose last name need not exist") {
  const fs::path folder = fs::canonical(fs::temp_directory_path());
  CHECK(real_path(folder.string() + "/./not-there-7531") == (folder / "not-there-7531").string());
  CHECK(real_path(folder.string() + "/not-there-7531/") == (folder / "not-there-7531").string());
  CHECK_FALSE(real_path(folder.string() + "/not-there-7531/x"));
  CHECK(real_path("/") == "/");
  CHECK(real_path("/not-there-7531") == "/not-there-7531");
  CHECK(real_path(".") == fs::current_path().string());
}

TEST_CASE("sftp: long names look like ls -l") {
  struct stat info {};
  info.st_mode = S_IFDIR | S_ISVTX | 0777;
  info.st_size = 42;
  CHECK(long_name("x y", info).starts_with("drwxrwxrwt "));
  CHECK(long_name("x y", info).ends_with(" x y"));
  info.st_mode = S_IFREG | S_ISUID | 0644;
  CHECK(long_name("f", info).starts_with("-rwSr--r-- "));
}

TEST_CASE("sftp: a conversation, and its end when nothing makes sense any more") {
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  const os::UniqueFd client(ends[0]), server(ends[1]);
  std::thread serving([&] {
    serve(server.get(), server.get());
    ::shutdown(server.get(), SHUT_RDWR);
  });
  const auto ask = [&](const std::string& packet) {
    os::write_all(client.get(), packet, "the server");
    char size[4];
    REQUIRE(::recv(client.get(), size, 4, MSG_WAITALL) == 4);
    std::string answer(*packet_size({size, 4}), '\0');
    REQUIRE(::recv(client.get(), answer.data(), answer.size(), MSG_WAITALL) == static_cast<ssize_t>(answer.size()));
    return answer;
  };
  CHECK(ask(Answer(Type::init, 3).framed()).substr(0, 5) == std::string("\x02\0\0\0\x03", 5));
  const std::string file = fs::temp_directory_path() / ("rb-sftp-" + std::to_string(::getpid()));
  const std::string opened = ask(Answer(Type::open, 1).text(file).u32(kOpenRead | kOpenWrite | kOpenCreate | kOpenExclusive).u32(0).framed());
  CHECK(opened[0] == static_cast<char>(Type::handle));
  const std::string handle = opened.substr(9);
  CHECK(ask(Answer(Type::write, 2).text(handle).u64(3).text("abc").framed())[8] == 0);
  CHECK(ask(Answer(Type::read, 3).text(handle).u64(2).u32(100).framed()).substr(9) == std::string("\0abc", 4));
  CHECK(ask(Answer(Type::read, 4).text(handle).u64(6).u32(100).framed())[8] == static_cast<char>(Status::eof));
  CHECK(ask(Answer(Type::close, 5).text(handle).framed())[8] == 0);
  CHECK(ask(Answer(Type::close, 6).text(handle).framed())[8] == static_cast<char>(Status::failure));
  CHECK(ask(Answer(Type::remove, 7).text(file).framed())[8] == 0);
  CHECK(ask(Answer(Type::remove, 8).text(file).framed())[8] == static_cast<char>(Status::no_such_file));
  os::write_all(client.get(), "\xff\xff\xff\xff", "the server");
  char more;
  CHECK(::recv(client.get(), &more, 1, 0) == 0);
  serving.join();
}
