#include "socket_cgroup.h"

#include <linux/inet_diag.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include <algorithm>

#include "diag_socket.h"

namespace podgate {
namespace {

constexpr size_t kJump = sizeof(struct inet_diag_bc_op);
constexpr size_t kCondition = sizeof(struct inet_diag_bc_op) + sizeof(uint64_t);

void Put(const void* what, size_t length, std::vector<uint8_t>* to) {
  const uint8_t* bytes = static_cast<const uint8_t*>(what);
  to->insert(to->end(), bytes, bytes + length);
}

}  // namespace

// A program for the kernel: to end up exactly at its end is to let the socket through, beyond it is not to. So each
// condition that does not hold skips the jump behind it, and that jump goes to the end.
std::vector<uint8_t> CgroupFilter(const Cgroups& cgroups) {
  const size_t length = cgroups.size() * (kCondition + kJump) - kJump;
  std::vector<uint8_t> filter;
  struct rtattr header = {};
  header.rta_type = INET_DIAG_REQ_BYTECODE;
  header.rta_len = static_cast<unsigned short>(RTA_LENGTH(length));
  Put(&header, sizeof(header), &filter);
  for (size_t at = 0; at < cgroups.size(); at++) {
    if (at > 0) {
      const size_t done = filter.size() - sizeof(header);
      struct inet_diag_bc_op jump = {INET_DIAG_BC_JMP, kJump, static_cast<unsigned short>(length - done)};
      Put(&jump, sizeof(jump), &filter);
    }
    struct inet_diag_bc_op condition = {INET_DIAG_BC_CGROUP_COND, kCondition, kCondition + kJump};
    Put(&condition, sizeof(condition), &filter);
    Put(&cgroups[at], sizeof(cgroups[at]), &filter);
  }
  return filter;
}

bool IsMadeIn(const Cgroups& cgroups, const uint8_t* attributes, size_t length) {
  uint64_t cgroup = 0;
  size_t found_length = 0;
  const uint8_t* found = FindAttribute(attributes, length, INET_DIAG_CGROUP_ID, &found_length);
  if (found == nullptr || found_length != sizeof(cgroup)) return false;
  memcpy(&cgroup, found, sizeof(cgroup));
  return std::find(cgroups.begin(), cgroups.end(), cgroup) != cgroups.end();
}

}  // namespace podgate
