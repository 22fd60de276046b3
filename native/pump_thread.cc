#include "pump_thread.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <system_error>

#include "claims.h"
#include "descriptors.h"
#include "loop_mark.h"

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

// Whatever it was for its owner, it is the pump's now.
void Prepare(Side& side) {
  int flags = fcntl(side.fd, F_GETFL);
  bool blocks = flags >= 0 && (flags & O_NONBLOCK) == 0;
  if (flags < 0 || (blocks && fcntl(side.fd, F_SETFL, flags | O_NONBLOCK) != 0)) side.failed = true;
  // A process that is killed must not make half of a stream look like all of it.
  SetResetOnClose(side.fd, true);
  // Whoever sent the bytes has decided already when they go. What is refused here is a socket that was just reset.
  int on = 1;
  setsockopt(side.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  // A peer that vanished without a word would hold its connection for good.
  setsockopt(side.fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

[[noreturn]] void Throw(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

}  // namespace

PumpThread::PumpThread(PumpEnds& ends)
    : ends_(ends),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      wake_(epoll_.Valid() ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1),
      next_idle_check_(kNever),
      next_dial_check_(kNever),
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
  bool is_first = adopted_.empty();
  if (!gone) MoveTo(adopted_, connection);
  lock.unlock();
  if (gone) return End(connection, How::kReset);
  if (is_first) eventfd_write(wake_.Get(), 1);
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
    if (now_ >= next_dial_check_) EndUnanswered();
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
  int64_t next = std::min({next_idle_check_, next_dial_check_, next_feeding_});
  if (next == kNever) return -1;
  return static_cast<int>(std::clamp<int64_t>(next - Now(), 0, 60 * 60 * 1000));
}

void PumpThread::Heed(Side& side, uint32_t events) {
  if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) side.readable = true;
  if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) side.writable = true;
  int error = 0;
  socklen_t size = sizeof(error);
  if ((events & EPOLLERR) && getsockopt(side.fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  if (error != 0) side.failed = true;
  if (!side.owner.dialled) side.owner.error = error;
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
  Prepare(connection.client);
  Prepare(connection.upstream);
  const Dial& dial = connection.dial;
  if (dial.length == 0) {
    Watch(connection.upstream);
    return Join(connection);
  }
  connection.active_at = now_;
  MoveTo(dialling_, connection);
  int status = connect(connection.upstream.fd, reinterpret_cast<const struct sockaddr*>(&dial.to), dial.length);
  if (status != 0 && errno != EINPROGRESS && errno != EINTR) return Unconnected(connection, errno);
  // A peer on this machine has answered by now: the next look says so.
  Watch(connection.upstream);
  next_dial_check_ = std::min(next_dial_check_, now_ + dial.timeout_ms);
}

void PumpThread::Dialled(Connection& connection) {
  if (connection.upstream.failed) return Unconnected(connection, connection.error == 0 ? ECONNRESET : connection.error);
  if (!connection.upstream.writable) return MoveTo(dialling_, connection);
  connection.dialled = true;
  ends_.PutConnected(connection);
  Join(connection);
}

void PumpThread::Unconnected(Connection& connection, int error) {
  connection.error = error;
  End(connection, How::kUnconnected);
}

void PumpThread::Join(Connection& connection) {
  connection.active_at = now_;
  // One that kept its mark would merely be ended when the event loop stands still.
  MarkForEventLoop(connection.client.fd, false);
  MarkForEventLoop(connection.upstream.fd, false);
  MoveTo(asleep_, connection);
  Watch(connection.client);
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
  if (!connection.dialled) return Dialled(connection);
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
    if (connection.idle_ms == 0 || !connection.dialled) return;
    int64_t due = connection.active_at + connection.idle_ms;
    if (due <= now_) return End(connection, How::kIdle);
    next_idle_check_ = std::min(next_idle_check_, std::max(due, now_ + kLeastBetweenIdleChecks));
  };
  ForAll(check);
}

void PumpThread::EndUnanswered() {
  next_dial_check_ = kNever;
  ForEach(dialling_, [this](Connection& connection) {
    int64_t due = connection.active_at + connection.dial.timeout_ms;
    if (due <= now_) return Unconnected(connection, ETIMEDOUT);
    next_dial_check_ = std::min(next_dial_check_, due);
  });
}

void PumpThread::EndMarked() {
  ForAll([this](Connection& connection) {
    if (connection.stop) End(connection, How::kStopped);
  });
}

void PumpThread::EndAll(How how) {
  std::unique_lock<std::mutex> lock(mutex_);
  gone_ = true;
  lock.unlock();
  TakeOrders();
  ForAll([=](Connection& connection) { End(connection, how); });
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
  if (!reset) SetResetOnClose(side.fd, false);
  UnclaimDescriptor(side.fd);
  close(side.fd);
}

// `act` may move the connection to another list or end it.
template <typename Act>
void PumpThread::ForEach(Connections& list, Act act) {
  for (auto next = list.begin(); next != list.end();) act(*next++);
}

template <typename Act>
void PumpThread::ForAll(Act act) {
  for (Connections* list : {&dialling_, &ready_, &asleep_, &starved_}) ForEach(*list, act);
}

}  // namespace podgate
