// A reading of a network namespace's table of TCP connections, piece by piece: each on a thread that is not the event loop's.
#pragma once

#include <napi.h>

#include <memory>

#include "callback.h"
#include "fd.h"
#include "sock_diag.h"

namespace podgate {

class Listing : public Napi::ObjectWrap<Listing> {
 public:
  static Napi::Function Define(Napi::Env env);
  // `netns`: the namespace. May fail with EMFILE.
  static Napi::Object Make(Napi::Env env, int netns, ConnectionFilter filter);
  explicit Listing(const Napi::CallbackInfo& info);
  ~Listing() override;

 private:
  struct Reading;
  class Worker;

  void Next(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo& info);

  // From the loop: `done` is told what the thread has read.
  void Finish();
  void Release();

  std::shared_ptr<Reading> reading_;  // null: closed
  std::unique_ptr<Callback> done_;    // null: nothing is being read
};

}  // namespace podgate
