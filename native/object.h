// An ELF object of BPF programs and maps: opened, adjusted, loaded once. Owns the libbpf object; what it hands
// out (programs, maps) owns descriptors of its own and outlives it.
#pragma once

#include <bpf/libbpf.h>
#include <napi.h>

#include <string>

namespace podgate {

class BpfObject : public Napi::ObjectWrap<BpfObject> {
 public:
  static Napi::Function Define(Napi::Env env);
  explicit BpfObject(const Napi::CallbackInfo& info);
  ~BpfObject() override;

 private:
  void SetGlobal(const Napi::CallbackInfo& info);
  void SetPinPath(const Napi::CallbackInfo& info);
  void Load(const Napi::CallbackInfo& info);
  Napi::Value Program(const Napi::CallbackInfo& info);
  Napi::Value Map(const Napi::CallbackInfo& info);
  Napi::Value MapNames(const Napi::CallbackInfo& info);
  Napi::Value ProgramNames(const Napi::CallbackInfo& info);
  Napi::Value Structs(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo& info);

  void CheckOpen(Napi::Env env, const std::string& operation) const;
  // Adjusting is only possible between open and load.
  void CheckNotLoaded(Napi::Env env, const std::string& operation) const;
  void CheckLoaded(Napi::Env env, const std::string& operation) const;
  struct bpf_map* FindMap(Napi::Env env, const std::string& operation, const std::string& name) const;
  struct bpf_program* FindProgram(Napi::Env env, const std::string& operation, const std::string& name) const;
  const struct btf* Btf(Napi::Env env, const std::string& operation) const;

  enum class State { kOpen, kLoaded, kFailed };

  struct bpf_object* object_ = nullptr;
  State state_ = State::kOpen;
};

}  // namespace podgate
