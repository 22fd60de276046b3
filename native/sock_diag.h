// The kernel's table of TCP connections (netlink sock_diag). Knows netlink, not JavaScript.
#pragma once

#include <stdint.h>

#include <utility>
#include <vector>

#include "address.h"
#include "diag_socket.h"
#include "sieve.h"

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

struct ConnectionFilter {
  bool with_listeners = false;
  Sieve remote;  // what their remote ends have to pass
};

// Reads the table bit by bit; between two bits the kernel goes on for nobody. Each returns 0 or a positive errno.
class ConnectionReader {
 public:
  ConnectionReader() = default;
  explicit ConnectionReader(ConnectionFilter filter) : filter_(std::move(filter)) {}

  // Once, first, by a thread in the network namespace that is to be read. Then Read may run on any.
  int Begin();
  // At most `most` into `piece`, which is empty: as many as there are in some 20 ms, so perhaps none. EAGAIN: the table
  // changed so that what has been read may be inconsistent.
  int Read(size_t most, std::vector<TcpConnection>* piece, bool* more);

 private:
  ConnectionFilter filter_;
  DiagSocket diag_;
  std::vector<TcpConnection> read_;  // and not yet handed out
  bool done_ = false;
};

// In the calling thread's network namespace. Returns 0 or a positive errno.
// ENOENT: the connection is gone. Another one that has the same tuple by now is left alone.
int DestroyConnection(const TcpConnection& connection);

}  // namespace podgate
