// A JavaScript function that the event loop calls.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <vector>

namespace podgate {

class Callback {
 public:
  // `resource` names it for async_hooks.
  Callback(Napi::Env env, const char* resource, Napi::Function function)
      : function_(Napi::Persistent(function)), context_(std::make_unique<Napi::AsyncContext>(env, resource)) {}

  // Runs promises and process.nextTick afterwards. What it throws becomes an uncaughtException: nobody else is left to
  // take it. No C++ exception leaves, since the caller is libuv.
  void Call(const std::function<std::vector<napi_value>(Napi::Env)>& arguments) noexcept {
    Napi::Env env = function_.Env();
    try {
      Napi::HandleScope scope(env);
      try {
        function_.MakeCallback(env.Global(), arguments(env), *context_);
      } catch (const Napi::Error& error) {
        napi_fatal_exception(env, error.Value());
      }
    } catch (const std::exception&) {
      // Nothing can be told to an environment that is ending.
    }
  }

 private:
  Napi::FunctionReference function_;
  std::unique_ptr<Napi::AsyncContext> context_;
};

}  // namespace podgate
