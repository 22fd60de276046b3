#include "handle.h"

#include "addon.h"
#include "error.h"

namespace podgate {

Napi::Function Handle::Define(Napi::Env env) {
  return DefineClass(env, "Handle", {InstanceMethod<&Handle::Close>("close")});
}

Napi::Object Handle::Make(Napi::Env env, UniqueFd fd) { return ConstructWith(env, &Addon::handle, std::move(fd)); }

Handle::Handle(const Napi::CallbackInfo& info) : ObjectWrap(info), fd_(TakeHandover(info.Env())) {
  if (!fd_.Valid()) FailType(info.Env(), "a handle cannot be constructed: call lockDirectory or enableStats");
}

void Handle::Close(const Napi::CallbackInfo&) { fd_.Reset(); }

}  // namespace podgate
