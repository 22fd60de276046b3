// A thread that moves the bytes of many connections, with epoll and without ever blocking on one of them.
#pragma once

#include <atomic>
#include <mutex>
#include <thread>

#include "pump_ends.h"

namespace podgate {

// Everything private is the thread's own, but for what `mutex_` guards. It never touches JavaScript.
class PumpThread {
 public:
  // Throws std::system_error. `ends` must outlive the thread.
  explicit PumpThread(PumpEnds& ends);
  // Resets every connection and waits for the thread, which takes no longer than that.
  ~PumpThread();
  PumpThread(const PumpThread&) = delete;
  PumpThread& operator=(const PumpThread&) = delete;

  // Takes over the only connection of `one`, descriptors included. It comes out at `ends`, once.
  void Adopt(Connections& one);
  // The connection's `stop` was set. Does not wait.
  void StopMarked();
  // Resets every connection, of which each comes out at `ends`, and ends the thread. Does not wait.
  void Quit();

 private:
  void Run();
  // False: epoll itself has failed.
  bool Wait();
  int Timeout() const;
  // False: quit.
  bool TakeOrders();
  void TakeTurns();
  void TakeTurn(Connection& connection);
  void FeedStarved(size_t given);
  void EndIdle();
  void EndUnanswered();
  void EndMarked();
  void EndAll(How how);
  void Admit(Connection& connection);
  void Dialled(Connection& connection);
  void Unconnected(Connection& connection, int error);
  void Join(Connection& connection);
  void Watch(Side& side);
  void Heed(Side& side, uint32_t events);
  void Drain(Connection& connection);
  void End(Connection& connection, How how);
  void Close(Side& side, bool reset);
  template <typename Act>
  void ForEach(Connections& list, Act act);
  template <typename Act>
  void ForAll(Act act);

  PumpEnds& ends_;
  UniqueFd epoll_;
  UniqueFd wake_;
  PipePool pool_;
  Connections dialling_;  // wait for an answer
  Connections ready_;    // have something to do
  Connections asleep_;   // wait for epoll
  Connections starved_;  // wait for a pipe or for memory
  int64_t now_ = 0;      // CLOCK_MONOTONIC in ms
  int64_t next_idle_check_;
  int64_t next_dial_check_;
  int64_t next_feeding_;

  std::mutex mutex_;
  Connections adopted_;  // guarded
  bool quit_ = false;    // guarded
  bool gone_ = false;    // guarded
  std::atomic<bool> marked_{false};

  std::thread thread_;
};

}  // namespace podgate
