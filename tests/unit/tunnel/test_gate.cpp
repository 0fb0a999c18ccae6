#include <doctest/doctest.h>

#include <sys/stat.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <numeric>

#include "base/error.hpp"
#include "base/sha256.hpp"
#include "gate_fixture.hpp"
#include "os/unix_socket.hpp"

using namespace test;

TEST_CASE("200 streams at once, each with its own data, up and down") {
  GateWorld world;
  TcpServer server(echo);
  std::vector<std::unique_ptr<User>> users;
  std::vector<std::string> sent;
  for (unsigned i = 0; i < 200; ++i) {
    users.push_back(world.open(server.port));
    sent.push_back(random_bytes(20000 + i * 3001 % 300000, i + 1));
    users.back()->end_when_sent = true;
    users.back()->send(sent.back());
  }
  CHECK(world.eventually([&] { return std::ranges::all_of(users, [](const auto& user) { return user->ended || user->closed; }); }, 60s));
  int right = 0;
  for (size_t i = 0; i < users.size(); ++i) right += users[i]->got == sent[i] && !users[i]->closed;
  CHECK(right == 200);
}

TEST_CASE("one whose receiver stops does not stop others, in either direction") {
  GateWorld world;
  std::atomic<bool> go = false;
  TcpServer server(echo);
  TcpServer deaf([&](int fd) {
    while (!go) std::this_thread::sleep_for(5ms);
    echo(fd);
  });
  const std::string much = random_bytes(6 << 20, 7);
  auto stopped = world.open(server.port), unheard = world.open(deaf.port);
  stopped->reads = false;
  stopped->send(much);
  unheard->send(much);
  world.run_for(300ms);
  CHECK(stopped->got_bytes <= 256 << 10);
  CHECK(unheard->at < much.size());
  auto other = world.open(server.port);
  other->end_when_sent = true;
  other->send(much);
  CHECK(world.eventually([&] { return other->ended; }));
  CHECK(other->got == much);
  CHECK(stopped->got_bytes <= 256 << 10);
  go = true;
  stopped->read_again();
  CHECK(world.eventually([&] { return stopped->got.size() == much.size() && unheard->got.size() == much.size(); }));
  CHECK(stopped->got == much);
  CHECK(unheard->got == much);
}

TEST_CASE("half-close: who has sent all and said so reads the answer") {
  GateWorld world;
  TcpServer server([](int fd) {
    std::string all, buffer(64 << 10, '\0');
    for (ssize_t n; (n = ::recv(fd, buffer.data(), buffer.size(), 0)) > 0;) all.append(buffer, 0, static_cast<size_t>(n));
    send_all(fd, std::to_string(all.size()) + " bytes");
  });
  auto user = world.open(server.port);
  user->end_when_sent = true;
  user->send(random_bytes(1 << 20, 3));
  CHECK(world.eventually([&] { return user->ended; }));
  CHECK(user->got == "1048576 bytes");
  CHECK(!user->closed);
}

TEST_CASE("the server that ends first is still sent to") {
  GateWorld world;
  std::string received;
  std::atomic<bool> done = false;
  TcpServer server([&](int fd) {
    send_all(fd, "bye");
    ::shutdown(fd, SHUT_WR);
    std::string buffer(1000, '\0');
    for (ssize_t n; (n = ::recv(fd, buffer.data(), buffer.size(), 0)) > 0;) received.append(buffer, 0, static_cast<size_t>(n));
    done = true;
  });
  auto user = world.open(server.port);
  CHECK(world.eventually([&] { return user->ended; }));
  CHECK(user->got == "bye");
  user->end_when_sent = true;
  user->send("still here");
  CHECK(world.eventually([&] { return done.load(); }));
  CHECK(received == "still here");
}

TEST_CASE("a port where nobody listens is refused in words") {
  GateWorld world;
  std::uint16_t port = 0;
  {
    TcpServer gone(echo);
    port = gone.port;
  }
  auto user = world.open(port);
  CHECK(world.eventually([&] { return user->closed; }));
  CHECK(user->why == "connection refused: nothing listens on port " + std::to_string(port) + " of 127.0.0.1 or ::1 in the container");
  CHECK(!user->opened);
}

TEST_CASE("who listens on ::1 alone is found") {
  GateWorld world;
  TcpServer server(echo, AF_INET6);
  if (!server.ok()) return;  // no IPv6 here
  auto user = world.open(server.port);
  user->send("six");
  CHECK(world.eventually([&] { return user->got == "six"; }));
}

TEST_CASE("a connection that is reset is told as broken, not as ended") {
  GateWorld world;
  TcpServer server([](int fd) {
    const linger at_once{1, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  });
  auto user = world.open(server.port);
  CHECK(world.eventually([&] { return user->closed || user->ended; }));
  CHECK(user->closed);
  CHECK(user->why.find("reset") != std::string::npos);
}

TEST_CASE("the server sees that the user has gone") {
  GateWorld world;
  std::atomic<bool> done = false;
  TcpServer server([&](int fd) {
    echo(fd);
    done = true;
  });
  auto user = world.open(server.port);
  user->send("x");
  CHECK(world.eventually([&] { return user->got == "x"; }));
  user.reset();
  CHECK(world.eventually([&] { return done.load(); }));
}

TEST_CASE("UDP: datagrams there and back") {
  GateWorld world;
  UdpEcho server;
  auto user = world.open(server.port, Proto::udp);
  CHECK(world.eventually([&] { return user->opened; }));
  for (int i = 0; i < 50; ++i) {
    const std::string datagram = random_bytes(i == 0 ? 0 : i == 1 ? 60000 : static_cast<size_t>(i) * 20, static_cast<unsigned>(i));
    const size_t before = user->datagrams.size();
    user->stream.send(datagram);
    REQUIRE(world.eventually([&] { return user->datagrams.size() > before; }, 5s));
    CHECK(user->datagrams.back() == datagram);
  }
  CHECK(!user->closed);
}

TEST_CASE("a port in the container is listened on, and who connects there reaches the user") {
  GateWorld world;
  std::uint16_t port = 0;
  User user;
  std::string refused;
  auto listener = world.gate->listen("vps-1", 0, {.listening = [&](std::uint16_t p) { port = p; },
                                                 .closed = [&](const std::string& why) { refused = why; },
                                                 .accept = [&](Gate::Caller caller) {
                                                   user.stream = caller.take();
                                                   user.opened = true;
                                                   return user.events();
                                                 }});
  REQUIRE(world.eventually([&] { return port != 0; }));
  const std::string much = random_bytes(1 << 20, 5);
  std::string got;
  std::thread caller([&] {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
      send_all(fd, much);
      ::shutdown(fd, SHUT_WR);
      std::string buffer(1000, '\0');
      for (ssize_t n; (n = ::recv(fd, buffer.data(), buffer.size(), 0)) > 0;) got.append(buffer, 0, static_cast<size_t>(n));
    }
    ::close(fd);
  });
  CHECK(world.eventually([&] { return user.ended; }));
  CHECK(user.got == much);
  user.send("thanks");
  user.stream.end();
  world.run_for(100ms);
  caller.join();
  CHECK(got == "thanks");
  // The port is taken: a second listener is told so, and free again when the first has gone.
  auto second = world.gate->listen("vps-1", port, {{}, [&](const std::string& why) { refused = why; }, {}});
  CHECK(world.eventually([&] { return !refused.empty(); }));
  CHECK(refused.find("Address already in use") != std::string::npos);
  listener.close();
  std::uint16_t again = 0;
  auto third = world.gate->listen("vps-1", port, {[&](std::uint16_t p) { again = p; }, {}, {}});
  CHECK(world.eventually([&] { return again == port; }));
}

TEST_CASE("a tunnel-client that is killed takes its streams with it, and the next one serves again") {
  GateWorld world;
  TcpServer server(echo);
  std::vector<std::unique_ptr<User>> users;
  for (int i = 0; i < 20; ++i) {
    users.push_back(world.open(server.port));
    users.back()->send("before");
  }
  CHECK(world.eventually([&] { return std::ranges::all_of(users, [](const auto& user) { return user->got == "before"; }); }));
  world.stop_client(SIGKILL);
  CHECK(world.eventually([&] { return std::ranges::all_of(users, [](const auto& user) { return user->closed; }); }));
  CHECK(users[0]->why.starts_with("the tunnel was lost: "));
  CHECK(!world.gate->connected("vps-1"));
  CHECK_THROWS_AS(world.open(server.port), Unavailable);
  world.start_client();
  CHECK(world.eventually([&] { return world.gate->connected("vps-1"); }));
  auto user = world.open(server.port);
  user->send("after");
  CHECK(world.eventually([&] { return user->got == "after"; }));
}

TEST_CASE("a runner that is stopped and started again is dialled again, by the same socket") {
  GateWorld world;
  TcpServer server(echo);
  auto user = world.open(server.port);
  CHECK(world.eventually([&] { return user->opened; }));
  world.gate.reset();
  world.run_for(300ms);
  world.gate.emplace(world.loop, world.folder);
  world.gate->add("vps-1");
  CHECK(user->why == "the runner was stopped");
  CHECK(world.eventually([&] { return world.gate->connected("vps-1"); }));
  auto next = world.open(server.port);
  next->send("x");
  CHECK(world.eventually([&] { return next->got == "x"; }));
}

TEST_CASE("SIGTERM ends the client in order") {
  GateWorld world;
  CHECK(world.stop_client(SIGTERM) == 0);
  CHECK(world.eventually([&] { return !world.gate->connected("vps-1"); }));
}

TEST_CASE("a newer tunnel takes the place of an older one; who only connects does not") {
  GateWorld world;
  TcpServer server(echo);
  auto user = world.open(server.port);
  CHECK(world.eventually([&] { return user->opened; }));
  CHECK(os::listens(world.socket));
  const auto idle = os::connect_unix(world.socket);
  world.run_for(100ms);
  CHECK(!user->closed);
  Client newer(world.loop, {.socket = world.socket, .runner_url = {}, .container_id = {}});
  newer.start([] {});
  CHECK(world.eventually([&] { return user->closed; }));
  CHECK(user->why == "a newer tunnel of this container has taken its place");
  world.run_for(500ms);  // the older one does not chase the newer away
  auto next = world.open(server.port);
  next->send("x");
  CHECK(world.eventually([&] { return next->got == "x"; }));
  world.stop_client(SIGTERM);
  next->send("y");
  CHECK(world.eventually([&] { return next->got == "xy"; }));
}

TEST_CASE("who a container is follows from its socket: nothing of another is reached") {
  GateWorld world;
  CHECK(world.gate->add("vps-1") / "tunnel.sock" == world.socket);
  const auto other = world.gate->add("vps-2");
  Client stranger(world.loop, {.socket = other / "tunnel.sock", .runner_url = {}, .container_id = "vps-1"});
  stranger.start([] {});
  CHECK(world.eventually([&] { return world.gate->connected("vps-2"); }));
  TcpServer server(echo);
  auto user = world.open(server.port);
  user->send("mine");
  CHECK(world.eventually([&] { return user->got == "mine"; }));
  world.gate->remove("vps-2");
  CHECK(!fs::exists(other));
  CHECK(!user->closed);
  CHECK_THROWS_AS(world.gate->open("vps-2", Proto::tcp, 80, {}), NotFound);
  for (const char* name : {"", ".", "..", "a/b", "../x", "-x", "a b"}) CHECK_THROWS_AS(world.gate->add(name), InvalidInput);
}

TEST_CASE("the folder is closed to other users, the socket in it open to any; long paths work") {
  boost::asio::io_context loop;
  const fs::path folder = fs::temp_directory_path() / ("tunnel-" + random_hex(6)) / std::string(120, 'd') / std::string(60, 'e');
  {
    Gate gate(loop, folder);
    const auto mounted = gate.add("vps-1");
    struct stat info {};
    REQUIRE(::stat(folder.c_str(), &info) == 0);
    CHECK((info.st_mode & 0777) == 0700);
    REQUIRE(::stat(mounted.c_str(), &info) == 0);
    CHECK((info.st_mode & 0777) == 0755);
    REQUIRE(::stat((mounted / "tunnel.sock").c_str(), &info) == 0);
    CHECK((info.st_mode & 0777) == 0666);
    CHECK(os::listens(mounted / "tunnel.sock"));
    Gate next(loop, folder);  // after a crash the socket lies there still
    next.add("vps-1");
    CHECK(os::listens(mounted / "tunnel.sock"));
  }
  fs::remove_all(folder.parent_path().parent_path());
}

TEST_CASE("what is no tunnel is shown the door") {
  GateWorld world;
  TcpServer server(echo);
  auto user = world.open(server.port);
  CHECK(world.eventually([&] { return user->opened; }));
  for (const std::string& bytes : {std::string("GET / HTTP/1.1\r\n\r\n"), std::string("\0\0\0\x08\x10\0\0\0\0\0\0\0", 12), std::string("\0\0\0\x08\x01\x05\0\0\0\1\0\x50", 12)}) {
    const auto fd = os::connect_unix(world.socket);
    REQUIRE(send_all(fd.get(), bytes));
    char buffer[1000];
    CHECK(world.eventually([&] { return ::recv(fd.get(), buffer, sizeof buffer, MSG_DONTWAIT) == 0; }));
  }
  user->send("x");
  CHECK(world.eventually([&] { return user->got == "x"; }));
}

TEST_CASE("figures: throughput, round trip, memory (printed, not judged)") {
  GateWorld world;
  constexpr size_t kBytes = 256 << 20;
  TcpServer source([](int fd) {
    const std::string block(256 << 10, 's');
    for (size_t sent = 0; sent < kBytes && send_all(fd, block); sent += block.size()) {
    }
  });
  std::atomic<size_t> sunk = 0;
  TcpServer sink([&](int fd) {
    std::string buffer(256 << 10, '\0');
    for (ssize_t n; (n = ::recv(fd, buffer.data(), buffer.size(), 0)) > 0;) sunk += static_cast<size_t>(n);
  });
  TcpServer server(echo);
  const auto seconds = [](Clock::time_point since) { return std::chrono::duration<double>(Clock::now() - since).count(); };
  const long before = world.resident_kib();

  auto down = world.open(source.port);
  down->keeps = false;
  auto start = Clock::now();
  CHECK(world.eventually([&] { return down->ended; }, 60s));
  CHECK(down->got_bytes == kBytes);
  const double down_rate = kBytes / seconds(start) / 1e6;

  auto up = world.open(sink.port);
  up->to_send.assign(kBytes, 'u');
  up->end_when_sent = true;
  start = Clock::now();
  up->pump();
  CHECK(world.eventually([&] { return sunk == kBytes; }, 60s));
  const double up_rate = kBytes / seconds(start) / 1e6;

  constexpr int kRounds = 3000;
  auto ping = world.open(server.port);
  CHECK(world.eventually([&] { return ping->opened; }));
  int rounds = 0;
  ping->on_data = [&] {
    if (++rounds < kRounds) ping->stream.send("p");
  };
  start = Clock::now();
  ping->stream.send("p");
  CHECK(world.eventually([&] { return rounds == kRounds; }));
  std::printf("tunnel, client %s: down %.0f MB/s, up %.0f MB/s, round trip %.0f us; client idle %ld KiB, after it %ld KiB resident\n", GateWorld::program() ? "in a process" : "on the loop", down_rate,
              up_rate, seconds(start) / kRounds * 1e6, before, world.resident_kib());
}
