#include "api/task_feed.hpp"

#include <boost/asio/post.hpp>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "api/gate.hpp"
#include "base/log.hpp"
#include "os/fd.hpp"

namespace riverbox::api {
namespace {

constexpr size_t kHighWaterBytes = 256 * 1024;  // queued towards the reader
constexpr size_t kChunkBytes = 128 * 1024;

std::string read_chunk(const std::filesystem::path& path, std::uint64_t offset) {
  os::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd) return {};
  std::string bytes(kChunkBytes, '\0');
  auto got = ::pread(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
  bytes.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return bytes;
}

}  // namespace

TaskFeed::TaskFeed(Services& services, Identity identity, std::string task_id, FeedPosition from)
    : services_(services), identity_(std::move(identity)), task_id_(std::move(task_id)), at_(from), retry_(services.loop) {}

void TaskFeed::start(std::shared_ptr<FeedReader> reader) {
  reader_ = std::move(reader);
  services_.state.post([self = shared_from_this()] { self->subscribe(); });
}

template <class F>
void TaskFeed::post(F work) {
  boost::asio::post(services_.loop, std::move(work));
}

void TaskFeed::subscribe() {
  try {
    auto id = TaskId::parse(task_id_);
    visible_task(services_, identity_, id);
    auto listener = [weak = weak_from_this()](const store::TaskRecord& task) {
      if (auto self = weak.lock()) self->post([self, task] { self->changed(task); });
    };
    auto subscription = services_.tasks.subscribe(id, listener);  // before the first look, so that no change falls between
    post([self = shared_from_this(), subscription] { self->subscribed(subscription); });
    listener(services_.tasks.get(id));
  } catch (const std::exception& e) {
    post([self = shared_from_this(), why = std::string(e.what())] { self->fail(why); });
  }
}

void TaskFeed::subscribed(std::uint64_t subscription) {
  subscription_ = subscription;
  if (over_) services_.tasks.unsubscribe(subscription);
}

void TaskFeed::fail(const std::string& why) {
  if (over_) return;
  const auto reader = reader_;
  closed();
  reader->fail(why);
}

// ---- the states

void TaskFeed::changed(const store::TaskRecord& task) {
  if (over_) return;
  const bool another = task_ && task_->spec.attempt != task.spec.attempt;
  if (another && !source_done_) {  // what the attempt before has to say comes first
    next_ = task;
    if (!stream_) read_files();
    return;
  }
  if (another || (at_.attempt > 0 && at_.attempt != static_cast<std::uint64_t>(task.spec.attempt))) begin_attempt();
  const bool first = another || !task_ || task_->state == TaskState::pending;
  at_.attempt = 0;
  task_ = task;
  tell(first);
  if (first) open_source();
  finish_if_done();
}

void TaskFeed::tell(bool at_once) {
  status_owed_ = !at_once && reader_->queued_bytes() > kHighWaterBytes;
  if (!status_owed_) reader_->status(*task_);
}

// Its output begins at its first byte.
void TaskFeed::begin_attempt() {
  at_.offsets = {};
  source_done_ = asked_for_missing_ = paused_ = false;
  retry_.cancel();
  services_.broker.forget(expected_);
  if (stream_) stream_->close(1000, "");
  stream_.reset();
}

void TaskFeed::output_is_over() {
  source_done_ = true;
  if (next_) changed(*std::exchange(next_, std::nullopt));
  finish_if_done();
}

void TaskFeed::finish_if_done() {
  if (over_ || !source_done_ || !task_ || !is_final(task_->state)) return;
  const auto reader = reader_;
  closed();
  reader->end(*task_);
}

// ---- the output

void TaskFeed::open_source() {
  if (over_ || source_done_ || stream_ || reading_file_ || task_->state == TaskState::pending) return;  // what waits has no output; its start is told
  if (is_final(task_->state)) return read_files();
  if (!ask_runner()) retry_later();
}

bool TaskFeed::ask_runner() {
  auto node = services_.nodes.find(task_->node);
  if (!node || !node->link) return false;
  expected_ = services_.broker.expect([self = shared_from_this()](std::shared_ptr<net::WebSocket> stream) { self->stream_arrived(std::move(stream)); });
  node->link->open_logs(expected_, task_->spec.id, task_->spec.attempt, at_.offsets[0], at_.offsets[1]);
  retry_later();  // in case it never arrives
  return true;
}

void TaskFeed::retry_later() {
  // Output that no file has is lost to this reader when the runner is given up on.
  retry_.expires_after(std::chrono::seconds(asked_for_missing_ ? 5 : 1));
  retry_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
    if (error || self->over_ || self->stream_ || self->next_) return;
    self->services_.broker.forget(self->expected_);
    self->open_source();
  });
}

void TaskFeed::stream_arrived(std::shared_ptr<net::WebSocket> stream) {
  stream_ = std::move(stream);
  retry_.cancel();
  auto self = shared_from_this();
  stream_->start({.message = [self](std::string_view data, bool binary) { self->from_runner(data, binary); },
                  .closed = [self, which = stream_.get()](std::uint16_t, std::string_view) { if (self->stream_.get() == which) self->stream_closed(); },
                  .drained = [] {}});
  if (over_) stream_->close(1001, "");
}

void TaskFeed::from_runner(std::string_view data, bool binary) {
  if (over_) return;
  if (!binary) return output_is_over();  // {"type":"end"}: the only text frame of a log stream
  if (data.size() < 2 || static_cast<unsigned char>(data[0]) > 1) return;
  forward(data[0] == 1, data.substr(1));
  if (reader_->queued_bytes() > kHighWaterBytes && !paused_) {
    paused_ = true;
    stream_->pause_reading();
  }
}

void TaskFeed::forward(bool is_stderr, std::string_view bytes) {
  const auto offset = at_.offsets[is_stderr];
  at_.offsets[is_stderr] += bytes.size();
  reader_->output(is_stderr, offset, bytes);
}

void TaskFeed::drained() {
  if (over_) return;
  if (status_owed_) tell(true);
  if (paused_ && stream_) {
    paused_ = false;
    stream_->resume_reading();
  }
  if (reading_file_) read_files();
}

void TaskFeed::stream_closed() {
  stream_.reset();
  paused_ = false;
  if (over_ || source_done_) return;
  if (next_) return read_files();
  if (is_final(task_->state) && asked_for_missing_) return open_source();  // it has told all that it knows
  retry_later();  // the runner restarts, or the task ended and the share has the rest
}

// One chunk of each file per turn; the next when the reader has taken this one.
void TaskFeed::read_files() {
  reading_file_ = true;
  if (std::exchange(chunk_under_way_, true)) return;  // `drained` may speak of an earlier one
  auto work = [self = shared_from_this(), spec = task_->spec, offsets = at_.offsets] {
    const auto share = self->services_.config->paths.shared_dir;
    std::array<std::string, 2> chunks{read_chunk(share / spec.stdout_file, offsets[0]), read_chunk(share / spec.stderr_file, offsets[1])};
    const bool missing = ::access((share / spec.stdout_file).c_str(), F_OK) != 0 && errno == ENOENT;
    self->post([self, missing, chunks = std::move(chunks)] { self->file_chunks(chunks, missing); });
  };
  if (!services_.share.post(std::move(work))) fail("the share does not answer");
}

void TaskFeed::file_chunks(const std::array<std::string, 2>& chunks, bool missing) {
  chunk_under_way_ = false;
  if (over_) return;
  if (chunks[0].empty() && chunks[1].empty()) {
    reading_file_ = false;
    // A node without the share keeps the output, and its runner remembers for a while where.
    if (missing && !next_ && !std::exchange(asked_for_missing_, true) && ask_runner()) return;
    return output_is_over();
  }
  for (bool is_stderr : {false, true})
    if (!chunks[is_stderr].empty()) forward(is_stderr, chunks[is_stderr]);
  if (!over_ && reader_->queued_bytes() == 0) read_files();  // it has kept them to itself: `drained` does not come
}

void TaskFeed::closed() {
  if (std::exchange(over_, true)) return;
  retry_.cancel();
  services_.broker.forget(expected_);
  if (stream_) stream_->close(1001, "");
  if (subscription_) services_.tasks.unsubscribe(*subscription_);
  reader_.reset();
}

}  // namespace riverbox::api
