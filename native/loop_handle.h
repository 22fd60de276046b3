// A libuv handle on the environment's event loop, whose life ends with Stop.
#pragma once

#include <napi.h>

#include <functional>

struct uv_handle_s;  // libuv's, see uv_loop.h
struct uv_loop_s;

namespace podgate {

class LoopHandle {
 public:
  LoopHandle(const LoopHandle&) = delete;
  LoopHandle& operator=(const LoopHandle&) = delete;
  // No event comes any more. Frees the object, but later: may be called from within an event.
  void Stop();
  void Ref();
  void Unref();

 protected:
  // `teardown`: the environment ends, call Stop.
  explicit LoopHandle(std::function<void()> teardown) : teardown_(std::move(teardown)) {}
  virtual ~LoopHandle();
  // Returns 0, or a positive errno after having freed the object.
  int Open(Napi::Env env, int type, const std::function<int(uv_loop_s*, uv_handle_s*)>& initialize);
  uv_handle_s* Raw() const { return handle_; }

 private:
  static void OnTeardown(napi_async_cleanup_hook_handle hook, void* data);

  std::function<void()> teardown_;
  uv_handle_s* handle_ = nullptr;
  napi_async_cleanup_hook_handle hook_ = nullptr;
  bool stopped_ = false;
};

}  // namespace podgate
