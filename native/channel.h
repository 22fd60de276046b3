// A connected Unix socket that carries messages and descriptors between two processes.
#pragma once

#include <napi.h>

#include <memory>
#include <string>
#include <vector>

#include "callback.h"
#include "fd.h"
#include "poller.h"
#include "seqpacket.h"

namespace podgate {

class FdChannel : public Napi::ObjectWrap<FdChannel> {
 public:
  static Napi::Function Define(Napi::Env env);
  static Napi::Object Make(Napi::Env env, UniqueFd fd);
  explicit FdChannel(const Napi::CallbackInfo& info);
  ~FdChannel() override;

 private:
  void Send(const Napi::CallbackInfo& info);
  void Receive(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo& info);

  // From the loop.
  void ReadBurst(int socket_error);
  void Deliver(Packet packet);
  void End(int error);
  void Release();

  UniqueFd fd_;
  Poller* poller_ = nullptr;
  int reset_ = 0;  // ECONNRESET, once the kernel has said so: what the peer sent before is still there
  std::vector<uint8_t> buffer_;
  std::unique_ptr<Callback> on_message_;
  std::unique_ptr<Callback> on_end_;
};

}  // namespace podgate
