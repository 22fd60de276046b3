// Connections that have ended, on their way from the pump's threads to the event loop.
#pragma once

#include <sys/eventfd.h>

#include <mutex>

#include "connection.h"

namespace podgate {

class PumpEnds {
 public:
  PumpEnds() : event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

  // Readable when there is something to take; invalid when the process may open no more.
  const UniqueFd& Event() const { return event_; }

  void Put(Connection& connection) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (ended_.empty()) eventfd_write(event_.Get(), 1);
    MoveTo(ended_, connection);
  }

  Connections TakeAll() {
    std::lock_guard<std::mutex> lock(mutex_);
    eventfd_t count;
    eventfd_read(event_.Get(), &count);
    Connections taken;
    taken.swap(ended_);
    return taken;
  }

 private:
  UniqueFd event_;
  std::mutex mutex_;
  Connections ended_;
};

}  // namespace podgate
