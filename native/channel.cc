#include "channel.h"

#include <errno.h>
#include <limits.h>
#include <sys/socket.h>

#include "addon.h"
#include "arguments.h"
#include "error.h"

namespace podgate {
namespace {

// Messages per turn of the loop: a peer that floods must leave others their turn.
constexpr int kBurst = 16;

std::vector<int> DescriptorsOf(const Napi::Value& value) {
  std::vector<int> descriptors;
  if (value.IsUndefined()) return descriptors;
  if (!value.IsArray()) FailType(value.Env(), "descriptors must be an array");
  Napi::Array array = value.As<Napi::Array>();
  uint32_t count = array.Length();
  if (count > kDescriptorLimit) {
    FailRange(value.Env(), "descriptors must be at most " + std::to_string(kDescriptorLimit));
  }
  for (uint32_t at = 0; at < count; at++) {
    descriptors.push_back(static_cast<int>(IntegerOf(array.Get(at), "descriptor", 0, INT_MAX)));
  }
  return descriptors;
}

const char* Explain(int error) {
  if (error == EBADMSG) return "descriptors were lost: more than 32, or this process may open no more";
  if (error == EMSGSIZE) return "a message was longer than 64 KiB";
  return "";
}

}  // namespace

Napi::Function FdChannel::Define(Napi::Env env) {
  return DefineClass(env, "FdChannel",
                     {InstanceMethod<&FdChannel::Send>("send"), InstanceMethod<&FdChannel::Receive>("receive"),
                      InstanceMethod<&FdChannel::Close>("close")});
}

Napi::Object FdChannel::Make(Napi::Env env, UniqueFd fd) { return ConstructWith(env, &Addon::channel, std::move(fd)); }

FdChannel::FdChannel(const Napi::CallbackInfo& info) : ObjectWrap(info), fd_(TakeHandover(info.Env())) {
  Napi::Env env = info.Env();
  if (!fd_.Valid()) FailType(env, "an FdChannel cannot be constructed: call connectChannel or listenChannel");
  struct ucred credentials = {};
  socklen_t size = sizeof(credentials);
  if (getsockopt(fd_.Get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) Fail(env, "identify peer", errno);
  Napi::Object peer = Napi::Object::New(env);
  peer.Set("pid", Napi::Number::New(env, credentials.pid));
  peer.Set("uid", Napi::Number::New(env, credentials.uid));
  peer.Set("gid", Napi::Number::New(env, credentials.gid));
  info.This().As<Napi::Object>().DefineProperty(Napi::PropertyDescriptor::Value("peer", peer, napi_enumerable));
}

FdChannel::~FdChannel() { Release(); }

void FdChannel::Send(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const char* operation = "send over channel";
  // First what may run JavaScript, which may close the channel or detach the message.
  std::vector<int> descriptors = DescriptorsOf(info[1]);
  Bytes message = BytesArgument(info, 0, "message");
  // An empty one would look like the end.
  if (message.length == 0 || message.length > kMessageLimit) FailRange(env, "message must have 1 to 65536 bytes");
  if (!fd_.Valid()) FailClosed(env, operation);
  int error = SendPacket(fd_.Get(), message.data, message.length, descriptors);
  if (error != 0) Fail(env, operation, error, error == EAGAIN ? "the peer does not read" : "");
}

void FdChannel::Receive(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const char* operation = "receive from channel";
  Napi::Function on_message = FunctionArgument(info, 0, "onMessage");
  Napi::Function on_end = FunctionArgument(info, 1, "onEnd");
  if (!fd_.Valid()) FailClosed(env, operation);
  if (poller_ != nullptr) Fail(env, operation, EALREADY);
  on_message_ = std::make_unique<Callback>(env, "podgate.FdChannel", on_message);
  on_end_ = std::make_unique<Callback>(env, "podgate.FdChannel", on_end);
  PollerEvents events;
  events.ready = [this] { ReadBurst(0); };
  events.failed = [this](int error) { ReadBurst(error); };
  events.teardown = [this] { Release(); };
  int error = 0;
  poller_ = Poller::Start(env, fd_.Get(), Poller::Wait::kReadable, std::move(events), &error);
  if (poller_ == nullptr) Fail(env, operation, error);
  // A channel that receives is in use even when JavaScript holds no reference to it.
  ObjectWrap::Ref();
}

// `socket_error`: polling has stopped for it. The socket tells its own, more exact error before anything else.
void FdChannel::ReadBurst(int socket_error) {
  try {
    for (int count = 0; count < kBurst && poller_ != nullptr; count++) {
      Packet packet;
      int error = ReceivePacket(fd_.Get(), &buffer_, &packet);
      if (error == EAGAIN && socket_error == 0) return;
      if (error == ECONNRESET && reset_ == 0) {
        reset_ = error;
        continue;
      }
      if (error != 0) return End(error == EAGAIN ? socket_error : error);
      if (packet.bytes.empty()) return End(reset_);
      Deliver(std::move(packet));
    }
    if (socket_error != 0 && poller_ != nullptr) poller_->Resume();
  } catch (const std::bad_alloc&) {
    End(ENOMEM);
  }
}

void FdChannel::Deliver(Packet packet) {
  on_message_->Call([&](Napi::Env env) -> std::vector<napi_value> {
    Napi::Buffer<uint8_t> bytes = Napi::Buffer<uint8_t>::Copy(env, packet.bytes.data(), packet.bytes.size());
    Napi::Array descriptors = Napi::Array::New(env, packet.descriptors.size());
    for (uint32_t at = 0; at < packet.descriptors.size(); at++) {
      descriptors.Set(at, Napi::Number::New(env, packet.descriptors[at].Get()));
    }
    std::vector<napi_value> arguments = {bytes, descriptors};
    for (UniqueFd& descriptor : packet.descriptors) descriptor.Release();  // the callback's from here on
    return arguments;
  });
}

void FdChannel::End(int error) {
  Release();
  ObjectWrap::Unref();
  on_end_->Call([=](Napi::Env env) -> std::vector<napi_value> {
    if (error == 0) return {};
    return {MakeError(env, "receive from channel", ErrnoName(error), Explain(error)).Value()};
  });
}

void FdChannel::Close(const Napi::CallbackInfo&) {
  bool was_receiving = poller_ != nullptr;
  Release();
  if (was_receiving) ObjectWrap::Unref();
}

// Also runs while the environment ends, so it must not touch JavaScript.
void FdChannel::Release() {
  if (poller_ != nullptr) poller_->Stop();
  poller_ = nullptr;
  fd_.Reset();
}

}  // namespace podgate
