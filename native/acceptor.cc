#include "acceptor.h"

#include <errno.h>

#include "address.h"
#include "arguments.h"
#include "descriptors.h"
#include "error.h"

namespace podgate {
namespace {

// 0, or why `fd` is no listening TCP socket.
int CheckListener(int fd) {
  int family = 0;
  if (int error = CheckTcp(fd, &family)) return error;
  int listening = 0;
  socklen_t size = sizeof(listening);
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0) return errno;
  return listening == 0 ? EINVAL : 0;
}

}  // namespace

Napi::Function Acceptor::Define(Napi::Env env) {
  return DefineClass(env, "Acceptor", {InstanceMethod<&Acceptor::Close>("close")});
}

Acceptor::Acceptor(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  Napi::Env env = info.Env();
  const char* operation = "accept connections";
  int fd = DescriptorArgument(info, 0);
  on_connection_ = std::make_unique<Callback>(env, "podgate.Acceptor", FunctionArgument(info, 1, "onConnection"));
  on_error_ = std::make_unique<Callback>(env, "podgate.Acceptor", FunctionArgument(info, 2, "onError"));
  if (int error = CheckListener(fd)) Fail(env, operation, error);
  AcceptEvents events;
  events.accepted = [this](UniqueFd made, const struct sockaddr_storage& peer) {
    Accepted(std::move(made), peer);
  };
  events.failed = [this](int error, bool is_over) { Failed(error, is_over); };
  events.teardown = [this] { loop_.Stop(); };
  if (int error = SetResetOnClose(fd, true)) Fail(env, operation, error);
  UniqueFd listener(fd);
  int error = loop_.Start(env, &listener, std::move(events));
  listener.Release();  // taken over, or still the caller's
  if (error != 0) Fail(env, operation, error);
  // An acceptor is in use even when JavaScript holds no reference to it.
  ObjectWrap::Ref();
}

void Acceptor::Accepted(UniqueFd fd, const struct sockaddr_storage& peer) {
  uint8_t address[kAddressLength];
  AddressOf(peer, address);
  on_connection_->Call([&](Napi::Env env) -> std::vector<napi_value> {
    std::vector<napi_value> arguments = {Napi::Number::New(env, fd.Get()), Napi::Number::New(env, PortOf(peer)),
                                         Napi::Buffer<uint8_t>::Copy(env, address, kAddressLength)};
    fd.Release();  // the callback's from here on
    return arguments;
  });
}

void Acceptor::Failed(int error, bool is_over) {
  if (is_over) ObjectWrap::Unref();
  on_error_->Call([&](Napi::Env env) -> std::vector<napi_value> {
    return {MakeError(env, "accept connections", ErrnoName(error)).Value(), Napi::Boolean::New(env, is_over)};
  });
}

void Acceptor::Close(const Napi::CallbackInfo&) {
  if (!loop_.IsOpen()) return;
  loop_.Stop();
  ObjectWrap::Unref();
}

}  // namespace podgate
