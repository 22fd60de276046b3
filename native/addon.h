// What one environment (main thread or worker) of the addon holds.
#pragma once

#include <napi.h>

#include "fd.h"

namespace podgate {

struct Addon {
  Napi::FunctionReference program;
  Napi::FunctionReference link;
  Napi::FunctionReference map;
  Napi::FunctionReference handle;
  Napi::FunctionReference netns;
  Napi::FunctionReference listing;
  Napi::FunctionReference channel;
  Napi::FunctionReference channel_listener;
  Napi::FunctionReference connecting;

  // The descriptor on its way into a constructor. JavaScript cannot fill it, so `new BpfMap()` finds it empty.
  UniqueFd handover;
};

// Constructs an instance that takes over `fd`.
inline Napi::Object ConstructWith(Napi::Env env, Napi::FunctionReference Addon::*constructor, UniqueFd fd) {
  Addon* addon = env.GetInstanceData<Addon>();
  addon->handover = std::move(fd);
  // Whatever happens on the way (a stack overflow, say), the descriptor must not be left for the next constructor.
  struct Clear {
    Addon* addon;
    ~Clear() { addon->handover.Reset(); }
  } clear{addon};
  return (addon->*constructor).New({});
}

// The descriptor for the constructor that runs now; invalid when JavaScript called `new`.
inline UniqueFd TakeHandover(Napi::Env env) { return std::move(env.GetInstanceData<Addon>()->handover); }

}  // namespace podgate
