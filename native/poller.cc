#include "poller.h"

#include <errno.h>

#include <cstdlib>

#include "uv_poll.h"

namespace podgate {

Poller* Poller::Start(Napi::Env env, int fd, PollerEvents events, int* error) {
  struct uv_loop_s* loop = nullptr;
  *error = EINVAL;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return nullptr;
  Poller* poller = new Poller(std::move(events));
  poller->handle_ = static_cast<uv_handle_s*>(std::calloc(1, uv_handle_size(kUvPollType)));
  int status = poller->handle_ == nullptr ? -ENOMEM : uv_poll_init(loop, poller->handle_, fd);
  if (status != 0) {
    *error = -status;
    delete poller;
    return nullptr;
  }
  uv_handle_set_data(poller->handle_, poller);
  status = uv_poll_start(poller->handle_, kUvReadable, OnPoll);
  if (status != 0 || napi_add_async_cleanup_hook(env, OnTeardown, poller, &poller->hook_) != napi_ok) {
    if (status != 0) *error = -status;
    poller->Stop();
    return nullptr;
  }
  return poller;
}

Poller::~Poller() {
  // Only now may the environment end: it waits for every hook that is not removed.
  if (hook_ != nullptr) napi_remove_async_cleanup_hook(hook_);
  std::free(handle_);
}

void Poller::Stop() {
  stopped_ = true;
  uv_poll_stop(handle_);
  uv_close(handle_, [](uv_handle_s* handle) { delete static_cast<Poller*>(uv_handle_get_data(handle)); });
}

void Poller::Ref() { uv_ref(handle_); }
void Poller::Unref() { uv_unref(handle_); }

void Poller::OnPoll(uv_handle_s* handle, int status, int) {
  Poller* poller = static_cast<Poller*>(uv_handle_get_data(handle));
  if (status < 0) {
    poller->events_.failed(-status);
  } else {
    poller->events_.readable();
  }
}

void Poller::OnTeardown(napi_async_cleanup_hook_handle, void* data) {
  Poller* poller = static_cast<Poller*>(data);
  if (!poller->stopped_) poller->events_.teardown();
}

}  // namespace podgate
