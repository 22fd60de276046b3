#include "descriptors.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "address.h"
#include "arguments.h"
#include "error.h"

namespace podgate {
namespace {

// Linux closes the descriptor even when it tells of an error, except for EBADF.
void CloseDescriptor(const Napi::CallbackInfo& info) {
  int fd = DescriptorArgument(info, 0);
  if (close(fd) != 0 && errno == EBADF) Fail(info.Env(), "close descriptor " + std::to_string(fd), errno);
}

void ResetSocket(const Napi::CallbackInfo& info) {
  int fd = DescriptorArgument(info, 0);
  // Refused only for what is no open socket, which is then not closed: it may be something that is still needed.
  if (int error = SetResetOnClose(fd, true)) Fail(info.Env(), "reset socket " + std::to_string(fd), error);
  close(fd);
}

void ResetOnClose(const Napi::CallbackInfo& info) {
  int fd = DescriptorArgument(info, 0);
  if (!info[1].IsBoolean()) FailType(info.Env(), "on must be a boolean");
  int error = SetResetOnClose(fd, info[1].As<Napi::Boolean>().Value());
  if (error != 0) Fail(info.Env(), "tell how to close socket " + std::to_string(fd), error);
}

void BindSource(const Napi::CallbackInfo& info) {
  int fd = DescriptorArgument(info, 0);
  const uint8_t* address = ExactBytesArgument(info, 1, "address", kAddressLength);
  const char* operation = "bind to a source address";
  int family = 0;
  if (int error = CheckTcp(fd, &family)) Fail(info.Env(), operation, error);
  struct sockaddr_storage source;
  socklen_t length = SocketAddress(family, address, 0, &source);
  if (length == 0) Fail(info.Env(), operation, EAFNOSUPPORT);
  int on = 1;  // the port is chosen at connect, when one that others use to other peers will do
  if (setsockopt(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) != 0 ||
      bind(fd, reinterpret_cast<struct sockaddr*>(&source), length) != 0) {
    Fail(info.Env(), operation, errno);
  }
}

}  // namespace

int DescriptorArgument(const Napi::CallbackInfo& info, size_t index) {
  return static_cast<int>(IntegerOf(info[index], "descriptor", 3, INT_MAX));
}

int SetResetOnClose(int fd, bool on) {
  struct linger linger = {on ? 1 : 0, 0};
  return setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) == 0 ? 0 : errno;
}

int CheckTcp(int fd, int* family) {
  int protocol = 0;
  socklen_t size = sizeof(protocol);
  if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) != 0) return errno;
  size = sizeof(*family);
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, family, &size) != 0) return errno;
  bool is_ip = *family == AF_INET || *family == AF_INET6;
  return is_ip && protocol == IPPROTO_TCP ? 0 : EPROTONOSUPPORT;
}

void RegisterDescriptorFunctions(Napi::Env env, Napi::Object exports) {
  exports.Set("bindSource", Napi::Function::New<BindSource>(env, "bindSource"));
  exports.Set("closeDescriptor", Napi::Function::New<CloseDescriptor>(env, "closeDescriptor"));
  exports.Set("resetOnClose", Napi::Function::New<ResetOnClose>(env, "resetOnClose"));
  exports.Set("resetSocket", Napi::Function::New<ResetSocket>(env, "resetSocket"));
}

}  // namespace podgate
