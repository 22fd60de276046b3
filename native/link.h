// An attachment of a program. Owns a descriptor; closing it detaches, unless the link is pinned.
#pragma once

#include <napi.h>

#include <string>

#include "fd.h"

namespace podgate {

class BpfLink : public Napi::ObjectWrap<BpfLink> {
 public:
  static constexpr napi_type_tag kTag = {0x9b8a1f6e5f2c4d02, 0xb0d6a3c1e7f24a12};
  static constexpr const char* kName = "BpfLink";

  static Napi::Function Define(Napi::Env env);
  static Napi::Object Make(Napi::Env env, UniqueFd fd);
  explicit BpfLink(const Napi::CallbackInfo& info);

 private:
  static Napi::Value Open(const Napi::CallbackInfo& info);
  void Pin(const Napi::CallbackInfo& info);
  void Update(const Napi::CallbackInfo& info);
  Napi::Value Info(const Napi::CallbackInfo& info);
  void Detach(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo& info);

  int Fd(Napi::Env env, const std::string& operation) const;

  UniqueFd fd_;
};

}  // namespace podgate
