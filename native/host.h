// Questions about this machine and its file systems that JavaScript cannot ask.
#pragma once

#include <napi.h>

namespace podgate {

void RegisterHostFunctions(Napi::Env env, Napi::Object exports);

}  // namespace podgate
