#include "flow.h"

#include <errno.h>
#include <sys/socket.h>

#include <utility>

namespace podgate {
namespace {

constexpr size_t kMostAtOnce = 1 << 20;
constexpr uint64_t kTurn = 4 << 20;  // bytes; then the other connections of the thread have theirs
constexpr unsigned kFlags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;

ssize_t Splice(int from, int to, size_t most) {
  ssize_t moved;
  do {
    moved = splice(from, nullptr, to, nullptr, most, kFlags);
  } while (moved < 0 && errno == EINTR);
  return moved;
}

}  // namespace

Progress Flow::Move(Side& from, Side& to, PipePool& pool) {
  Progress progress = MoveUntilBlocked(from, to, pool);
  if (held_ == 0 && pipe_.Valid()) pool.Give(std::move(pipe_));
  return progress;
}

Progress Flow::MoveUntilBlocked(Side& from, Side& to, PipePool& pool) {
  const uint64_t turn_ends = delivered_ + kTurn;
  while (!ended_ && !to.failed) {
    if (held_ > 0) {
      if (!to.writable) return Progress::kBlocked;
      Write(to);
    } else {
      if (!from.readable) return Progress::kBlocked;
      if (delivered_ >= turn_ends) return Progress::kMore;
      if (!Read(from, to, pool)) return Progress::kStarved;
    }
  }
  return Progress::kBlocked;
}

// Read only into an empty pipe, so that EAGAIN has one meaning, an empty socket: a full pipe would say the same, and it
// is full when its slots are taken, whatever the number of bytes.
bool Flow::Read(Side& from, Side& to, PipePool& pool) {
  if (!pipe_.Valid()) pipe_ = pool.Take();
  if (!pipe_.Valid()) return false;
  ssize_t moved = Splice(from.fd, pipe_.write.Get(), kMostAtOnce);
  if (moved > 0) {
    held_ = static_cast<uint32_t>(moved);
  } else if (moved < 0 && errno == ENOMEM) {
    return false;
  } else if (moved < 0) {
    from.readable = false;
    if (errno != EAGAIN) from.failed = true;
  } else if (from.failed) {
    from.readable = false;  // its error has been fetched, which makes a reset look like an end
  } else {
    ended_ = true;
    // Refused when `to` was reset a moment ago.
    if (shutdown(to.fd, SHUT_WR) != 0) to.failed = true;
  }
  return true;
}

void Flow::Write(Side& to) {
  ssize_t moved = Splice(pipe_.read.Get(), to.fd, held_);
  if (moved > 0) {
    held_ -= static_cast<uint32_t>(moved);
    delivered_ += static_cast<uint64_t>(moved);
  } else if (moved < 0 && errno == EAGAIN) {
    to.writable = false;
  } else {
    to.failed = true;
  }
}

void Flow::Abandon(PipePool& pool) {
  if (pipe_.Valid()) pool.Discard(std::move(pipe_));
  held_ = 0;
}

}  // namespace podgate
