// The part of libuv's stable C interface (libuv 1.x, which every Node.js exports) that polling a descriptor and waiting
// need. Node-API hands out the loop but no way to use it, and the Node-API headers do not bring uv.h.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {
struct uv_loop_s;
struct uv_handle_s;  // also stands for uv_poll_t and uv_timer_t, whose sizes libuv tells at run time

using UvCloseCallback = void (*)(uv_handle_s* handle);
using UvPollCallback = void (*)(uv_handle_s* handle, int status, int events);
using UvTimerCallback = void (*)(uv_handle_s* handle);

size_t uv_handle_size(int type);
void uv_handle_set_data(uv_handle_s* handle, void* data);
void* uv_handle_get_data(const uv_handle_s* handle);
void uv_update_time(uv_loop_s* loop);
uv_loop_s* uv_handle_get_loop(const uv_handle_s* handle);
int uv_poll_init(uv_loop_s* loop, uv_handle_s* handle, int fd);
int uv_poll_start(uv_handle_s* handle, int events, UvPollCallback callback);
int uv_poll_stop(uv_handle_s* handle);
int uv_timer_init(uv_loop_s* loop, uv_handle_s* handle);
int uv_timer_start(uv_handle_s* handle, UvTimerCallback callback, uint64_t timeout, uint64_t repeat);
void uv_close(uv_handle_s* handle, UvCloseCallback callback);
void uv_ref(uv_handle_s* handle);
void uv_unref(uv_handle_s* handle);
}

constexpr int kUvPollType = 8;    // enum uv_handle_type: UV_POLL
constexpr int kUvTimerType = 13;  // UV_TIMER
constexpr int kUvReadable = 1;    // enum uv_poll_event: UV_READABLE
constexpr int kUvWritable = 2;    // UV_WRITABLE
