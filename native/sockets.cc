#include "sockets.h"

#include "acceptor.h"
#include "addon.h"
#include "arguments.h"
#include "channel.h"
#include "channel_listener.h"
#include "connecting.h"
#include "descriptors.h"
#include "error.h"
#include "listing.h"
#include "netns.h"
#include "seqpacket.h"

namespace podgate {
namespace {

// The constructors check these arguments.
template <Napi::FunctionReference Addon::*constructor>
Napi::Value Construct(const Napi::CallbackInfo& info) {
  std::vector<napi_value> arguments;
  for (size_t at = 0; at < info.Length(); at++) arguments.push_back(info[at]);
  return (info.Env().GetInstanceData<Addon>()->*constructor).New(arguments);
}

Napi::Value ConnectChannel(const Napi::CallbackInfo& info) {
  std::string path = PathArgument(info, 0, "path");
  UniqueFd fd;
  if (int error = ConnectSeqpacket(path, &fd)) Fail(info.Env(), "connect to " + path, error);
  return FdChannel::Make(info.Env(), std::move(fd));
}

}  // namespace

void RegisterSockets(Napi::Env env, Napi::Object exports) {
  Addon* addon = env.GetInstanceData<Addon>();
  addon->netns = Napi::Persistent(Netns::Define(env));
  addon->listing = Napi::Persistent(Listing::Define(env));
  addon->channel = Napi::Persistent(FdChannel::Define(env));
  addon->channel_listener = Napi::Persistent(ChannelListener::Define(env));
  addon->connecting = Napi::Persistent(Connecting::Define(env));
  exports.Set("Netns", addon->netns.Value());
  exports.Set("Acceptor", Acceptor::Define(env));
  exports.Set("connectChannel", Napi::Function::New<ConnectChannel>(env, "connectChannel"));
  exports.Set("listenChannel", Napi::Function::New<Construct<&Addon::channel_listener>>(env, "listenChannel"));
  exports.Set("connectTcp", Napi::Function::New<Construct<&Addon::connecting>>(env, "connectTcp"));
  RegisterDescriptorFunctions(env, exports);
}

}  // namespace podgate
