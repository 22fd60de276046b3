#include "pin.h"

#include <bpf/bpf.h>
#include <errno.h>

#include <algorithm>

#include "error.h"

namespace podgate {
namespace {

// BPF_OBJ_GET opens any kind, and the kernel would answer a question about a map with a program's fields.
std::string KindOf(int fd) {
  char target[64];
  std::string link = "/proc/self/fd/" + std::to_string(fd);
  ssize_t length = readlink(link.c_str(), target, sizeof(target));
  if (length < 0) return "";
  std::string kind(target, static_cast<size_t>(length));
  const std::string prefix = "anon_inode:";
  if (kind.compare(0, prefix.size(), prefix) == 0) kind.erase(0, prefix.size());
  // A link is a "bpf-link" or a "bpf_link", depending on where the descriptor comes from.
  std::replace(kind.begin(), kind.end(), '_', '-');
  return kind;
}

}  // namespace

UniqueFd OpenPin(Napi::Env env, const std::string& operation, const std::string& path, const char* kind) {
  UniqueFd fd(bpf_obj_get(path.c_str()));
  if (!fd.Valid()) Fail(env, operation, errno);
  std::string found = KindOf(fd.Get());
  if (found.empty()) Fail(env, operation, errno, "could not read /proc/self/fd to see what was pinned");
  if (found != kind) Fail(env, operation, EINVAL, "the pin is a " + found + ", not a " + kind);
  return fd;
}

void Pin(Napi::Env env, const std::string& operation, int fd, const std::string& path) {
  if (bpf_obj_pin(fd, path.c_str()) != 0) Fail(env, operation, errno);
}

}  // namespace podgate
