// Listens on a Unix socket and makes a channel of every connection.
#pragma once

#include <napi.h>
#include <sys/stat.h>

#include <memory>
#include <string>

#include "accept_loop.h"
#include "callback.h"

namespace podgate {

class ChannelListener : public Napi::ObjectWrap<ChannelListener> {
 public:
  static Napi::Function Define(Napi::Env env);
  // (path, onChannel, onError)
  explicit ChannelListener(const Napi::CallbackInfo& info);
  ~ChannelListener() override;

 private:
  void Close(const Napi::CallbackInfo& info);
  void Accepted(UniqueFd fd);
  void Failed(int error, bool is_over);
  void RemoveFile();
  void Release();

  std::string path_;
  struct stat file_ = {};
  AcceptLoop loop_;
  std::unique_ptr<Callback> on_channel_;
  std::unique_ptr<Callback> on_error_;
};

}  // namespace podgate
