// A netlink socket that talks to the kernel's sock_diag: one request, then its whole answer.
#pragma once

#include <linux/inet_diag.h>
#include <stddef.h>
#include <stdint.h>

#include <functional>
#include <vector>

#include "fd.h"

namespace podgate {

// What the attribute INET_DIAG_... holds; null: there is none.
const uint8_t* FindAttribute(const uint8_t* attributes, size_t length, int type, size_t* found_length);

class DiagSocket {
 public:
  // `attributes`: what follows the message, for FindAttribute.
  using Take = std::function<void(const struct inet_diag_msg& message, const uint8_t* attributes, size_t length)>;

  // Each returns 0 or a positive errno. Opened in one network namespace, it asks about that one from any thread.
  int Open();
  // `type` and `flags` are netlink's. Next reads the answer.
  int Ask(uint16_t type, uint16_t flags, const struct inet_diag_req_v2& question) {
    return Send(type, flags, &question, sizeof(question));
  }
  // The request of before Linux 3.3, with type TCPDIAG_GETSOCK.
  int Ask(uint16_t type, uint16_t flags, const struct inet_diag_req& question) {
    return Send(type, flags, &question, sizeof(question));
  }
  // Reads some of the answer (32 KiB), which the kernel makes as it is read. `take` is called for every socket in it.
  // EINTR, when it is done: the table changed so that the answer may be inconsistent.
  int Next(const Take& take, bool* done);

 private:
  int Send(uint16_t type, uint16_t flags, const void* question, size_t length);
  int Receive(size_t* length);
  int Parse(size_t length, const Take& take, bool* done);

  UniqueFd fd_;
  bool interrupted_ = false;
  uint32_t sequence_ = 0;
  std::vector<uint8_t> buffer_;
};

}  // namespace podgate
