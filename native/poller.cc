#include "poller.h"

#include <errno.h>

#include "uv_loop.h"

namespace podgate {

Poller* Poller::Start(Napi::Env env, int fd, Wait wait, PollerEvents events, int* error) {
  Poller* poller = new Poller(wait, std::move(events));
  *error = poller->Open(env, kUvPollType,
                        [fd](uv_loop_s* loop, uv_handle_s* handle) { return uv_poll_init(loop, handle, fd); });
  if (*error != 0) return nullptr;
  poller->Resume();
  return poller;
}

Poller::Poller(Wait wait, PollerEvents events)
    : LoopHandle(events.teardown), wait_(wait == Wait::kReadable ? kUvReadable : kUvWritable),
      events_(std::move(events)) {}

void Poller::Pause() { uv_poll_stop(Raw()); }

// Fails only for a handle that is closing, which has no use for events.
void Poller::Resume() { uv_poll_start(Raw(), wait_, OnPoll); }

void Poller::OnPoll(uv_handle_s* handle, int status, int) {
  Poller* poller = static_cast<Poller*>(static_cast<LoopHandle*>(uv_handle_get_data(handle)));
  if (status < 0) {
    poller->events_.failed(-status);
  } else {
    poller->events_.ready();
  }
}

}  // namespace podgate
