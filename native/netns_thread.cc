#include "netns_thread.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>

#include <new>
#include <system_error>
#include <thread>

namespace podgate {
namespace {

int EnterAndRun(int netns, const std::function<int()>& act) noexcept {
  // Signals are for Node.js's threads.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  if (setns(netns, CLONE_NEWNET) != 0) return errno;
  try {
    return act();
  } catch (const std::bad_alloc&) {
    return ENOMEM;
  }
}

}  // namespace

int RunInNetns(int netns, const std::function<int()>& act) {
  int error = 0;
  try {
    std::thread([&] { error = EnterAndRun(netns, act); }).join();
  } catch (const std::system_error& cause) {
    return cause.code().value();  // EAGAIN: the process may start no more threads
  }
  return error;
}

}  // namespace podgate
