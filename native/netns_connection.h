// A TcpConnection, and which are asked for, as JavaScript sees them.
#pragma once

#include <napi.h>

#include "sock_diag.h"

namespace podgate {

Napi::Object ConnectionToObject(Napi::Env env, const TcpConnection& connection);
// Throws TypeError or RangeError, code ERR_INVALID_ARG. May run JavaScript (getters).
TcpConnection ConnectionFromObject(const Napi::Value& value);
// { listeners, remote }, both of which may be missing, as all may. Else as ConnectionFromObject.
ConnectionFilter FilterFromObject(const Napi::Value& value);
// AF_INET for 4, AF_INET6 for 6.
int FamilyOf(const Napi::Value& value);

}  // namespace podgate
