#include "link.h"

#include <bpf/bpf.h>
#include <errno.h>

#include "addon.h"
#include "arguments.h"
#include "error.h"
#include "pin.h"
#include "program.h"

namespace podgate {

Napi::Function BpfLink::Define(Napi::Env env) {
  return DefineClass(env, kName,
                     {StaticMethod<&BpfLink::Open>("open"), InstanceMethod<&BpfLink::Pin>("pin"),
                      InstanceMethod<&BpfLink::Update>("update"), InstanceMethod<&BpfLink::Info>("info"),
                      InstanceMethod<&BpfLink::Detach>("detach"), InstanceMethod<&BpfLink::Close>("close")});
}

Napi::Object BpfLink::Make(Napi::Env env, UniqueFd fd) { return ConstructWith(env, &Addon::link, std::move(fd)); }

BpfLink::BpfLink(const Napi::CallbackInfo& info) : ObjectWrap(info), fd_(TakeHandover(info.Env())) {
  if (!fd_.Valid()) FailType(info.Env(), "a BpfLink cannot be constructed: call BpfLink.open or attach a program");
  info.This().As<Napi::Object>().TypeTag(&kTag);
}

Napi::Value BpfLink::Open(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string path = PathArgument(info, 0, "path");
  return Make(env, OpenPin(env, "open link " + path, path, "bpf-link"));
}

void BpfLink::Pin(const Napi::CallbackInfo& info) {
  std::string path = PathArgument(info, 0, "path");
  std::string operation = "pin link at " + path;
  podgate::Pin(info.Env(), operation, Fd(info.Env(), operation), path);
}

void BpfLink::Update(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  BpfProgram* program = InstanceArgument<BpfProgram>(info, 0, "program");
  int link = Fd(env, "update link");
  if (bpf_link_update(link, program->Fd(env, "update link"), nullptr) != 0) Fail(env, "update link", errno);
}

Napi::Value BpfLink::Info(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  struct bpf_link_info facts = {};
  uint32_t size = sizeof(facts);
  if (bpf_obj_get_info_by_fd(Fd(env, "read link"), &facts, &size) != 0) Fail(env, "read link", errno);
  Napi::Object result = Napi::Object::New(env);
  result.Set("id", facts.id);
  result.Set("programId", facts.prog_id);
  result.Set("type", facts.type);
  if (facts.type == BPF_LINK_TYPE_CGROUP) {
    result.Set("cgroupId", Napi::BigInt::New(env, static_cast<uint64_t>(facts.cgroup.cgroup_id)));
    result.Set("attachType", facts.cgroup.attach_type);
  }
  return result;
}

void BpfLink::Detach(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (bpf_link_detach(Fd(env, "detach link")) != 0) Fail(env, "detach link", errno);
}

void BpfLink::Close(const Napi::CallbackInfo&) { fd_.Reset(); }

int BpfLink::Fd(Napi::Env env, const std::string& operation) const {
  if (!fd_.Valid()) FailClosed(env, operation);
  return fd_.Get();
}

}  // namespace podgate
