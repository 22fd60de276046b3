// Watches one descriptor on the event loop. Knows libuv, not what is read there.
#pragma once

#include "loop_handle.h"

namespace podgate {

struct PollerEvents {
  std::function<void()> ready;            // what was asked for: there is something to read, or room to write
  std::function<void(int error)> failed;  // a positive errno; polling has stopped. EBADF: the socket's own error is set
  std::function<void()> teardown;         // the environment ends: call Stop
};

class Poller : public LoopHandle {
 public:
  enum class Wait { kReadable, kWritable };
  // Calls `events` on the loop's thread. Returns null, with `*error` a positive errno, when libuv refuses.
  // `fd` stays the caller's and must be open until Stop; it becomes non-blocking.
  static Poller* Start(Napi::Env env, int fd, Wait wait, PollerEvents events, int* error);
  // Between the two no event comes, and the poller does not keep the process alive.
  void Pause();
  void Resume();

 private:
  Poller(Wait wait, PollerEvents events);
  static void OnPoll(uv_handle_s* handle, int status, int readiness);

  int wait_;
  PollerEvents events_;
};

}  // namespace podgate
