#include "accept_loop.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

namespace podgate {
namespace {

constexpr int kBurst = 64;
constexpr uint64_t kRetryMilliseconds = 100;

bool IsShortage(int error) { return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM; }

// accept(2) also tells what has happened to the connection that it would have returned.
bool IsAboutOneConnection(int error) {
  switch (error) {
    case ECONNABORTED:
    case EINTR:
    case EPERM:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ETIMEDOUT:
      return true;
    default:
      return false;
  }
}

// The kernel also hands out a connection that was reset while it waited. Its port may be another's by now.
bool IsDead(int fd) {
  struct tcp_info info = {};
  socklen_t length = sizeof(info);
  return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 && info.tcpi_state == TCP_CLOSE;
}

}  // namespace

int AcceptLoop::Start(Napi::Env env, UniqueFd* listener, AcceptEvents events) {
  events_ = std::move(events);
  int error = 0;
  timer_ = Timer::Make(env, [this] { poller_->Resume(); }, events_.teardown, &error);
  if (timer_ == nullptr) return error;
  PollerEvents poll;
  poll.ready = [this] { AcceptBurst(); };
  poll.failed = [this](int status) {
    int own = 0;
    socklen_t size = sizeof(own);
    if (getsockopt(listener_.Get(), SOL_SOCKET, SO_ERROR, &own, &size) != 0) own = errno;
    End(own == 0 ? status : own);
  };
  poll.teardown = events_.teardown;
  poller_ = Poller::Start(env, listener->Get(), Poller::Wait::kReadable, std::move(poll), &error);
  if (poller_ == nullptr) {
    timer_->Stop();
    timer_ = nullptr;
    return error;
  }
  listener_ = std::move(*listener);
  return 0;
}

void AcceptLoop::AcceptBurst() {
  for (int count = 0; count < kBurst && IsOpen(); count++) {
    struct sockaddr_storage peer = {};
    socklen_t length = sizeof(peer);
    UniqueFd fd(
        accept4(listener_.Get(), reinterpret_cast<struct sockaddr*>(&peer), &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd.Valid()) {
      short_of_resources_ = false;
      if (IsDead(fd.Get())) continue;
      events_.accepted(std::move(fd), peer);
    } else if (errno == EAGAIN) {
      return;
    } else if (!IsAboutOneConnection(errno)) {
      return Fail(errno);
    }
  }
}

void AcceptLoop::Fail(int error) {
  if (!IsShortage(error)) return End(error);
  poller_->Pause();
  timer_->Start(kRetryMilliseconds);
  bool is_news = !short_of_resources_;
  short_of_resources_ = true;
  if (is_news) events_.failed(error, false);
}

void AcceptLoop::End(int error) {
  Stop();
  events_.failed(error, true);
}

// Also runs while the environment ends, so it must not touch JavaScript.
void AcceptLoop::Stop() {
  if (poller_ != nullptr) poller_->Stop();
  if (timer_ != nullptr) timer_->Stop();
  poller_ = nullptr;
  timer_ = nullptr;
  listener_.Reset();
}

}  // namespace podgate
