// Something that holds as long as a descriptor is open: a lock, the switch for run-time statistics.
#pragma once

#include <napi.h>

#include "fd.h"

namespace podgate {

class Handle : public Napi::ObjectWrap<Handle> {
 public:
  static Napi::Function Define(Napi::Env env);
  static Napi::Object Make(Napi::Env env, UniqueFd fd);
  explicit Handle(const Napi::CallbackInfo& info);

 private:
  void Close(const Napi::CallbackInfo& info);

  UniqueFd fd_;
};

}  // namespace podgate
