#include "timer.h"

#include "uv_loop.h"

namespace podgate {

Timer* Timer::Make(Napi::Env env, std::function<void()> fired, std::function<void()> teardown, int* error) {
  Timer* timer = new Timer(std::move(fired), std::move(teardown));
  *error = timer->Open(env, kUvTimerType,
                       [](uv_loop_s* loop, uv_handle_s* handle) { return uv_timer_init(loop, handle); });
  return *error == 0 ? timer : nullptr;
}

void Timer::Start(uint64_t milliseconds) {
  uv_update_time(uv_handle_get_loop(Raw()));
  uv_timer_start(Raw(), OnTimer, milliseconds, 0);
}

void Timer::OnTimer(uv_handle_s* handle) {
  static_cast<Timer*>(static_cast<LoopHandle*>(uv_handle_get_data(handle)))->fired_();
}

}  // namespace podgate
