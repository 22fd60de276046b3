#include "host.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <time.h>

#include "arguments.h"
#include "error.h"
#include "handle.h"
#include "netns.h"

namespace podgate {
namespace {

Napi::Value NetnsCookie(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  uint64_t cookie = 0;
  if (int error = ReadNetnsCookie(&cookie)) Fail(env, "read netns cookie", error);
  return Napi::BigInt::New(env, cookie);
}

// Not from /proc/uptime, as Node.js has it: that is rounded, and takes a descriptor.
Napi::Value BootTime(const Napi::CallbackInfo& info) {
  struct timespec time = {};
  if (clock_gettime(CLOCK_BOOTTIME, &time) != 0) Fail(info.Env(), "read boot time", errno);
  return Napi::BigInt::New(info.Env(), static_cast<uint64_t>(time.tv_sec) * 1000000000 + time.tv_nsec);
}

bool IsOnFileSystem(Napi::Env env, const std::string& path, long magic) {
  struct statfs status;
  if (statfs(path.c_str(), &status) != 0) Fail(env, "read file system of " + path, errno);
  // f_type is signed on some architectures, so BPF_FS_MAGIC may come out negative.
  return static_cast<uint32_t>(status.f_type) == static_cast<uint32_t>(magic);
}

Napi::Value IsBpffs(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), IsOnFileSystem(info.Env(), PathArgument(info, 0, "path"), BPF_FS_MAGIC));
}

Napi::Value IsCgroup2(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(),
                            IsOnFileSystem(info.Env(), PathArgument(info, 0, "path"), CGROUP2_SUPER_MAGIC));
}

// The id is what bpf_get_current_cgroup_id returns: the kernfs id that the file handle of the directory carries.
Napi::Value CgroupId(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string path = PathArgument(info, 0, "path");
  std::string operation = "read cgroup id of " + path;
  if (!IsOnFileSystem(env, path, CGROUP2_SUPER_MAGIC)) Fail(env, operation, EOPNOTSUPP, "not on a cgroup2 file system");
  UniqueFd directory(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory.Valid()) Fail(env, operation, errno);
  uint64_t id = 0;
  alignas(struct file_handle) char space[sizeof(struct file_handle) + sizeof(id)];
  struct file_handle* handle = reinterpret_cast<struct file_handle*>(space);
  handle->handle_bytes = sizeof(id);
  int mount = 0;
  if (name_to_handle_at(directory.Get(), "", handle, &mount, AT_EMPTY_PATH) != 0) Fail(env, operation, errno);
  if (handle->handle_bytes != sizeof(id)) Fail(env, operation, EOPNOTSUPP, "the file handle carries no cgroup id");
  memcpy(&id, handle->f_handle, sizeof(id));
  return Napi::BigInt::New(env, id);
}

Napi::Value PossibleCpus(const Napi::CallbackInfo& info) {
  int count = libbpf_num_possible_cpus();
  if (count < 0) Fail(info.Env(), "count possible CPUs", -count);
  return Napi::Number::New(info.Env(), count);
}

Napi::Value EnableStats(const Napi::CallbackInfo& info) {
  UniqueFd fd(bpf_enable_stats(BPF_STATS_RUN_TIME));
  if (!fd.Valid()) Fail(info.Env(), "enable program statistics", errno);
  return Handle::Make(info.Env(), std::move(fd));
}

// A directory, because no file can be made on bpffs. The lock ends with the handle, or with the process.
Napi::Value LockDirectory(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string path = PathArgument(info, 0, "path");
  std::string operation = "lock directory " + path;
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.Valid()) Fail(env, operation, errno);
  if (flock(fd.Get(), LOCK_EX | LOCK_NB) != 0) {
    // Linux has one number for EAGAIN and EWOULDBLOCK; the second is what flock(2) promises.
    if (errno == EWOULDBLOCK) throw MakeError(env, operation, "EWOULDBLOCK", "another process holds the lock");
    Fail(env, operation, errno);
  }
  return Handle::Make(env, std::move(fd));
}

// Before 5.11 the kernel charges maps to this limit. Who may not lift it gets what the hard limit allows.
void SetMemlockUnlimited(const Napi::CallbackInfo& info) {
  struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
  if (setrlimit(RLIMIT_MEMLOCK, &limit) == 0) return;
  if (errno != EPERM || getrlimit(RLIMIT_MEMLOCK, &limit) != 0) Fail(info.Env(), "raise RLIMIT_MEMLOCK", errno);
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0) Fail(info.Env(), "raise RLIMIT_MEMLOCK", errno);
}

}  // namespace

void RegisterHostFunctions(Napi::Env env, Napi::Object exports) {
  exports.Set("netnsCookie", Napi::Function::New<NetnsCookie>(env, "netnsCookie"));
  exports.Set("bootTime", Napi::Function::New<BootTime>(env, "bootTime"));
  exports.Set("cgroupId", Napi::Function::New<CgroupId>(env, "cgroupId"));
  exports.Set("possibleCpus", Napi::Function::New<PossibleCpus>(env, "possibleCpus"));
  exports.Set("enableStats", Napi::Function::New<EnableStats>(env, "enableStats"));
  exports.Set("isBpffs", Napi::Function::New<IsBpffs>(env, "isBpffs"));
  exports.Set("isCgroup2", Napi::Function::New<IsCgroup2>(env, "isCgroup2"));
  exports.Set("lockDirectory", Napi::Function::New<LockDirectory>(env, "lockDirectory"));
  exports.Set("setMemlockUnlimited", Napi::Function::New<SetMemlockUnlimited>(env, "setMemlockUnlimited"));
}

}  // namespace podgate
