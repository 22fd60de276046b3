// A network namespace, held open: makes sockets inside it and reads and ends its connections.
#pragma once

#include <napi.h>
#include <stdint.h>

#include <functional>
#include <string>
#include <vector>

#include "fd.h"

namespace podgate {

// Of the calling thread's network namespace. 0 or a positive errno: ENOPROTOOPT before Linux 5.14.
int ReadNetnsCookie(uint64_t* cookie);

class Netns : public Napi::ObjectWrap<Netns> {
 public:
  static Napi::Function Define(Napi::Env env);
  explicit Netns(const Napi::CallbackInfo& info);

 private:
  static Napi::Value Open(const Napi::CallbackInfo& info);
  Napi::Value Listen(const Napi::CallbackInfo& info);
  Napi::Value Sockets(const Napi::CallbackInfo& info);
  Napi::Value List(const Napi::CallbackInfo& info);
  Napi::Value Destroy(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo& info);

  std::vector<UniqueFd> MakeSockets(Napi::Env env, int family, uint32_t count);
  // Runs `act` inside, on another thread. Throws ERR_CLOSED; else returns 0 or a positive errno.
  int Inside(Napi::Env env, const std::string& operation, const std::function<int()>& act);

  UniqueFd fd_;
};

}  // namespace podgate
