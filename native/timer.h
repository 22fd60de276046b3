// Waits on the event loop, once per Start.
#pragma once

#include <stdint.h>

#include "loop_handle.h"

namespace podgate {

class Timer : public LoopHandle {
 public:
  // Returns null, with `*error` a positive errno, when libuv refuses. `teardown`: the environment ends, call Stop.
  static Timer* Make(Napi::Env env, std::function<void()> fired, std::function<void()> teardown, int* error);
  // From now, also when the loop's own clock is late. A second Start replaces the first.
  void Start(uint64_t milliseconds);

 private:
  Timer(std::function<void()> fired, std::function<void()> teardown)
      : LoopHandle(std::move(teardown)), fired_(std::move(fired)) {}
  static void OnTimer(uv_handle_s* handle);

  std::function<void()> fired_;
};

}  // namespace podgate
