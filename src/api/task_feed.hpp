// Follows one task for one reader: its states, and its output from the runner while it runs, from the share when it is over. No byte is lost or
// doubled, whatever restarts meanwhile. Loop thread.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <boost/asio/steady_timer.hpp>

#include "api/services.hpp"

namespace riverbox::api {

// What a feed is told to: a WebSocket, a stream of events.
class FeedReader {
public:
  virtual ~FeedReader() = default;
  // Comes first, then after each change; of many changes a slow reader gets the last one.
  virtual void status(const store::TaskRecord& task) = 0;
  // `offset` of the first of these bytes in the output of the attempt that the last status told of.
  virtual void output(bool is_stderr, std::uint64_t offset, std::string_view bytes) = 0;
  virtual void end(const store::TaskRecord& task) = 0;  // the task is over, and this was all of its output
  virtual void fail(const std::string& why) = 0;        // the reader may try again
  virtual size_t queued_bytes() const = 0;              // told and not yet taken
};

// Where a reader goes on.
struct FeedPosition {
  std::uint64_t attempt = 0;  // that the offsets are of; 0: of whichever there is
  std::array<std::uint64_t, 2> offsets{};  // stdout, stderr
};

class TaskFeed : public std::enable_shared_from_this<TaskFeed> {
public:
  // `identity`: of the reader, who may not see every task.
  TaskFeed(Services& services, Identity identity, std::string task_id, FeedPosition from);
  void start(std::shared_ptr<FeedReader> reader);
  // What the reader's connection has to tell; it keeps the feed alive until closed().
  void drained();  // all that was queued has been taken
  void closed();   // nobody reads any more

private:
  void subscribe();  // state worker
  void subscribed(std::uint64_t subscription);
  void fail(const std::string& why);
  void changed(const store::TaskRecord& task);
  void tell(bool at_once);
  void begin_attempt();
  void output_is_over();
  void open_source();
  bool ask_runner();
  void retry_later();
  void stream_arrived(std::shared_ptr<net::WebSocket> stream);
  void from_runner(std::string_view data, bool binary);
  void stream_closed();
  void forward(bool is_stderr, std::string_view bytes);
  void read_files();
  void file_chunks(const std::array<std::string, 2>& chunks, bool missing);
  void finish_if_done();
  template <class F>
  void post(F work);

  Services& services_;
  const Identity identity_;
  std::shared_ptr<FeedReader> reader_;
  std::shared_ptr<net::WebSocket> stream_;
  std::string task_id_, expected_;
  std::optional<store::TaskRecord> task_;
  std::optional<store::TaskRecord> next_;  // of another attempt, while the one before has output left
  FeedPosition at_;
  std::optional<std::uint64_t> subscription_;
  boost::asio::steady_timer retry_;
  bool paused_ = false, reading_file_ = false, chunk_under_way_ = false, source_done_ = false, asked_for_missing_ = false, over_ = false;
  bool status_owed_ = false;
};

}  // namespace riverbox::api
