// A loaded program. Owns a descriptor; the program lives on while it is pinned or attached.
#pragma once

#include <bpf/bpf.h>
#include <napi.h>

#include <optional>
#include <string>

#include "fd.h"

namespace podgate {

class BpfProgram : public Napi::ObjectWrap<BpfProgram> {
 public:
  static constexpr napi_type_tag kTag = {0x9b8a1f6e5f2c4d01, 0xb0d6a3c1e7f24a11};
  static constexpr const char* kName = "BpfProgram";

  static Napi::Function Define(Napi::Env env);
  static Napi::Object Make(Napi::Env env, UniqueFd fd, enum bpf_attach_type attach_type);
  explicit BpfProgram(const Napi::CallbackInfo& info);

  // Throws ERR_CLOSED when closed.
  int Fd(Napi::Env env, const std::string& operation) const;

 private:
  static Napi::Value Open(const Napi::CallbackInfo& info);
  void Pin(const Napi::CallbackInfo& info);
  Napi::Value AttachCgroup(const Napi::CallbackInfo& info);
  Napi::Value AttachRawTracepoint(const Napi::CallbackInfo& info);
  Napi::Value Iterate(const Napi::CallbackInfo& info);
  Napi::Value Info(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo& info);

  struct bpf_prog_info QueryInfo(Napi::Env env, const std::string& operation) const;

  UniqueFd fd_;
  std::string name_;
  uint32_t type_ = 0;
  // Unknown for a program opened from a pin: the kernel does not tell.
  std::optional<enum bpf_attach_type> attach_type_;
};

}  // namespace podgate
