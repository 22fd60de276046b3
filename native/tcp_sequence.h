// What the kernel's tcp_info tells of a socket's sequence numbers. Apart, because <linux/tcp.h> and <netinet/tcp.h> exclude each other.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace podgate {

constexpr int64_t kUnknownSequence = -1;

// Sequence numbers that a socket has used and that are no payload: one for a SYN of its own, one for a FIN. A socket that
// was accepted never sent a SYN, its listener answered. `info`: INET_DIAG_INFO; `write_queue`: idiag_wqueue, which the
// kernel reads a moment before, so that the result is wrong, and mostly neither 0, 1 nor 2, while data is sent.
// kUnknownSequence: a kernel that tells less, before Linux 4.19.
int64_t BeyondPayload(const uint8_t* info, size_t length, uint32_t write_queue);

}  // namespace podgate
