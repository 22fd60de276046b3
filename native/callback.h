// From the event loop into JavaScript.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <vector>

namespace podgate {

// Runs `act(env)` as a call from the event loop: no C++ exception leaves, since the caller is libuv.
template <typename Act>
void FromLoop(Napi::Env env, Act act) noexcept {
  try {
    Napi::HandleScope scope(env);
    act(env);
  } catch (const std::exception&) {
    // Nothing can be told to an environment that is ending.
  }
}

// A JavaScript function that the event loop calls.
class Callback {
 public:
  // `resource` names it for async_hooks.
  Callback(Napi::Env env, const char* resource, Napi::Function function)
      : function_(Napi::Persistent(function)), context_(std::make_unique<Napi::AsyncContext>(env, resource)) {}

  // Runs promises and process.nextTick afterwards. What it throws becomes an uncaughtException: nobody else is left to
  // take it.
  void Call(const std::function<std::vector<napi_value>(Napi::Env)>& arguments) noexcept {
    FromLoop(function_.Env(), [&](Napi::Env env) {
      try {
        function_.MakeCallback(env.Global(), arguments(env), *context_);
      } catch (const Napi::Error& error) {
        napi_fatal_exception(env, error.Value());
      }
    });
  }

 private:
  Napi::FunctionReference function_;
  std::unique_ptr<Napi::AsyncContext> context_;
};

}  // namespace podgate
