// Descriptors that JavaScript holds as plain numbers.
#pragma once

#include <napi.h>

namespace podgate {

// 3 or more: standard input and output are not for us to close or reset.
int DescriptorArgument(const Napi::CallbackInfo& info, size_t index);
// Whether the peer of a TCP socket gets RST when its last descriptor is closed, also because the process was killed. Sockets
// that are accepted inherit it. 0 or a positive errno.
int SetResetOnClose(int fd, bool on);
// 0 and the socket's address family, or a positive errno: EBADF, ENOTSOCK; EPROTONOSUPPORT when it is not TCP.
int CheckTcp(int fd, int* family);

void RegisterDescriptorFunctions(Napi::Env env, Napi::Object exports);

}  // namespace podgate
