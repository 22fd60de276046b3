#include "tcp_sequence.h"

#include <linux/tcp.h>
#include <string.h>

namespace podgate {

int64_t BeyondPayload(const uint8_t* info, size_t length, uint32_t write_queue) {
  struct tcp_info tcp = {};
  constexpr size_t kNeeded = offsetof(struct tcp_info, tcpi_bytes_retrans) + sizeof(tcp.tcpi_bytes_retrans);
  if (info == nullptr || length < kNeeded) return kUnknownSequence;
  memcpy(&tcp, info, length < sizeof(tcp) ? length : sizeof(tcp));
  int64_t in_flight = tcp.tcpi_unacked == 0 ? 0 : static_cast<int64_t>(write_queue) - tcp.tcpi_notsent_bytes;
  uint64_t payload = tcp.tcpi_bytes_sent - tcp.tcpi_bytes_retrans;
  return static_cast<int64_t>(tcp.tcpi_bytes_acked - payload) + in_flight;
}

}  // namespace podgate
