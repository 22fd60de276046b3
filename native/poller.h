// Watches one descriptor on the event loop. Knows libuv, not ring buffers.
#pragma once

#include <napi.h>

#include <functional>

struct uv_handle_s;  // libuv's, see uv_poll.h

namespace podgate {

struct PollerEvents {
  std::function<void()> readable;
  std::function<void(int error)> failed;  // a positive errno; polling has stopped
  std::function<void()> teardown;         // the environment ends: call Stop
};

class Poller {
 public:
  // Calls `events` on the loop's thread. Returns null, with `*error` a positive errno, when libuv refuses.
  // `fd` stays the caller's and must be open until Stop.
  static Poller* Start(Napi::Env env, int fd, PollerEvents events, int* error);
  // No event comes any more. Frees the poller, but later: may be called from within an event.
  void Stop();
  void Ref();
  void Unref();

 private:
  explicit Poller(PollerEvents events) : events_(std::move(events)) {}
  ~Poller();
  static void OnPoll(uv_handle_s* handle, int status, int readiness);
  static void OnTeardown(napi_async_cleanup_hook_handle hook, void* data);

  PollerEvents events_;
  uv_handle_s* handle_ = nullptr;
  napi_async_cleanup_hook_handle hook_ = nullptr;
  bool stopped_ = false;
};

}  // namespace podgate
