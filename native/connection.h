// A pair of sockets that a pump moves bytes between. Belongs to one thread of the pump from start to end.
#pragma once

#include <sys/socket.h>

#include <atomic>
#include <cstdint>
#include <list>

#include "flow.h"

namespace podgate {

enum class How { kClosed, kReset, kIdle, kStopped, kUnconnected };

// A connection is in exactly one list at a time, which tells its state; moving it allocates nothing, so that a thread
// cannot fail for want of memory.
using Connections = std::list<Connection>;

// Where the upstream socket has to be connected to first; `length` 0: it is connected.
struct Dial {
  struct sockaddr_storage to = {};
  socklen_t length = 0;
  uint32_t timeout_ms = 0;
};

struct Connection {
  Connection(uint64_t number, int client_fd, int upstream_fd, uint32_t idle, const Dial& way)
      : id(number), idle_ms(idle), dial(way), client(*this, client_fd), upstream(*this, upstream_fd) {}

  const uint64_t id;
  const uint32_t idle_ms;  // 0: however long
  const Dial dial;
  Side client;
  Side upstream;
  Flow up;    // from the client
  Flow down;  // to the client
  int64_t active_at = 0;  // CLOCK_MONOTONIC in ms: when a byte moved last
  How how = How::kClosed;
  bool dialled = dial.length == 0;
  int error = 0;                          // of kUnconnected: a positive errno
  std::list<uint64_t> connected = {id};  // on its way to the event loop once it is: made here, so that it needs no memory
  std::atomic<bool> stop{false};  // asked for by the event loop
  Connections* in = nullptr;
  Connections::iterator self;
};

inline void MoveTo(Connections& list, Connection& connection) {
  list.splice(list.end(), *connection.in, connection.self);
  connection.in = &list;
}

}  // namespace podgate
