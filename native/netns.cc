#include "netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "addon.h"
#include "arguments.h"
#include "error.h"
#include "listing.h"
#include "loop_mark.h"
#include "netns_connection.h"
#include "netns_thread.h"
#include "seqpacket.h"

namespace podgate {
namespace {

constexpr const char* kNoDestroy = "this kernel cannot end connections: it needs CONFIG_INET_DIAG_DESTROY";
constexpr uint8_t kLoopback4[kAddressLength] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1};
constexpr uint8_t kLoopback6[kAddressLength] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};

// What is in the buffers of a socket is charged to us, and how much that may be is for the namespace's sysctls to say, which
// a pod may choose. A connection from loopback needs little, and keeps it whatever they say later.
constexpr int kListenerBuffer = 512 << 10;
// One to a server grows as its way needs; this is what it has in a namespace that would let it grow further.
constexpr int kMostBuffer = 8 << 20;

int BoundBuffers(int fd, int bytes) {
  int half = bytes / 2;  // the kernel makes it twice as much, for its own bookkeeping
  for (int option : {SO_RCVBUFFORCE, SO_SNDBUFFORCE}) {
    if (setsockopt(fd, SOL_SOCKET, option, &half, sizeof(half)) != 0) return errno;
  }
  return 0;
}

// Of the namespace that this thread is in. What cannot be read is too much.
bool MayGrowTooLarge() {
  for (const char* path : {"/proc/sys/net/ipv4/tcp_rmem", "/proc/sys/net/ipv4/tcp_wmem"}) {
    char text[128] = {};
    UniqueFd fd(open(path, O_RDONLY | O_CLOEXEC));
    long long most = 0;
    if (!fd.Valid() || read(fd.Get(), text, sizeof(text) - 1) <= 0) return true;
    if (sscanf(text, "%*d %*d %lld", &most) != 1 || most > kMostBuffer) return true;
  }
  return false;
}

// `buffer` 0: as the namespace has it.
int MakeSocket(int family, int buffer, UniqueFd* made) {
  *made = UniqueFd(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
  if (!made->Valid()) return errno;
  int error = buffer == 0 ? 0 : BoundBuffers(made->Get(), buffer);
  return error != 0 ? error : MarkForEventLoop(made->Get(), true);
}

int MakeListener(int family, int backlog, UniqueFd* made, uint16_t* port) {
  UniqueFd fd;
  if (int error = MakeSocket(family, kListenerBuffer, &fd)) return error;
  int on = 1;
  if (family == AF_INET6 && setsockopt(fd.Get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) != 0) return errno;
  struct sockaddr_storage address;
  socklen_t length = SocketAddress(family, family == AF_INET ? kLoopback4 : kLoopback6, 0, &address);
  struct sockaddr* pointer = reinterpret_cast<struct sockaddr*>(&address);
  if (bind(fd.Get(), pointer, length) != 0 || listen(fd.Get(), backlog) != 0) return errno;
  if (getsockname(fd.Get(), pointer, &length) != 0) return errno;
  *port = PortOf(address);
  *made = std::move(fd);
  return 0;
}

std::string Name(int family) { return family == AF_INET ? "IPv4" : "IPv6"; }

}  // namespace

int ReadNetnsCookie(uint64_t* cookie) {
  constexpr int kNetnsCookieOption = 71;  // SO_NETNS_COOKIE, Linux 5.14; missing in older headers
  // Any socket has the cookie of the network namespace it was made in.
  UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  socklen_t size = sizeof(*cookie);
  if (!fd.Valid() || getsockopt(fd.Get(), SOL_SOCKET, kNetnsCookieOption, cookie, &size) != 0) return errno;
  return 0;
}

Napi::Function Netns::Define(Napi::Env env) {
  return DefineClass(env, "Netns",
                     {StaticMethod<&Netns::Open>("open"), InstanceMethod<&Netns::Listen>("listen"),
                      InstanceMethod<&Netns::Sockets>("sockets"), InstanceMethod<&Netns::List>("list"),
                      InstanceMethod<&Netns::Destroy>("destroy"),
                      InstanceMethod<&Netns::Close>("close")});
}

Napi::Value Netns::Open(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string path = PathArgument(info, 0, "path");
  std::string operation = "open network namespace " + path;
  // Non-blocking, because the path may turn out to be a FIFO.
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!fd.Valid()) Fail(env, operation, errno);
  if (ioctl(fd.Get(), NS_GET_NSTYPE) != CLONE_NEWNET) Fail(env, operation, EINVAL, "it is not a network namespace");
  return ConstructWith(env, &Addon::netns, std::move(fd));
}

Netns::Netns(const Napi::CallbackInfo& info) : ObjectWrap(info), fd_(TakeHandover(info.Env())) {
  Napi::Env env = info.Env();
  if (!fd_.Valid()) FailType(env, "a Netns cannot be constructed: call Netns.open");
  uint64_t cookie = 0;
  const char* operation = "enter network namespace";
  if (int error = Inside(env, operation, [&] { return ReadNetnsCookie(&cookie); })) Fail(env, operation, error);
  info.This().As<Napi::Object>().DefineProperty(
      Napi::PropertyDescriptor::Value("cookie", Napi::BigInt::New(env, cookie), napi_enumerable));
}

int Netns::Inside(Napi::Env env, const std::string& operation, const std::function<int()>& act) {
  if (!fd_.Valid()) FailClosed(env, operation);
  return RunInNetns(fd_.Get(), act);
}

Napi::Value Netns::Listen(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int family = FamilyOf(info[0]);
  int backlog = static_cast<int>(IntegerOf(info[1], "backlog", 1, 65535));
  UniqueFd fd;
  uint16_t port = 0;
  std::string operation = "listen on " + Name(family) + " loopback";
  int error = Inside(env, operation, [&] { return MakeListener(family, backlog, &fd, &port); });
  if (error != 0) Fail(env, operation, error);
  Napi::Object listener = Napi::Object::New(env);
  listener.Set("port", Napi::Number::New(env, port));
  listener.Set("fd", Napi::Number::New(env, fd.Get()));
  fd.Release();
  return listener;
}

Napi::Value Netns::Sockets(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int family = FamilyOf(info[0]);
  uint32_t count = IntegerOf(info[1], "count", 1, kDescriptorLimit);
  std::vector<UniqueFd> made = MakeSockets(env, family, count);
  Napi::Array numbers = Napi::Array::New(env, count);
  for (uint32_t at = 0; at < count; at++) numbers.Set(at, Napi::Number::New(env, made[at].Get()));
  for (UniqueFd& fd : made) fd.Release();
  return numbers;
}

// All of them on one visit to the namespace.
std::vector<UniqueFd> Netns::MakeSockets(Napi::Env env, int family, uint32_t count) {
  std::vector<UniqueFd> made(count);
  std::string operation = "make " + Name(family) + " socket";
  int error = Inside(env, operation, [&] {
    int buffer = MayGrowTooLarge() ? kMostBuffer : 0;
    for (UniqueFd& fd : made) {
      if (int failed = MakeSocket(family, buffer, &fd)) return failed;
    }
    return 0;
  });
  if (error != 0) Fail(env, operation, error);
  return made;
}

Napi::Value Netns::List(const Napi::CallbackInfo& info) {
  ConnectionFilter filter = FilterFromObject(info[0]);
  // After what may run JavaScript, which may close it.
  if (!fd_.Valid()) FailClosed(info.Env(), "list connections");
  return Listing::Make(info.Env(), fd_.Get(), std::move(filter));
}

Napi::Value Netns::Destroy(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  TcpConnection connection = ConnectionFromObject(info[0]);
  std::optional<Cgroups> cgroups = CgroupsOf(info[1]);
  const char* operation = "end connection";
  int error = Inside(env, operation, [&] { return DestroyConnection(connection, cgroups ? &*cgroups : nullptr); });
  if (error == 0 || error == ENOENT) return Napi::Boolean::New(env, error == 0);
  Fail(env, operation, error, error == EOPNOTSUPP ? kNoDestroy : "");
}

void Netns::Close(const Napi::CallbackInfo&) { fd_.Reset(); }

}  // namespace podgate
