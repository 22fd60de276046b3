// Accepts TCP connections and hands their descriptors to JavaScript.
#pragma once

#include <napi.h>

#include <memory>

#include "accept_loop.h"
#include "callback.h"

namespace podgate {

class Acceptor : public Napi::ObjectWrap<Acceptor> {
 public:
  static Napi::Function Define(Napi::Env env);
  // (fd, onConnection, onError). Takes over `fd` unless it throws.
  explicit Acceptor(const Napi::CallbackInfo& info);

 private:
  void Close(const Napi::CallbackInfo& info);
  void Accepted(UniqueFd fd, const struct sockaddr_storage& peer);
  void Failed(int error, bool is_over);

  AcceptLoop loop_;
  std::unique_ptr<Callback> on_connection_;
  std::unique_ptr<Callback> on_error_;
};

}  // namespace podgate
