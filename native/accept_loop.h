// Takes connections off a listening socket on the event loop.
#pragma once

#include <napi.h>
#include <sys/socket.h>

#include <functional>

#include "fd.h"
#include "poller.h"
#include "timer.h"

namespace podgate {

struct AcceptEvents {
  std::function<void(UniqueFd fd, const struct sockaddr_storage& peer)> accepted;
  // A positive errno. `is_over`: nothing is accepted any more. Else accepting goes on by itself; said once until then.
  std::function<void(int error, bool is_over)> failed;
  std::function<void()> teardown;  // the environment ends: call Stop
};

// At most 64 connections per turn of the loop, so that a flood leaves others their turn. While the process or machine
// may open no more descriptors it waits 100 ms between attempts; connections stay in the backlog meanwhile.
class AcceptLoop {
 public:
  AcceptLoop() = default;
  ~AcceptLoop() { Stop(); }
  // Returns 0, or a positive errno; then the descriptor is still the caller's.
  int Start(Napi::Env env, UniqueFd* listener, AcceptEvents events);
  // Closes the socket. May be called from within an event, and twice.
  void Stop();
  bool IsOpen() const { return listener_.Valid(); }

 private:
  void AcceptBurst();
  void Fail(int error);
  void End(int error);

  AcceptEvents events_;
  UniqueFd listener_;
  Poller* poller_ = nullptr;
  Timer* timer_ = nullptr;
  bool short_of_resources_ = false;
};

}  // namespace podgate
