#include "channel_listener.h"

#include <unistd.h>

#include "arguments.h"
#include "channel.h"
#include "error.h"
#include "seqpacket.h"

namespace podgate {

Napi::Function ChannelListener::Define(Napi::Env env) {
  return DefineClass(env, "ChannelListener", {InstanceMethod<&ChannelListener::Close>("close")});
}

ChannelListener::ChannelListener(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  Napi::Env env = info.Env();
  std::string path = PathArgument(info, 0, "path");
  std::string operation = "listen on " + path;
  on_channel_ = std::make_unique<Callback>(env, "podgate.listenChannel", FunctionArgument(info, 1, "onChannel"));
  on_error_ = std::make_unique<Callback>(env, "podgate.listenChannel", FunctionArgument(info, 2, "onError"));
  UniqueFd listener;
  int error = ListenSeqpacket(path, &listener);
  if (error != 0) Fail(env, operation, error);
  path_ = std::move(path);
  if (stat(path_.c_str(), &file_) != 0) file_ = {};
  AcceptEvents events;
  events.accepted = [this](UniqueFd fd, const struct sockaddr_storage&) { Accepted(std::move(fd)); };
  events.failed = [this](int error, bool is_over) { Failed(error, is_over); };
  events.teardown = [this] { Release(); };
  error = loop_.Start(env, &listener, std::move(events));
  if (error != 0) {
    RemoveFile();
    Fail(env, operation, error);
  }
  // A listener is in use even when JavaScript holds no reference to it.
  ObjectWrap::Ref();
}

ChannelListener::~ChannelListener() { Release(); }

void ChannelListener::Accepted(UniqueFd fd) {
  on_channel_->Call([&](Napi::Env env) -> std::vector<napi_value> {
    return {FdChannel::Make(env, std::move(fd))};
  });
}

void ChannelListener::Failed(int error, bool is_over) {
  if (is_over) {
    RemoveFile();
    ObjectWrap::Unref();
  }
  on_error_->Call([&](Napi::Env env) -> std::vector<napi_value> {
    return {MakeError(env, "accept on " + path_, ErrnoName(error)).Value(), Napi::Boolean::New(env, is_over)};
  });
}

// Not one that somebody has put in its place.
void ChannelListener::RemoveFile() {
  struct stat now;
  if (file_.st_ino == 0 || lstat(path_.c_str(), &now) != 0) return;
  if (now.st_dev == file_.st_dev && now.st_ino == file_.st_ino) unlink(path_.c_str());
  file_ = {};
}

void ChannelListener::Close(const Napi::CallbackInfo&) {
  if (!loop_.IsOpen()) return;
  Release();
  ObjectWrap::Unref();
}

// Also runs while the environment ends, so it must not touch JavaScript.
void ChannelListener::Release() {
  if (!loop_.IsOpen()) return;
  RemoveFile();
  loop_.Stop();
}

}  // namespace podgate
