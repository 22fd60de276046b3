#include "loop_handle.h"

#include <errno.h>

#include <cstdlib>

#include "uv_loop.h"

namespace podgate {

int LoopHandle::Open(Napi::Env env, int type, const std::function<int(uv_loop_s*, uv_handle_s*)>& initialize) {
  struct uv_loop_s* loop = nullptr;
  int status = napi_get_uv_event_loop(env, &loop) == napi_ok ? 0 : -EINVAL;
  if (status == 0) {
    handle_ = static_cast<uv_handle_s*>(std::calloc(1, uv_handle_size(type)));
    status = handle_ == nullptr ? -ENOMEM : initialize(loop, handle_);
  }
  if (status != 0) {
    delete this;  // libuv does not know the handle
    return -status;
  }
  uv_handle_set_data(handle_, this);
  if (napi_add_async_cleanup_hook(env, OnTeardown, this, &hook_) != napi_ok) {
    Stop();
    return EINVAL;
  }
  return 0;
}

LoopHandle::~LoopHandle() {
  // Only now may the environment end: it waits for every hook that is not removed.
  if (hook_ != nullptr) napi_remove_async_cleanup_hook(hook_);
  std::free(handle_);
}

void LoopHandle::Stop() {
  stopped_ = true;
  // Ends polling and timing at once; the callback comes in a later turn of the loop.
  uv_close(handle_, [](uv_handle_s* handle) { delete static_cast<LoopHandle*>(uv_handle_get_data(handle)); });
}

void LoopHandle::Ref() { uv_ref(handle_); }
void LoopHandle::Unref() { uv_unref(handle_); }

void LoopHandle::OnTeardown(napi_async_cleanup_hook_handle, void* data) {
  LoopHandle* handle = static_cast<LoopHandle*>(data);
  if (!handle->stopped_) handle->teardown_();
}

}  // namespace podgate
