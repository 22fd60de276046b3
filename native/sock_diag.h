// The kernel's table of TCP connections (netlink sock_diag). Knows netlink, not JavaScript.
#pragma once

#include <stdint.h>

#include <vector>

#include "address.h"

namespace podgate {

struct TcpConnection {
  int family = 0;  // AF_INET or AF_INET6
  uint8_t state = 0;
  uint8_t local[kAddressLength] = {};
  uint8_t remote[kAddressLength] = {};
  uint16_t local_port = 0;  // host order
  uint16_t remote_port = 0;
  uint32_t interface = 0;  // the one the socket is bound to; 0: none
  uint32_t inode = 0;
  uint32_t uid = 0;
  uint64_t cookie = 0;
  int64_t beyond_payload = 0;  // see tcp_sequence.h
  bool on_event_loop = false;  // see loop_mark.h
};

// INET_DIAG_NOCOOKIE: the kernel would take it for "whichever socket has this tuple now".
constexpr uint64_t kNoCookie = ~0ull;

// Of the calling thread's network namespace, as are all here. Both return 0 or a positive errno.
int ListConnections(bool with_listeners, std::vector<TcpConnection>* connections);
// ENOENT: the connection is gone. Another one that has the same tuple by now is left alone.
int DestroyConnection(const TcpConnection& connection);

}  // namespace podgate
