// What Podgate does with sockets: namespaces, channels, accepting, connecting.
#pragma once

#include <napi.h>

namespace podgate {

void RegisterSockets(Napi::Env env, Napi::Object exports);

}  // namespace podgate
