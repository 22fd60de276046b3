// Pumps bytes between pairs of sockets on threads of its own, and tells JavaScript how each pair ended.
#pragma once

#include <napi.h>

#include <memory>
#include <unordered_map>
#include <vector>

#include "poller.h"
#include "pump_thread.h"

namespace podgate {

class Pump : public Napi::ObjectWrap<Pump> {
 public:
  static Napi::Function Define(Napi::Env env);
  explicit Pump(const Napi::CallbackInfo& info);
  ~Pump() override;

 private:
  // Of a connection whose end has not been told.
  struct Entry {
    Connection* connection = nullptr;  // a thread's, and alive until its end is taken from `ends_`
    size_t thread = 0;
    Napi::FunctionReference on_connected;
    Napi::FunctionReference on_end;
  };
  using Entries = std::unordered_map<uint64_t, Entry>;

  Napi::Value Start(const Napi::CallbackInfo& info);
  void Stop(const Napi::CallbackInfo& info);
  Napi::Value Size(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo& info);

  void Watch(Napi::Env env);
  size_t LeastBusy() const;
  void TellNews(Napi::Env env);
  void TellEnd(Napi::Env env, const Connection& connection);
  void Call(Napi::Env env, Napi::FunctionReference function, const std::vector<napi_value>& arguments);
  // Something is pumped: neither the process nor this object may go.
  void Hold();
  void LetGo();
  void Release();

  PumpEnds ends_;  // before the threads, which put into it
  std::vector<std::unique_ptr<PumpThread>> threads_;
  std::vector<size_t> loads_;  // connections per thread
  Entries entries_;
  uint64_t next_id_ = 1;
  Poller* poller_ = nullptr;
  std::unique_ptr<Napi::AsyncContext> context_;
  bool holds_ = false;
  bool closed_ = false;
};

}  // namespace podgate
