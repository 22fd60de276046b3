#include "program.h"

#include <errno.h>
#include <fcntl.h>

#include <algorithm>
#include <vector>

#include "addon.h"
#include "arguments.h"
#include "error.h"
#include "link.h"
#include "pin.h"

namespace podgate {
namespace {

// The attach types that can be the expected one of a program of this type. Trying them is safe: the kernel
// refuses with EINVAL every type but the one the program was loaded for (5.10 to 6.18).
std::vector<enum bpf_attach_type> PossibleAttachTypes(uint32_t program_type) {
  switch (program_type) {
    case BPF_PROG_TYPE_CGROUP_SOCK_ADDR:
      return {BPF_CGROUP_INET4_CONNECT,     BPF_CGROUP_INET6_CONNECT,     BPF_CGROUP_UDP4_SENDMSG,
              BPF_CGROUP_UDP6_SENDMSG,      BPF_CGROUP_INET4_GETPEERNAME, BPF_CGROUP_INET6_GETPEERNAME,
              BPF_CGROUP_INET4_GETSOCKNAME, BPF_CGROUP_INET6_GETSOCKNAME, BPF_CGROUP_UDP4_RECVMSG,
              BPF_CGROUP_UDP6_RECVMSG,      BPF_CGROUP_INET4_BIND,        BPF_CGROUP_INET6_BIND};
    case BPF_PROG_TYPE_CGROUP_SOCK:
      return {BPF_CGROUP_INET_SOCK_CREATE, BPF_CGROUP_INET_SOCK_RELEASE, BPF_CGROUP_INET4_POST_BIND,
              BPF_CGROUP_INET6_POST_BIND};
    case BPF_PROG_TYPE_SOCK_OPS:
      return {BPF_CGROUP_SOCK_OPS};
    default:
      return {};
  }
}

// Reads to the end. Returns 0, or an errno; EMSGSIZE when there are more than `limit` bytes.
int ReadAll(int fd, size_t limit, std::vector<uint8_t>* bytes) {
  size_t length = 0;
  for (;;) {
    // One byte more than allowed, to see that there is more.
    if (length == bytes->size()) bytes->resize(std::min(limit + 1, std::max<size_t>(64 * 1024, length * 2)));
    ssize_t count = read(fd, bytes->data() + length, bytes->size() - length);
    // EAGAIN: the iterator visited a million objects without output and wants to be called again.
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (count < 0) return errno;
    length += static_cast<size_t>(count);
    if (length > limit) return EMSGSIZE;
    if (count == 0) break;
  }
  bytes->resize(length);
  return 0;
}

}  // namespace

Napi::Function BpfProgram::Define(Napi::Env env) {
  return DefineClass(env, kName,
                     {StaticMethod<&BpfProgram::Open>("open"), InstanceMethod<&BpfProgram::Pin>("pin"),
                      InstanceMethod<&BpfProgram::AttachCgroup>("attachCgroup"),
                      InstanceMethod<&BpfProgram::AttachRawTracepoint>("attachRawTracepoint"),
                      InstanceMethod<&BpfProgram::Iterate>("iterate"), InstanceMethod<&BpfProgram::Info>("info"),
                      InstanceMethod<&BpfProgram::Close>("close")});
}

Napi::Object BpfProgram::Make(Napi::Env env, UniqueFd fd, enum bpf_attach_type attach_type) {
  Napi::Object object = ConstructWith(env, &Addon::program, std::move(fd));
  Unwrap(object)->attach_type_ = attach_type;
  return object;
}

BpfProgram::BpfProgram(const Napi::CallbackInfo& info) : ObjectWrap(info), fd_(TakeHandover(info.Env())) {
  Napi::Env env = info.Env();
  if (!fd_.Valid()) FailType(env, "a BpfProgram cannot be constructed: call BpfProgram.open or BpfObject.program");
  struct bpf_prog_info facts = QueryInfo(env, "read program");
  name_ = facts.name;
  type_ = facts.type;
  info.This().As<Napi::Object>().TypeTag(&kTag);
}

Napi::Value BpfProgram::Open(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string path = PathArgument(info, 0, "path");
  return ConstructWith(env, &Addon::program, OpenPin(env, "open program " + path, path, "bpf-prog"));
}

int BpfProgram::Fd(Napi::Env env, const std::string& operation) const {
  if (!fd_.Valid()) FailClosed(env, operation);
  return fd_.Get();
}

void BpfProgram::Pin(const Napi::CallbackInfo& info) {
  std::string path = PathArgument(info, 0, "path");
  std::string operation = "pin program " + name_ + " at " + path;
  podgate::Pin(info.Env(), operation, Fd(info.Env(), operation), path);
}

Napi::Value BpfProgram::AttachCgroup(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string path = PathArgument(info, 0, "path");
  std::string operation = "attach " + name_ + " to " + path;
  int program = Fd(env, operation);
  UniqueFd cgroup(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!cgroup.Valid()) Fail(env, operation, errno);
  auto types = attach_type_ ? std::vector{*attach_type_} : PossibleAttachTypes(type_);
  int error = EINVAL;
  for (enum bpf_attach_type type : types) {
    UniqueFd link(bpf_link_create(program, cgroup.Get(), type, nullptr));
    if (link.Valid()) return BpfLink::Make(env, std::move(link));
    error = errno;
    if (error != EINVAL) break;
  }
  Fail(env, operation, error);
}

Napi::Value BpfProgram::AttachRawTracepoint(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string tracepoint = NameArgument(info, 0, "name");
  std::string operation = "attach " + name_ + " to raw tracepoint " + tracepoint;
  UniqueFd link(bpf_raw_tracepoint_open(tracepoint.c_str(), Fd(env, operation)));
  if (!link.Valid()) Fail(env, operation, errno);
  return BpfLink::Make(env, std::move(link));
}

Napi::Value BpfProgram::Iterate(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  uint32_t limit = IntegerOf(info[0], "maxBytes", 0, 1u << 30);
  std::string operation = "iterate " + name_;
  UniqueFd link(bpf_link_create(Fd(env, operation), 0, BPF_TRACE_ITER, nullptr));
  if (!link.Valid()) Fail(env, operation, errno);
  UniqueFd iterator(bpf_iter_create(link.Get()));
  if (!iterator.Valid()) Fail(env, operation, errno);
  std::vector<uint8_t> bytes;
  int error = ReadAll(iterator.Get(), limit, &bytes);
  if (error == EMSGSIZE) Fail(env, operation, error, "more than " + std::to_string(limit) + " bytes");
  if (error != 0) Fail(env, operation, error);
  return Napi::Buffer<uint8_t>::Copy(env, bytes.data(), bytes.size());
}

Napi::Value BpfProgram::Info(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  struct bpf_prog_info facts = QueryInfo(env, "read program " + name_);
  Napi::Object result = Napi::Object::New(env);
  result.Set("id", facts.id);
  result.Set("name", std::string(facts.name));
  result.Set("runCount", Napi::BigInt::New(env, static_cast<uint64_t>(facts.run_cnt)));
  result.Set("runTimeNs", Napi::BigInt::New(env, static_cast<uint64_t>(facts.run_time_ns)));
  return result;
}

void BpfProgram::Close(const Napi::CallbackInfo&) { fd_.Reset(); }

struct bpf_prog_info BpfProgram::QueryInfo(Napi::Env env, const std::string& operation) const {
  struct bpf_prog_info facts = {};
  uint32_t size = sizeof(facts);
  if (bpf_obj_get_info_by_fd(Fd(env, operation), &facts, &size) != 0) Fail(env, operation, errno);
  return facts;
}

}  // namespace podgate
