// Follows one task for a client: its states, and its output from the runner while it runs, from the share when it is over
// (docs/link-protocol.md, "Following from outside"). Loop thread, except where a lane is named.
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "api/services.hpp"
#include "api/shapes.hpp"
#include "api/sockets.hpp"
#include "base/log.hpp"
#include "os/fd.hpp"

namespace riverbox::api {
namespace {

constexpr size_t kHighWaterBytes = 256 * 1024;  // queued towards the client
constexpr size_t kChunkBytes = 128 * 1024;

class AttachSession : public std::enable_shared_from_this<AttachSession> {
public:
  AttachSession(Services& services, std::shared_ptr<net::WebSocket> socket, const net::Request& request, std::string task_id)
      : services_(services), socket_(std::move(socket)), task_id_(std::move(task_id)), retry_(services.loop) {
    auto offset = [&](const char* key) {
      auto it = request.query.find(key);
      return it == request.query.end() ? 0 : parse_u64(it->second).value_or(0);
    };
    offsets_[0] = offset("stdout_from");
    offsets_[1] = offset("stderr_from");
    attempt_ = offset("attempt");
  }

  void start() {
    auto self = shared_from_this();
    socket_->start({.message = [](std::string_view, bool) {},
                    .closed = [self](std::uint16_t, std::string_view) { self->closed(); },
                    .drained = [self] { self->drained(); }});
    services_.state.post([self] { self->subscribe(); });
  }

private:
  // ---- state worker
  void subscribe() {
    try {
      auto id = TaskId::parse(task_id_);
      auto tell = [weak = weak_from_this()](const store::TaskRecord& task) {
        if (auto self = weak.lock()) self->post([self, task] { self->changed(task); });
      };
      auto subscription = services_.tasks.subscribe(id, tell);  // before the first look, so that no change falls between
      post([self = shared_from_this(), subscription] { self->subscribed(subscription); });
      tell(services_.tasks.get(id));
    } catch (const std::exception& e) {
      post([self = shared_from_this(), why = std::string(e.what())] { self->fail(why); });
    }
  }

  // ---- loop
  template <class F>
  void post(F work) { boost::asio::post(services_.loop, std::move(work)); }

  void send(const Json& message) { socket_->send(message.dump(-1, ' ', false, Json::error_handler_t::replace), false); }

  void subscribed(std::uint64_t subscription) {
    subscription_ = subscription;
    if (over_) services_.tasks.unsubscribe(subscription);
  }

  void fail(const std::string& why) {
    if (over_) return;
    send({{"type", "error"}, {"detail", why}});
    socket_->close(1008, "");
  }

  void changed(const store::TaskRecord& task) {
    if (over_) return;
    const bool another = task_ && task_->spec.attempt != task.spec.attempt;
    if (another && !source_done_) {  // what the attempt before has to say comes first
      next_ = task;
      if (!stream_) read_files();
      return;
    }
    if (another || (attempt_ > 0 && attempt_ != static_cast<std::uint64_t>(task.spec.attempt))) begin_attempt();
    const bool first = another || !task_ || task_->state == TaskState::pending;
    attempt_ = 0;
    task_ = task;
    send({{"type", "status"}, {"task", task_shape(task, services_.config.paths.shared_dir)}});
    if (first) open_source();
    finish_if_done();
  }

  // Its output begins at its first byte.
  void begin_attempt() {
    offsets_ = {};
    source_done_ = asked_for_missing_ = false;
    retry_.cancel();
    services_.broker.forget(expected_);
    if (stream_) stream_->close(1000, "");
    stream_.reset();
  }

  void output_is_over() {
    source_done_ = true;
    if (next_) changed(*std::exchange(next_, std::nullopt));
    finish_if_done();
  }

  void open_source() {
    if (over_ || source_done_ || stream_ || reading_file_ || task_->state == TaskState::pending) return;  // what waits has no output; its start is told
    if (is_final(task_->state)) return read_files();
    if (!ask_runner()) retry_later();
  }

  bool ask_runner() {
    auto node = services_.nodes.find(task_->node);
    if (!node || !node->link) return false;
    auto self = shared_from_this();
    expected_ = services_.broker.expect([self](std::shared_ptr<net::WebSocket> stream) { self->stream_arrived(std::move(stream)); });
    node->link->open_logs(expected_, task_->spec.id, task_->spec.attempt, offsets_[0], offsets_[1]);
    retry_later();  // in case it never arrives
    return true;
  }

  void retry_later() {
    // Output that no file has is lost to this client when the runner is given up on.
    retry_.expires_after(std::chrono::seconds(asked_for_missing_ ? 5 : 1));
    retry_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
      if (error || self->over_ || self->stream_ || self->next_) return;
      self->services_.broker.forget(self->expected_);
      self->open_source();
    });
  }

  void stream_arrived(std::shared_ptr<net::WebSocket> stream) {
    stream_ = std::move(stream);
    retry_.cancel();
    auto self = shared_from_this();
    stream_->start({.message = [self](std::string_view data, bool binary) { self->from_runner(data, binary); },
                    .closed = [self, which = stream_.get()](std::uint16_t, std::string_view) { if (self->stream_.get() == which) self->stream_closed(); },
                    .drained = [] {}});
    if (over_) stream_->close(1001, "");
  }

  void from_runner(std::string_view data, bool binary) {
    if (over_) return;
    if (!binary) return output_is_over();  // {"type":"end"}: the only text frame of a log stream
    if (data.size() < 2 || static_cast<unsigned char>(data[0]) > 1) return;
    forward(static_cast<unsigned char>(data[0]), std::string(data));
    if (socket_->queued_bytes() > kHighWaterBytes && !paused_) {
      paused_ = true;
      stream_->pause_reading();
    }
  }

  void forward(int channel, std::string framed) {
    offsets_[channel] += framed.size() - 1;
    socket_->send(std::move(framed), true);
  }

  void drained() {
    if (paused_ && stream_) {
      paused_ = false;
      stream_->resume_reading();
    }
    if (reading_file_) read_files();
  }

  void stream_closed() {
    stream_.reset();
    paused_ = false;
    if (over_ || source_done_) return;
    if (next_) return read_files();
    if (is_final(task_->state) && asked_for_missing_) return open_source();  // it has told all that it knows
    retry_later();  // the runner restarts, or the task ended and the share has the rest
  }

  // One chunk of each file per turn; the next when the client has taken this one.
  void read_files() {
    reading_file_ = true;
    if (std::exchange(chunk_under_way_, true)) return;  // `drained` may speak of an earlier frame
    auto work = [self = shared_from_this(), spec = task_->spec, offsets = offsets_] {
      const auto& share = self->services_.config.paths.shared_dir;
      std::array<std::string, 2> chunks{read_chunk(share / spec.stdout_file, offsets[0]), read_chunk(share / spec.stderr_file, offsets[1])};
      const bool missing = ::access((share / spec.stdout_file).c_str(), F_OK) != 0 && errno == ENOENT;
      self->post([self, missing, chunks = std::move(chunks)]() mutable { self->file_chunks(std::move(chunks), missing); });
    };
    if (!services_.share.post(std::move(work))) fail("the share does not answer");
  }

  static std::string read_chunk(const std::filesystem::path& path, std::uint64_t offset) {
    os::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!fd) return {};
    std::string bytes(kChunkBytes, '\0');
    auto got = ::pread(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    bytes.resize(got > 0 ? static_cast<size_t>(got) : 0);
    return bytes;
  }

  void file_chunks(std::array<std::string, 2> chunks, bool missing) {
    chunk_under_way_ = false;
    if (over_) return;
    if (chunks[0].empty() && chunks[1].empty()) {
      reading_file_ = false;
      // A node without the share keeps the output, and its runner remembers for a while where.
      if (missing && !next_ && !std::exchange(asked_for_missing_, true) && ask_runner()) return;
      return output_is_over();
    }
    for (int channel : {0, 1})
      if (!chunks[channel].empty()) forward(channel, std::string(1, static_cast<char>(channel)) + chunks[channel]);
  }

  void finish_if_done() {
    if (over_ || !source_done_ || !task_ || !is_final(task_->state)) return;
    send({{"type", "end"}, {"task", task_shape(*task_, services_.config.paths.shared_dir)}});
    socket_->close(1000, "");
    over();
  }

  void closed() { over(); }

  void over() {
    if (std::exchange(over_, true)) return;
    retry_.cancel();
    services_.broker.forget(expected_);
    if (stream_) stream_->close(1001, "");
    if (subscription_) services_.tasks.unsubscribe(*subscription_);
  }

  Services& services_;
  std::shared_ptr<net::WebSocket> socket_, stream_;
  std::string task_id_, expected_;
  std::optional<store::TaskRecord> task_;
  std::optional<store::TaskRecord> next_;  // of another attempt, while the one before has output left
  std::uint64_t attempt_ = 0;              // that the offsets asked for are of; 0: of whichever there is
  std::array<std::uint64_t, 2> offsets_{};
  std::optional<std::uint64_t> subscription_;
  boost::asio::steady_timer retry_;
  bool paused_ = false, reading_file_ = false, chunk_under_way_ = false, source_done_ = false, asked_for_missing_ = false, over_ = false;
};

}  // namespace

void start_attach(Services& services, std::shared_ptr<net::WebSocket> socket, const net::Request& request, const std::string& task_id) {
  std::make_shared<AttachSession>(services, std::move(socket), request, task_id)->start();
}

}  // namespace riverbox::api
