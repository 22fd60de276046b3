// One direction of a pumped connection: bytes go from a socket into a pipe and on into the other socket.
#pragma once

#include <cstdint>

#include "pipe.h"

namespace podgate {

struct Connection;

// One of a connection's two sockets. The flags say what epoll has told (edge-triggered) and no call has denied since.
struct Side {
  Side(Connection& connection, int descriptor) : owner(connection), fd(descriptor) {}

  Connection& owner;
  const int fd;
  bool readable = false;
  bool writable = false;
  bool failed = false;  // reset by its peer, timed out, never connected: it is of no more use
};

enum class Progress {
  kBlocked,  // until epoll tells something, or for good: the flow has ended or a side has failed
  kMore,     // its turn was over, not its bytes
  kStarved,  // for want of a pipe or of memory
};

class Flow {
 public:
  // Moves bytes until a side blocks or fails, or the turn is over. The end of the stream of `from` becomes that of `to`.
  Progress Move(Side& from, Side& to, PipePool& pool);
  // Drops what is on the way.
  void Abandon(PipePool& pool);

  bool Ended() const { return ended_; }
  // Bytes that the kernel took for `to`.
  uint64_t Delivered() const { return delivered_; }
  // Changes whenever a byte moves.
  uint64_t Activity() const { return 2 * delivered_ + held_; }

 private:
  Progress MoveUntilBlocked(Side& from, Side& to, PipePool& pool);
  void Write(Side& to);
  // False: starved.
  bool Read(Side& from, Side& to, PipePool& pool);

  Pipe pipe_;  // only while there are bytes in it: an idle connection has none
  uint32_t held_ = 0;
  bool ended_ = false;
  uint64_t delivered_ = 0;
};

}  // namespace podgate
