// Connections that have ended or reached their server, on their way from the pump's threads to the event loop.
#pragma once

#include <sys/eventfd.h>

#include <mutex>
#include <utility>

#include "connection.h"

namespace podgate {

class PumpEnds {
 public:
  PumpEnds() : event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

  // Readable when there is something to take; invalid when the process may open no more.
  const UniqueFd& Event() const { return event_; }

  struct News {
    std::list<uint64_t> connected;  // to be told first: some may have ended since
    Connections ended;
  };

  void PutConnected(Connection& connection) {
    std::lock_guard<std::mutex> lock(mutex_);
    Wake();
    news_.connected.splice(news_.connected.end(), connection.connected);
  }

  void Put(Connection& connection) {
    std::lock_guard<std::mutex> lock(mutex_);
    Wake();
    MoveTo(news_.ended, connection);
  }

  News TakeAll() {
    std::lock_guard<std::mutex> lock(mutex_);
    eventfd_t count;
    eventfd_read(event_.Get(), &count);
    News taken;
    std::swap(taken, news_);
    return taken;
  }

 private:
  // Once until it is taken.
  void Wake() {
    if (news_.connected.empty() && news_.ended.empty()) eventfd_write(event_.Get(), 1);
  }

  UniqueFd event_;
  std::mutex mutex_;
  News news_;
};

}  // namespace podgate
