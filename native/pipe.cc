#include "pipe.h"

#include <utility>

namespace podgate {
namespace {

constexpr int kLargeSize = 1 << 20;  // also the kernel's default for /proc/sys/fs/pipe-max-size
// Every pipe counts towards its user's limit (pipe-user-pages-soft, 64 MiB), which all processes of the user share:
// beyond it they get pipes of two pages. The connections that wait for slow readers are content with 64 KiB.
constexpr size_t kMostLarge = 16;

}  // namespace

Pipe PipePool::Take() {
  if (kept_ > 0) return std::move(pipes_[--kept_]);
  int ends[2];
  Pipe pipe;
  if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return pipe;
  pipe.read = UniqueFd(ends[0]);
  pipe.write = UniqueFd(ends[1]);
  // Where that is not permitted, the pipe is as large as it is.
  if (large_ < kMostLarge && fcntl(pipe.write.Get(), F_SETPIPE_SZ, kLargeSize) >= kLargeSize) {
    pipe.large = true;
    large_++;
  }
  return pipe;
}

void PipePool::Give(Pipe pipe) {
  if (kept_ == kMostKept) {
    Discard(std::move(pipe));
  } else {
    pipes_[kept_++] = std::move(pipe);
  }
}

void PipePool::Discard(Pipe pipe) {
  if (pipe.large) large_--;
}

}  // namespace podgate
