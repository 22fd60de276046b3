#include "pump_thread.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <system_error>

#include "claims.h"
#include "descriptors.h"

namespace podgate {
namespace {

constexpr int64_t kNever = INT64_MAX;
constexpr int64_t kLeastBetweenIdleChecks = 100;  // ms; a check looks at every connection
constexpr int64_t kFeedAgain = 100;               // ms
constexpr int kEventsAtOnce = 128;

int64_t Now() {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * int64_t{1000} + time.tv_nsec / 1000000;
}

[[noreturn]] void Throw(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

}  // namespace

PumpThread::PumpThread(PumpEnds& ends)
    : ends_(ends),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      wake_(epoll_.Valid() ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1),
      next_idle_check_(kNever),
      next_feeding_(kNever) {
  if (!wake_.Valid()) Throw("open epoll");
  struct epoll_event event = {};
  event.events = EPOLLIN;
  if (epoll_ctl(epoll_.Get(), EPOLL_CTL_ADD, wake_.Get(), &event) != 0) Throw("watch eventfd");
  // The thread inherits the mask: signals are for Node.js, and SIGPIPE is for nobody.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    thread_ = std::thread([this] { Run(); });
  } catch (...) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_setname_np(thread_.native_handle(), "podgate-pump");
}

PumpThread::~PumpThread() {
  Quit();
  if (thread_.joinable()) thread_.join();
}

void PumpThread::Adopt(Connections& one) {
  Connection& connection = one.front();
  connection.self = one.begin();
  connection.in = &one;
  std::unique_lock<std::mutex> lock(mutex_);
  bool gone = gone_;
  if (!gone) MoveTo(adopted_, connection);
  lock.unlock();
  if (gone) return End(connection, How::kReset);
  eventfd_write(wake_.Get(), 1);
}

void PumpThread::StopMarked() {
  if (!marked_.exchange(true)) eventfd_write(wake_.Get(), 1);
}

void PumpThread::Quit() {
  std::lock_guard<std::mutex> lock(mutex_);
  quit_ = true;
  eventfd_write(wake_.Get(), 1);
}

void PumpThread::Run() {
  bool sound = true;
  while (sound) {
    sound = Wait();
    now_ = Now();
    if (!TakeOrders()) break;
    if (marked_.exchange(false)) EndMarked();
    TakeTurns();
    if (now_ >= next_idle_check_) EndIdle();
  }
  EndAll(sound ? How::kStopped : How::kReset);
}

bool PumpThread::Wait() {
  struct epoll_event events[kEventsAtOnce];
  int count = epoll_wait(epoll_.Get(), events, kEventsAtOnce, Timeout());
  if (count < 0) return errno == EINTR;
  for (int i = 0; i < count; i++) {
    if (events[i].data.ptr == nullptr) {
      eventfd_t ignored;
      eventfd_read(wake_.Get(), &ignored);
    } else {
      // Only notes it. Connections end later, so that no event of this batch can belong to one that is gone.
      Heed(*static_cast<Side*>(events[i].data.ptr), events[i].events);
    }
  }
  return true;
}

int PumpThread::Timeout() const {
  if (!ready_.empty()) return 0;
  int64_t next = std::min(next_idle_check_, next_feeding_);
  if (next == kNever) return -1;
  return static_cast<int>(std::clamp<int64_t>(next - Now(), 0, 60 * 60 * 1000));
}

void PumpThread::Heed(Side& side, uint32_t events) {
  if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) side.readable = true;
  if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) side.writable = true;
  if (events & EPOLLERR) {
    int error = 0;
    socklen_t size = sizeof(error);
    if (getsockopt(side.fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) side.failed = true;
  }
  MoveTo(ready_, side.owner);
}

bool PumpThread::TakeOrders() {
  std::unique_lock<std::mutex> lock(mutex_);
  Connections adopted;
  adopted.swap(adopted_);
  bool quit = quit_;
  lock.unlock();
  for (Connection& connection : adopted) connection.in = &adopted;
  ForEach(adopted, [this](Connection& connection) { Admit(connection); });
  return !quit;
}

void PumpThread::Admit(Connection& connection) {
  connection.active_at = now_;
  MoveTo(asleep_, connection);
  Watch(connection.client);
  Watch(connection.upstream);
  if (connection.client.failed || connection.upstream.failed) return End(connection, How::kReset);
  if (connection.idle_ms != 0) next_idle_check_ = std::min(next_idle_check_, now_ + connection.idle_ms);
}

// Edge-triggered, once and for all: what has hung up tells so once, and cannot keep the thread busy.
void PumpThread::Watch(Side& side) {
  struct epoll_event event = {};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = &side;
  if (epoll_ctl(epoll_.Get(), EPOLL_CTL_ADD, side.fd, &event) != 0) side.failed = true;
}

// One turn each, then epoll again: those with more to do are at the end of the list now.
void PumpThread::TakeTurns() {
  size_t kept = pool_.Kept();
  for (size_t turns = ready_.size(); turns > 0; turns--) TakeTurn(ready_.front());
  FeedStarved(pool_.Kept() > kept ? pool_.Kept() - kept : 0);
}

void PumpThread::TakeTurn(Connection& connection) {
  uint64_t before = connection.up.Activity() + connection.down.Activity();
  Progress up = connection.up.Move(connection.client, connection.upstream, pool_);
  Progress down = connection.down.Move(connection.upstream, connection.client, pool_);
  if (connection.client.failed || connection.upstream.failed) {
    Drain(connection);
    return End(connection, How::kReset);
  }
  if (connection.up.Ended() && connection.down.Ended()) return End(connection, How::kClosed);
  if (connection.up.Activity() + connection.down.Activity() != before) connection.active_at = now_;
  if (up == Progress::kMore || down == Progress::kMore) {
    MoveTo(ready_, connection);
  } else if (up == Progress::kStarved || down == Progress::kStarved) {
    MoveTo(starved_, connection);
    next_feeding_ = std::min(next_feeding_, now_ + kFeedAgain);
  } else {
    MoveTo(asleep_, connection);
  }
}

// What a socket received before it was reset still goes on, as far as the other takes it at once.
void PumpThread::Drain(Connection& connection) {
  if (connection.client.failed) {
    while (connection.up.Move(connection.client, connection.upstream, pool_) == Progress::kMore) continue;
  }
  if (connection.upstream.failed) {
    while (connection.down.Move(connection.upstream, connection.client, pool_) == Progress::kMore) continue;
  }
}

// As many as pipes were given back; from time to time all, since the process may be able to open some again. Not as many
// as there are pipes: who is short of memory has no use for one, and would be tried without end.
void PumpThread::FeedStarved(size_t given) {
  bool all = now_ >= next_feeding_;
  size_t count = all ? starved_.size() : std::min(given, starved_.size());
  for (; count > 0; count--) MoveTo(ready_, starved_.front());
  if (starved_.empty()) next_feeding_ = kNever;
}

void PumpThread::EndIdle() {
  next_idle_check_ = kNever;
  auto check = [this](Connection& connection) {
    if (connection.idle_ms == 0) return;
    int64_t due = connection.active_at + connection.idle_ms;
    if (due <= now_) return End(connection, How::kIdle);
    next_idle_check_ = std::min(next_idle_check_, std::max(due, now_ + kLeastBetweenIdleChecks));
  };
  ForEach(ready_, check);
  ForEach(asleep_, check);
  ForEach(starved_, check);
}

void PumpThread::EndMarked() {
  auto check = [this](Connection& connection) {
    if (connection.stop) End(connection, How::kStopped);
  };
  ForEach(ready_, check);
  ForEach(asleep_, check);
  ForEach(starved_, check);
}

void PumpThread::EndAll(How how) {
  std::unique_lock<std::mutex> lock(mutex_);
  gone_ = true;
  lock.unlock();
  TakeOrders();
  auto end = [=](Connection& connection) { End(connection, how); };
  ForEach(ready_, end);
  ForEach(asleep_, end);
  ForEach(starved_, end);
}

void PumpThread::End(Connection& connection, How how) {
  connection.how = how;
  connection.up.Abandon(pool_);
  connection.down.Abandon(pool_);
  Close(connection.client, how != How::kClosed);
  Close(connection.upstream, how != How::kClosed);
  ends_.Put(connection);  // from here on the event loop may free it
}

void PumpThread::Close(Side& side, bool reset) {
  // The descriptor may have a copy somewhere, which would keep it watched.
  epoll_ctl(epoll_.Get(), EPOLL_CTL_DEL, side.fd, nullptr);
  SetResetOnClose(side.fd, reset);
  UnclaimDescriptor(side.fd);
  close(side.fd);
}

// `act` may move the connection to another list or end it.
template <typename Act>
void PumpThread::ForEach(Connections& list, Act act) {
  for (auto next = list.begin(); next != list.end();) act(*next++);
}

}  // namespace podgate
