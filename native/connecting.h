// One TCP connect, from its start to its result.
#pragma once

#include <napi.h>

#include <memory>

#include "callback.h"
#include "fd.h"
#include "poller.h"
#include "timer.h"

namespace podgate {

class Connecting : public Napi::ObjectWrap<Connecting> {
 public:
  static Napi::Function Define(Napi::Env env);
  // (fd, address, port, timeoutMs, done)
  explicit Connecting(const Napi::CallbackInfo& info);
  ~Connecting() override;

 private:
  void Close(const Napi::CallbackInfo& info);
  // Begins; a positive errno is the result already, 0 too when `*pending` is false.
  int Begin(int fd, const uint8_t* address, uint16_t port, bool* pending);
  int SocketError() const;
  int Watch(Napi::Env env);
  void Decide(int poll_error);
  void Finish(int error);
  void Release();

  UniqueFd fd_;
  Poller* poller_ = nullptr;
  Timer* timer_ = nullptr;
  bool pending_ = false;
  int result_ = 0;
  std::unique_ptr<Callback> done_;
};

}  // namespace podgate
